"""Towers of two branches: one vector whose similarity is the mean of both, the same in every engine and in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import CAPTIONS, CONFIG, word_tokenizer
from torch.nn import functional as F

from mmsearch.encoders.export import model_folder, region_graph
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder
from mmsearch.encoders.torch.embedded_towers import (
    EmbeddedConfig,
    ImageTower,
    TextTower,
    fold_batch_norms,
    second_branch,
)
from mmsearch.encoders.torch.projection import Projection, pool_matrix
from mmsearch.errors import ModelError
from mmsearch.rerank.graphs import write_words
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.contrastive.embedded_trainee import EmbeddedTrainee
from mmsearch.training.shipped.embedded import compose

BOTH = replace(
    CONFIG, dim=192, branch_dim=128, second_backbone="tf_efficientnet_lite0", second_size=48, second_layers=2
)
FEW = replace(BOTH, text_layers=2, second_layers=1)  # each layer takes a second to trace
TEXTS = list(CAPTIONS.values())
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def towers(config: EmbeddedConfig, seed: int = 0) -> tuple[ImageTower, TextTower]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        images, texts = ImageTower(config), TextTower(config)
    fold_batch_norms(images)
    return images.eval(), texts.eval()


def trainee(config: EmbeddedConfig, seed: int, image_layers: int = 0, text_layers: int = 0) -> EmbeddedTrainee:
    return EmbeddedTrainee(*towers(config, seed), config, word_tokenizer(), image_layers, text_layers)


def pictures(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


@torch.no_grad()
def vectors(model: EmbeddedTrainee) -> tuple[torch.Tensor, torch.Tensor]:
    """Of pictures and texts, by the towers alone."""
    given = torch.from_numpy(pictures()).permute(0, 3, 1, 2) / 255
    return model.images(given), model.texts(model.tokenize(TEXTS))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of two branches, and a map that hears the second one."""
    folder = tmp_path_factory.mktemp("two") / "model"
    torch.manual_seed(3)
    maps = Projection(1280, 120, 24, 2, second_width=1280).eval().requires_grad_(False)
    assert maps.second is not None
    maps.second.weight.mul_(20)  # random backbones differ in how much they say
    model_folder.write(folder, *towers(FEW), FEW, word_tokenizer(), "small", {})
    region_graph.write(folder, maps)
    return folder


def test_similarity_is_the_mean_of_both(tmp_path: Path) -> None:
    first = trainee(CONFIG, 0)
    other = trainee(replace(CONFIG, image_backbone="tf_efficientnet_lite0", backbone_size=48), 1)
    other.texts.load_state_dict({**other.texts.state_dict(), **shared(first)})
    for number, picture in enumerate(pictures()):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    names = tuple(f"{number}.png" for number in range(5))
    photos = Pairs(tmp_path, names, tuple((text,) for text in TEXTS[:5]))
    apart = [(images @ texts.T)[:, :5] for images, texts in map(vectors, (first, other))]
    assert float((apart[0] - apart[1]).abs().max()) > 0.01
    whole = compose(first, other, photos, 128)
    images, texts = vectors(whole)
    assert whole.config.second_backbone == "tf_efficientnet_lite0"
    for rows in (images, texts):
        assert rows.shape[1] == 128
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))
    # What the directions were made of lies in them.
    torch.testing.assert_close(images @ texts[:5].T, (apart[0] + apart[1]) / 2, atol=1e-4, rtol=0)


def shared(model: EmbeddedTrainee) -> dict[str, torch.Tensor]:
    """What both branches of a text tower have in common."""
    return {
        name: value
        for name, value in model.texts.state_dict().items()
        if name.startswith(("words.", "positions.", "norm."))
    }


def test_both_engines_and_the_towers_say_the_same(model: Path) -> None:
    images, texts, config, card = model_folder.read(model)
    texts.eval()
    assert config == FEW
    assert card.dim == 192
    pixels = pictures()
    onnx, other = OnnxEncoder(model), TorchEmbeddedEncoder(model, "cpu")
    with torch.no_grad():
        wanted = images(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).numpy()
        ids = torch.from_numpy(WordEncoder(model, model / "words.onnx").tokenize(TEXTS))
        said = texts(ids).numpy()
    for encoder in (onnx, other):
        np.testing.assert_allclose(encoder.encode_images(pixels), wanted, atol=1e-4)
        np.testing.assert_allclose(encoder.encode_texts(TEXTS), said, atol=1e-4)


