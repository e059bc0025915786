"""open_clip's towers give region tokens: in torch those of plain arithmetic, in ONNX Runtime those of torch."""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from shared import made_once
from torch.nn import functional as F

from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.export.open_clip import export
from mmsearch.encoders.onnx.encoder import REGIONS, OnnxEncoder
from mmsearch.encoders.protocol import ModelCard
from mmsearch.encoders.torch import patch_regions
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.encoders.torch.patch_regions import Grid, PatchRegions
from mmsearch.encoders.torch.projection import random_map
from mmsearch.library.opening import open_library
from mmsearch.media.decode import prepare
from mmsearch.types import Pixels, Preprocess, Regions


@pytest.fixture
def pixels(torch_encoder: OpenClipEncoder, photos_in_memory: list[Image.Image]) -> Pixels:
    return np.stack([prepare(image, torch_encoder.card.preprocess) for image in photos_in_memory])


def plain(folder: Path, pixels: Pixels, encoder: OpenClipEncoder) -> Regions:
    """The tokens from the tower's states before they become one vector, caught by a hook."""
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    seen: dict[str, torch.Tensor] = {}
    norm = model.visual.ln_post if hasattr(model.visual, "ln_post") else model.visual.trunk.norm
    norm.register_forward_hook(lambda module, given, out: seen.update(states=out))
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (encoder.card.preprocess.mean, encoder.card.preprocess.std)
    )
    with torch.inference_mode():
        model.encode_image((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)
    assert encoder.card.regions is not None
    side = encoder.card.preprocess.size // 16  # both have patches of 16 pixels
    patches = seen["states"][:, -side * side :].double()  # the class token, if any, comes first
    grid = patches.transpose(1, 2).unflatten(2, (side, side))
    pooled = F.adaptive_avg_pool2d(grid, encoder.card.regions.side).flatten(2).transpose(1, 2)
    tokens: Regions = pooled.numpy() @ random_map(encoder.card.regions.dim, patches.shape[2]).T
    return tokens


def test_tokens_are_those_of_plain_arithmetic(
    folder: Path, kind: str, torch_encoder: OpenClipEncoder, onnx_encoder: OnnxEncoder, pixels: Pixels
) -> None:
    wanted = plain(folder, pixels, torch_encoder)
    assert wanted.shape == {"clip": (4, 16, 64), "siglip": (4, 49, 64)}[kind]
    assert wanted.std(axis=1).min() > 1e-3  # regions differ
    for encoder in (torch_encoder, onnx_encoder):
        vectors, regions = encoder.encode_pictures(pixels)
        assert regions is not None
        assert regions.dtype == np.float32
        np.testing.assert_allclose(regions, wanted, atol=1e-3 * float(wanted.std()))
        np.testing.assert_allclose(vectors, encoder.encode_images(pixels), atol=1e-5)
        vectors, regions = encoder.encode_pictures(pixels[:0])
        assert regions is not None
        assert (len(vectors), regions.shape) == (0, (0, *wanted.shape[1:]))


def test_card_says_what_tokens_there_are(torch_encoder: OpenClipEncoder, onnx_encoder: OnnxEncoder) -> None:
    assert torch_encoder.card.regions == onnx_encoder.card.regions is not None
    assert not (onnx_encoder.folder / REGIONS).exists()  # they are part of its image graph
    without = OpenClipEncoder(torch_encoder.images.model, torch_encoder.tokenizer, torch_encoder.card)
    assert without.card.regions is None
    assert without.card.fingerprint == torch_encoder.card.fingerprint
    size = torch_encoder.card.preprocess.size
    assert without.encode_pictures(np.zeros((1, size, size, 3), np.uint8))[1] is None


def test_half_precision_gives_the_tokens_of_full_precision(clip: OpenClipEncoder, clip_folder: Path) -> None:
    half = OpenClipEncoder.load(f"local-dir:{clip_folder}", precision="fp16")
    assert next(half.images.model.parameters()).dtype == torch.float16
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    (_, found), (_, wanted) = half.encode_pictures(pixels), clip.encode_pictures(pixels)
    assert found is not None
    assert wanted is not None
    np.testing.assert_allclose(found, wanted, atol=0.02 * float(wanted.std()))


VIT = {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
TOWERS: dict[str, tuple[dict[str, Any], Grid]] = {
    "ResNet": ({"image_size": 96, "layers": [1, 1, 1, 1], "width": 8}, Grid(256, 3, 3)),
    "ConvNeXt": (
        {"image_size": 96, "timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear"},
        Grid(64, 3, 3),
    ),
    "last norm after pooling": ({**VIT, "final_ln_after_pool": True, "pool_type": "avg"}, Grid(32, 8, 8)),
    "CoCa": ({**VIT, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}, Grid(32, 8, 8)),
}


@pytest.mark.parametrize("kind", TOWERS)
def test_other_towers(kind: str) -> None:
    config, grid = TOWERS[kind]
    text = {"context_length": 16, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    model = open_clip.CLIP(16, config, text).eval()
    preprocess = Preprocess(config["image_size"])
    assert patch_regions.find(model.visual, preprocess, kind) == grid
    images = torch.randn(2, 3, preprocess.size, preprocess.size)
    with torch.inference_mode():
        vectors, tokens = PatchRegions(model.visual, grid)(images)
        wanted = model.encode_image(images)
    np.testing.assert_allclose(vectors, wanted[0] if isinstance(wanted, tuple) else wanted, atol=1e-5)
    assert tokens.shape == (2, grid.card.side**2, grid.card.dim)


class _Other(torch.nn.Module):
    """An image tower whose vectors are others when its states are asked for."""

    def __init__(self, sign: float, size: int) -> None:
        super().__init__()
        self.sign, self.size = sign, size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)

    def forward_intermediates(self, images: torch.Tensor, **_: object) -> dict[str, Any]:
        states = images[:, :, : self.size, : self.size]
        return {"image_features": self.sign * self(images), "image_intermediates": [states]}


@pytest.mark.parametrize(
    ("tower", "reason"),
    [
        (torch.nn.Flatten(), "'Flatten' object has no attribute 'forward_intermediates'"),
        (_Other(-1, 8), "with them its vectors are others"),
        (_Other(1, 1), r"its last states have the shape \(3, 3, 1, 1\)"),
    ],
)
def test_towers_without_a_grid_say_why(tower: torch.nn.Module, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert patch_regions.find(tower, Preprocess(8), "odd") is None
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("odd gives no region tokens: ")
    assert re.search(reason, caplog.messages[0])
    assert patch_regions.find(_Other(1, 8), Preprocess(8), "odd") == Grid(3, 8, 8)


@pytest.fixture(scope="module")
def without_tokens(clip: OpenClipEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graphs of the small CLIP without region tokens."""
    plain = OpenClipEncoder(clip.images.model, clip.tokenizer, clip.card)
    return made_once(tmp_path_factory, "clip_without_tokens", lambda folder: export(plain, folder))


def of_another_name(exported: Path, card: ModelCard, folder: Path) -> OnnxEncoder:
    """A copy of an export, as if the same weights had been exported under the name of ``card``."""
    shutil.copytree(exported, folder)
    (folder / "model.json").write_text(replace(card, regions=None).to_json(), "utf-8")
    return OnnxEncoder(folder)


def test_export_from_before_is_made_anew(
    clip: OpenClipEncoder, clip_folder: Path, without_tokens: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "model")
    card = replace(clip.card, name=f"local-dir:{folder}")
    old = of_another_name(without_tokens, card, tmp_path / "models" / card.fingerprint)
    assert (
        factory.exported_anew(old, factory.LoadOptions(cache=tmp_path)) is old
    )  # of this version: a model without tokens
    facts = json.loads((old.folder / "model.json").read_text("utf-8"))
    assert facts.pop("regions") is None
    (old.folder / "model.json").write_text(json.dumps(facts), "utf-8")
    dated = factory.for_card(card.name, card.fingerprint, factory.LoadOptions("cpu", tmp_path))
    assert dated.card.regions is None
    assert (
        factory.exported_anew(dated, factory.LoadOptions(cache=tmp_path / "another")) is dated
    )  # a folder of somebody's own
    weights = folder / "open_clip_model.safetensors"
    weights.rename(tmp_path / "weights")
    assert factory.exported_anew(dated, factory.LoadOptions(cache=tmp_path)) is dated
    (tmp_path / "weights").rename(weights)

    new = factory.exported_anew(dated, factory.LoadOptions(cache=tmp_path))
    assert new.card == replace(card, regions=clip.card.regions)
    assert agreement(new, clip) > 0.999
    again = factory.for_card(card.name, card.fingerprint, factory.LoadOptions("cpu", tmp_path))
    assert again.card == new.card
    assert factory.exported_anew(again, factory.LoadOptions(cache=tmp_path)) is again
    assert [path.name for path in (tmp_path / "models").iterdir()] == [card.fingerprint]


def test_library_of_an_exported_model_from_before_gets_tokens(
    clip: OpenClipEncoder, clip_folder: Path, without_tokens: Path, photos: Path, settings: Settings
) -> None:
    folder = shutil.copytree(clip_folder, photos.parent / "model")
    card = replace(clip.card, name=f"local-dir:{folder}")
    old = of_another_name(without_tokens, card, settings.cache / "models" / card.fingerprint)
    facts = json.loads((old.folder / "model.json").read_text("utf-8"))
    facts.pop("regions")
    (old.folder / "model.json").write_text(json.dumps(facts), "utf-8")
    with open_library(settings.library, settings=replace(settings, regions=False)) as library:
        report = library.index(photos, model=card.name)
        assert (report.added, report.regions) == (5, 0)
        assert OnnxEncoder(old.folder).dated  # nobody asked for tokens
    with open_library(settings.library, settings=settings) as library:
        report = library.index()
        assert (report.unchanged, report.regions) == (5, 5)
        assert library.status().regions == 5
        assert library.encoder().card.regions == clip.card.regions
