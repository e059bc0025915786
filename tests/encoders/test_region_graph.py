"""Region tokens of the embedded model: the same from ONNX Runtime, from torch and from plain arithmetic."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES, model_without_regions
from small_models import CONFIG, word_tokenizer
from torch.nn import functional as F

from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.export import model_folder, region_graph
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import REGIONS, OnnxEncoder
from mmsearch.encoders.protocol import ModelCard, RegionCard
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder
from mmsearch.encoders.torch.embedded_towers import ImageTower, TextTower
from mmsearch.encoders.torch.projection import Projection, pool_matrix, random_map
from mmsearch.errors import ModelError
from mmsearch.media.decode import decode
from mmsearch.types import Pixels, Regions


def projection(mid: int = 120) -> Projection:
    """One with a bias and scales that matter."""
    torch.manual_seed(0)
    made = Projection(1280, mid, 48, 5, top_scale=0.5, mid_scale=2.0)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the embedded model with the tokens of ``projection``."""
    made = model_without_regions(tmp_path_factory.mktemp("models") / "model")
    region_graph.write(made, projection())
    return made


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """Nine pictures: more than go through the graph at once."""
    card = ModelCard.from_json((EMBEDDED / "model.json").read_text("utf-8"))
    names = ["chelsea.png", "coffee.png", "rocket.jpg"]
    stacked = []
    for name in names:
        with (SAMPLES / name).open("rb") as file:
            stacked.append(decode(file, name, card.preprocess).pixels)
    rows = np.stack(stacked)
    return np.concatenate([rows, rows[:, ::-1], rows[:, :, ::-1]])


def plain(folder: Path, pixels: Pixels, maps: Projection) -> Regions:
    """The tokens by timm's own functions and one multiplication, in float64 after the backbone."""
    images, *_ = model_folder.read(folder)
    seen: dict[str, torch.Tensor] = {}
    stage = images.backbone.blocks[5]
    handle = stage.register_forward_pre_hook(lambda module, given: seen.update(mid=given[0]))
    with torch.inference_mode():
        given = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
        top = images.backbone.forward_features(given)
    handle.remove()
    assert maps.mid is not None
    tokens = np.zeros((len(pixels), maps.side**2, maps.dim))
    for states, layer, scale in ((top, maps.top, 0.5), (seen["mid"], maps.mid, 2.0)):
        pooled = F.adaptive_avg_pool2d(states.double(), maps.side).flatten(2).numpy()
        tokens += np.einsum("ncr,dc->nrd", pooled * scale, layer.weight.double().numpy())
    found: Regions = (tokens + maps.top.bias.double().numpy()).astype(np.float32)
    return found


def assert_close(found: Regions | None, wanted: Regions, part: float) -> None:
    """No value is off by more than a part of their spread."""
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=part * float(wanted.std()))