def test_region_tokens_hear_the_second_branch(model: Path) -> None:
    images, _, _, _ = model_folder.read(model)
    maps = region_graph.read(model)
    assert maps.second is not None
    pixels = pictures()
    with torch.no_grad():
        given = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        assert images.second is not None
        small = F.interpolate(given, (48, 48), mode="bilinear", align_corners=False)
        states = images.second.backbone((small - 0.5) / 0.5).flatten(2)
        side = round(states.shape[2] ** 0.5)
        pooled = (states @ torch.from_numpy(pool_matrix(side, side, 2)).T).transpose(1, 2)
        added = pooled @ maps.second.weight.T
        first = images.levels(given)[:2]
        maps.second = None
        wanted = (maps(first) + added).numpy()
    assert float(added.std()) > 0.1 * float(wanted.std())
    for encoder in (OnnxEncoder(model), TorchEmbeddedEncoder(model, "cpu")):
        _, regions = encoder.encode_pictures(pixels)
        assert regions is not None
        np.testing.assert_allclose(regions, wanted, atol=0.01 * float(wanted.std()))


def test_states_of_words_are_those_of_the_second_branch(model: Path) -> None:
    write_words(model / "text.onnx", model / "words.onnx")
    states, mask = WordEncoder(model, model / "words.onnx")(TEXTS)
    _, texts, _, _ = model_folder.read(model)
    texts.eval()
    ids = torch.from_numpy(WordEncoder(model, model / "words.onnx").tokenize(TEXTS))
    with torch.no_grad():
        wanted = texts.run(texts.embed(ids), torch.from_numpy(mask), 0, 2).numpy()[..., 96:]
    assert states.shape[2] == 96
    np.testing.assert_allclose(states[mask], wanted[mask], atol=1e-4)
    with pytest.raises(ModelError, match="no text tower of the embedded kind"):
        write_words(model / "image.onnx", model / "other.onnx")


@pytest.mark.parametrize("image_layers", [0, 2, -1])
@pytest.mark.parametrize("text_layers", [0, 1, 2, 3, -1])
def test_a_cut_changes_nothing(image_layers: int, text_layers: int) -> None:
    """The frozen and the trained part after each other are the tower, wherever it is cut."""
    made = trainee(BOTH, 0, image_layers, text_layers)
    wanted = vectors(made)
    with torch.no_grad():
        states = made.image_states(
            made.frozen_stages(torch.from_numpy(pictures())) if image_layers >= 0 else torch.from_numpy(pictures())
        )
        torch.testing.assert_close(made.image_pool(states), wanted[0], atol=1e-4, rtol=0)
        ids = made.tokenize(TEXTS)
        mask = made.token_mask(ids)
        said = made.text_states(made.text_prefix(ids, mask), mask)
        assert said.shape[2] == made.text_width == 2 * 96
        torch.testing.assert_close(made.text_pool(said, mask, ids), wanted[1], atol=1e-4, rtol=0)


def test_all_that_is_trained_learns() -> None:
    made = trainee(BOTH, 0, 5, 2)  # the frozen stages, which are traced, are few
    made.train()
    ids = made.tokenize(TEXTS[:5])
    mask = made.token_mask(ids)
    images = made.image_pool(made.image_states(made.image_prefix(torch.from_numpy(pictures()))))
    texts = made.text_pool(made.text_states(made.text_prefix(ids, mask), mask), mask, ids)
    F.cross_entropy(made.log_scale.exp() * images @ texts.T, torch.arange(5)).backward()
    trained = [parameter for group in made.groups() for parameter in group.parameters]
    assert len({id(parameter) for parameter in trained}) == len(trained)
    assert all(parameter.grad is not None and float(parameter.grad.abs().sum()) > 0 for parameter in trained)
    assert made.images.second is not None
    names = {
        name.split(".")[0] for name, parameter in made.images.second.named_parameters() if parameter.grad is not None
    }
    assert names == {"backbone", "pool"}
    assert {
        name for name, p in made.texts.named_parameters() if p.grad is not None and name.startswith("second_layers")
    }


def test_second_branch_as_a_model_of_its_own() -> None:
    alone = second_branch(BOTH)
    found = (alone.dim, alone.image_backbone, alone.backbone_size, alone.second_backbone)
    assert found == (128, "tf_efficientnet_lite0", 48, "")
