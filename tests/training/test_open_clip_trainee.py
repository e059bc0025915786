"""open_clip models cut between their layers, trained for a few steps, and saved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_models import CLIP, SIGLIP, write_open_clip
from torch import Tensor

from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.errors import ConfigError
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.contrastive import bases
from mmsearch.training.contrastive.open_clip_trainee import OpenClipTrainee
from mmsearch.training.contrastive.recipe import OPEN_CLIP, Recipe
from mmsearch.training.contrastive.trainer import train

TEXTS = ["a cat", "a woman in an orange space suit with a flag", ""]


class Whole(NamedTuple):
    name: str  # of the model
    longest: int  # of TEXTS
    pixels: Tensor
    images: NDArray[np.float32]  # the vectors that open_clip itself gives
    texts: NDArray[np.float32]


@pytest.fixture(scope="module", params=[(CLIP, 12), (SIGLIP, 16)], ids=["clip", "siglip"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    config, longest = request.param
    name = f"local-dir:{write_open_clip(tmp_path_factory.mktemp('whole'), config)}"
    encoder = OpenClipEncoder.load(name)
    size = encoder.card.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    images, texts = encoder.encode_images(pixels), encoder.encode_texts(TEXTS)
    return Whole(name, longest, torch.from_numpy(pixels), images, texts)


@pytest.mark.parametrize("layers", [-1, 0, 1, 2, 9])
def test_cut_towers_give_the_vectors_of_the_whole_ones(whole: Whole, layers: int) -> None:
    trainee = OpenClipTrainee.load(whole.name, layers, layers)
    assert whole.pixels.shape[1] == trainee.preprocess.size
    prefix = trainee.image_prefix(whole.pixels)
    images = trainee.image_pool(trainee.image_states(prefix))
    np.testing.assert_allclose(images.detach().numpy(), whole.images, atol=1e-5)
    assert trainee.freezes_images == (prefix.dtype == torch.float32) == (layers in (0, 1, 2))
    ids = trainee.tokenize(TEXTS)
    mask = trainee.token_mask(ids)
    longest = int(mask.sum(dim=1).max())  # what the trainer keeps
    assert longest == whole.longest
    ids, mask = ids[:, :longest], mask[:, :longest]
    ids = torch.where(mask, ids, 0)
    texts = trainee.text_pool(trainee.text_states(trainee.text_prefix(ids, mask), mask), mask, ids)
    np.testing.assert_allclose(texts.detach().numpy(), whole.texts, atol=1e-5)

    (images.sum() + texts.sum() + trainee.log_scale.sum() + trainee.bias.sum()).backward()
    learning = {name for name, p in trainee.named_parameters() if p.requires_grad}
    assert {name for name, p in trainee.named_parameters() if p.grad is not None} == learning
    if layers in (-1, 9):
        assert learning == {name for name, _ in trainee.named_parameters()}
    grouped = [id(p) for group in trainee.groups() for p in group.parameters]
    assert len(grouped) == len(set(grouped)) == len(learning) - 2  # without scale and bias


def test_a_few_steps_and_back_through_the_folder(pairs: Pairs, tmp_path: Path) -> None:
    base = f"local-dir:{write_open_clip(tmp_path / 'base')}"
    recipe = replace(
        OPEN_CLIP, epochs=3, batch=8, micro_batch=3, lr=1e-3, image_lr=1e-3, text_lr=1e-3, masked_words=0.1
    )
    assert bases.default_recipe(base) == OPEN_CLIP
    trainee = bases.load(base, recipe)
    outcome = train(trainee, pairs, pairs, recipe, tmp_path / "out")
    assert outcome.steps == 6
    trained = OpenClipEncoder.load(f"local-dir:{tmp_path / 'out'}")
    before = OpenClipEncoder.load(base)
    assert trained.card.fingerprint != before.card.fingerprint
    ids = trainee.tokenize(TEXTS)
    with torch.no_grad():
        mask = trainee.token_mask(ids)
        wanted = trainee.text_pool(trainee.text_states(trainee.text_prefix(ids, mask), mask), mask, ids)
    np.testing.assert_allclose(trained.encode_texts(TEXTS), wanted.numpy(), atol=1e-5)
    assert trained.card.preprocess == before.card.preprocess
    facts = json.loads((tmp_path / "out" / "recipe.json").read_text("utf-8"))
    assert facts["recipe"] == {**facts["recipe"], "epochs": 3, "micro_batch": 3}
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text("utf-8").splitlines()]
    losses = [event["infonce"] for event in log if event["event"] == "step"]
    assert losses[-1] < losses[0]


def test_frozen_layers_keep_their_weights(pairs: Pairs, tmp_path: Path) -> None:
    folder = write_open_clip(tmp_path / "base")
    recipe = replace(OPEN_CLIP, epochs=1, image_layers=1, text_layers=0, views=2, ema=0.0, lr=1e-3, image_lr=1e-3)
    train(bases.load(f"local-dir:{folder}", recipe), pairs, None, recipe, tmp_path / "out")
    from safetensors.torch import load_file

    before = load_file(folder / "open_clip_model.safetensors")
    after = load_file(tmp_path / "out" / "open_clip_model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name for name in changed if "resblocks" in name} >= {"visual.transformer.resblocks.1.mlp.c_fc.weight"}
    assert not {name for name in changed if "resblocks.0" in name or name.startswith("transformer")}
    assert {"visual.proj", "text_projection"} <= changed
    assert not changed & {"token_embedding.weight", "visual.conv1.weight"}


def test_model_with_a_bias_goes_on_with_the_sigmoid(pairs: Pairs, tmp_path: Path) -> None:
    base = f"local-dir:{write_open_clip(tmp_path / 'base', SIGLIP)}"
    recipe = bases.default_recipe(base)
    assert (recipe.sigmoid, recipe.infonce) == (1.0, 0.0)
    recipe = replace(recipe, epochs=1, precision="bf16")
    outcome = train(bases.load(base, recipe), pairs, pairs, recipe, tmp_path / "out")
    assert np.isfinite(outcome.loss)


def test_what_a_tower_cannot_do_is_said(pairs: Pairs, tmp_path: Path) -> None:
    base = f"local-dir:{write_open_clip(tmp_path / 'base')}"
    with pytest.raises(ConfigError, match="cannot hide regions or words"):
        train(bases.load(base, OPEN_CLIP), pairs, None, Recipe(), tmp_path / "out")
    resnet = {**CLIP, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}}
    base = f"local-dir:{write_open_clip(tmp_path / 'resnet', resnet)}"
    with pytest.raises(ConfigError, match=r"cannot be told apart: image_layers must be 0 or -1 \(all\), not 1"):
        OpenClipTrainee.load(base, 1, 1)
    for layers in (0, -1):
        recipe = replace(OPEN_CLIP, epochs=1, image_layers=layers, views=2, micro_batch=2)
        outcome = train(bases.load(base, recipe), pairs, None, recipe, tmp_path / f"out{layers}")
        assert np.isfinite(outcome.loss)