def test_tokens_are_those_of_plain_arithmetic(folder: Path, pixels: Pixels) -> None:
    wanted = plain(folder, pixels, projection())
    assert wanted.shape == (9, 25, 48)
    straight, down, across = (rows.reshape(5, 5, 48) for rows in wanted[[0, 3, 6]])
    for mirrored, back in ((down, down[::-1]), (across, across[:, ::-1])):  # rows of a grid in reading order
        assert np.abs(straight - back).mean() < 0.9 * np.abs(straight - mirrored).mean()
    _, regions = OnnxEncoder(folder).encode_pictures(pixels)
    assert_close(regions, wanted, 0.01)  # its weights are float16
    _, regions = TorchEmbeddedEncoder(folder, "cpu").encode_pictures(pixels)
    assert_close(regions, wanted, 0.01)
    with torch.inference_mode():
        images, *_ = model_folder.read(folder)
        levels = images.levels(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
        assert_close(projection()(levels).numpy(), wanted, 1e-4)


def test_vectors_and_fingerprint_stay_as_they_are(folder: Path, pixels: Pixels, tmp_path: Path) -> None:
    before, encoder = OnnxEncoder(model_without_regions(tmp_path / "before")), OnnxEncoder(folder)
    for file in ("image.onnx", "text.onnx", "tokenizer.json"):
        assert (folder / file).read_bytes() == (EMBEDDED / file).read_bytes()
    assert encoder.card.fingerprint == before.card.fingerprint
    assert replace(encoder.card, regions=None) == before.card
    wanted = before.encode_images(pixels)
    np.testing.assert_array_equal(encoder.encode_pictures(pixels)[0], wanted)
    np.testing.assert_array_equal(encoder.encode_images(pixels), wanted)
    other = TorchEmbeddedEncoder(folder, "cpu")
    np.testing.assert_allclose(other.encode_pictures(pixels)[0], other.encode_images(pixels), atol=1e-5)


def test_model_without_regions_gives_vectors_only(pixels: Pixels, tmp_path: Path) -> None:
    folder = model_without_regions(tmp_path / "model")
    for encoder in (OnnxEncoder(folder), TorchEmbeddedEncoder(folder, "cpu")):
        assert encoder.card.regions is None
        vectors, regions = encoder.encode_pictures(pixels[:1])
        assert regions is None
        np.testing.assert_array_equal(vectors, encoder.encode_images(pixels[:1]))


def test_no_pictures_give_no_tokens(folder: Path) -> None:
    vectors, regions = OnnxEncoder(folder).encode_pictures(np.empty((0, 260, 260, 3), np.uint8))
    assert regions is not None
    assert (vectors.shape, regions.shape) == ((0, 512), (0, 25, 48))


def test_coarse_states_alone(pixels: Pixels, tmp_path: Path) -> None:
    folder = model_without_regions(tmp_path / "model")
    maps = projection(mid=0)
    region_graph.write(folder, maps)
    _, found = OnnxEncoder(folder).encode_pictures(pixels[:2])
    with torch.inference_mode():
        images, *_ = model_folder.read(folder)
        wanted = maps(images.levels(torch.from_numpy(pixels[:2]).permute(0, 3, 1, 2) / 255)).numpy()
    assert_close(found, wanted, 0.01)


def test_card_of_regions(folder: Path, tmp_path: Path) -> None:
    card = OnnxEncoder(folder).card
    assert card.regions is not None
    assert (card.regions.side, card.regions.dim) == (5, 48)
    assert ModelCard.from_json(card.to_json()) == card
    again = region_graph.write(model_without_regions(tmp_path / "again"), projection())
    assert again.regions == card.regions
    other = region_graph.write(tmp_path / "again", Projection.random(1280, 120, side=5)).regions
    assert other is not None
    prints = {c.fingerprint for c in (card.regions, other, RegionCard(1, 2, "a"), RegionCard(2, 1, "a"))}
    assert len(prints) == 4
    assert all(len(digits) == 16 for digits in prints)


def test_levels_are_found_by_structure() -> None:
    image = onnx.load(EMBEDDED / "image.onnx")
    found = {name: level[1:] for name, level in region_graph.levels(image, EMBEDDED).items()}
    assert found == {"top": (1280, 9, 9), "mid": (120, 17, 17), "second": (1280, 7, 7)}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_small_tower_that_scales_pictures_gets_a_random_map(tmp_path: Path) -> None:
    config = replace(CONFIG, backbone_size=96, text_layers=1)
    torch.manual_seed(0)
    images, texts = ImageTower(config), TextTower(config)
    card = model_folder.write(tmp_path / "model", images, texts, config, word_tokenizer(), "small", {})
    assert card.regions is not None
    assert (card.regions.side, card.regions.dim) == (3, 64)
    encoder = OnnxEncoder(tmp_path / "model")
    assert encoder.card == card
    assert agreement(encoder, TorchEmbeddedEncoder(tmp_path / "model", "cpu")) > 0.999


def test_missing_part_is_said(folder: Path, pixels: Pixels, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / REGIONS).unlink()
    encoder = OnnxEncoder(copy)
    assert encoder.encode_images(pixels[:1]).shape == (1, 512)
    with pytest.raises(ModelError, match=r"copy is incomplete: regions\.onnx missing"):
        encoder.encode_pictures(pixels[:1])
    (copy / REGIONS).write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"image\.onnx with .*regions\.onnx cannot be loaded"):
        OnnxEncoder(copy).encode_pictures(pixels[:1])
    with pytest.raises(ModelError, match=r"regions\.onnx cannot be read"):
        TorchEmbeddedEncoder(copy, "cpu")


def test_projection_for_another_tower_is_refused(tmp_path: Path) -> None:
    folder = model_without_regions(tmp_path / "model")
    with pytest.raises(ModelError, match=r"takes 64 channels of .*, which has 1280"):
        region_graph.write(folder, Projection(64, 120))
    shutil.copy(folder / "text.onnx", folder / "image.onnx")
    with pytest.raises(ModelError, match="no image tower of the embedded kind"):
        region_graph.write(folder, projection())
    assert not (folder / REGIONS).exists()
    assert OnnxEncoder(folder).card.regions is None


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9))
def test_pooling_is_adaptive_average_pooling(height: int, width: int, side: int) -> None:
    grid = torch.from_numpy(np.random.default_rng(0).standard_normal((2, height, width)).astype(np.float32))
    wanted = F.adaptive_avg_pool2d(grid, side).flatten(1).numpy()
    found = grid.flatten(1).numpy() @ pool_matrix(height, width, side).T
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_random_map_keeps_lengths_on_average() -> None:
    rows = random_map(64, 1400)
    np.testing.assert_allclose(rows @ rows.T, np.eye(64) / 64, atol=1e-6)
    np.testing.assert_array_equal(rows, random_map(64, 1400))
    states = np.random.default_rng(1).standard_normal((2000, 1400))
    assert np.linalg.norm(states @ rows.T, axis=1).mean() == pytest.approx(1, abs=0.02)
