"""A model that is trained further uses the graphs it came from: its frozen stages are cut off, its weights go in."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from shared import made_once
from small_models import SMALLEST, small_trainee, word_tokenizer

from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.export import graphs
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder
from mmsearch.encoders.torch.embedded_towers import ImageTower, TextTower
from mmsearch.training.contrastive.embedded_trainee import EmbeddedTrainee

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model."""
    return made_once(tmp_path_factory, "base", lambda folder: small_trainee().save(folder, {}, "small"))


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The modules that are traced from here on."""
    found: list[object] = []
    traced = graphs.traced

    def heard(module: torch.nn.Module, *others: object) -> onnx.ModelProto:
        found.append(module)
        return traced(module, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(graphs, "traced", heard)
    return found


def changed(folder: Path) -> EmbeddedTrainee:
    """The model in ``folder`` with other weights in both towers."""
    made = EmbeddedTrainee.load(folder, 2, 1)
    torch.manual_seed(1)
    with torch.no_grad():
        for group in made.groups():
            for weight in group.parameters:
                weight.add_(0.2 * weight.std().nan_to_num(0.1) * torch.randn_like(weight))
    return made


def test_other_weights_go_into_the_graphs_of_the_base(base: Path, tmp_path: Path, traces: list[object]) -> None:
    made = changed(base)
    made.save(tmp_path / "made", {}, "changed")
    assert traces == []
    made.base = None
    made.save(tmp_path / "traced", {}, "changed")
    assert len(traces) == 2
    assert agreement(OnnxEncoder(tmp_path / "made"), TorchEmbeddedEncoder(tmp_path / "made", "cpu")) > 0.9999
    for name in ("image.onnx", "text.onnx"):
        mine, anew, before = (
            {
                tensor.name: tensor.raw_data
                for tensor in onnx.load(folder / name).graph.initializer
                if "." in tensor.name
            }
            for folder in (tmp_path / "made", tmp_path / "traced", base)
        )
        assert mine == anew
        assert mine != before


def test_towers_of_another_shape_or_without_a_base_are_traced(base: Path, tmp_path: Path, traces: list[object]) -> None:
    other = shutil.copytree(base, tmp_path / "other")
    recipe = json.loads((other / "recipe.json").read_text("utf-8"))
    recipe["model"]["text_heads"] = 1  # weights have the same shapes
    (other / "recipe.json").write_text(json.dumps(recipe), "utf-8")
    damaged = shutil.copytree(base, tmp_path / "damaged")
    (damaged / "text.onnx").write_bytes((damaged / "text.onnx").read_bytes()[:3000])
    made = changed(base)
    for folder, wanted in ((other, 2), (damaged, 1), (tmp_path / "none", 2)):
        traces.clear()
        made.base = folder
        made.save(tmp_path / f"of-{folder.name}", {}, "changed")
        assert len(traces) == wanted, folder
        found = OnnxEncoder(tmp_path / f"of-{folder.name}")
        assert agreement(found, TorchEmbeddedEncoder(found.folder, "cpu")) > 0.9999


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_frozen_stages_are_those_of_the_base(layers: int, traces: list[object]) -> None:
    trainee = EmbeddedTrainee.load(EMBEDDED, layers)
    size = trainee.preprocess.size
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8))
    with torch.no_grad():
        wanted, found = trainee.frozen_stages(pixels), trainee.image_prefix(pixels)
    assert traces == []
    assert found.is_contiguous()
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_what_another_graph_says_is_not_taken(base: Path, tmp_path: Path, traces: list[object]) -> None:
    folder = shutil.copytree(base, tmp_path / "replaced")
    trainee = EmbeddedTrainee.load(folder, 1, 1)
    small_trainee(seed=3).save(folder, {}, "other")  # before the first photo
    recipe = json.loads((folder / "recipe.json").read_text("utf-8"))
    recipe["model"]["pad_id"] = 1  # as no graph knows it
    (folder / "recipe.json").write_text(json.dumps(recipe), "utf-8")
    traces.clear()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    with torch.no_grad():
        torch.testing.assert_close(trainee.image_prefix(pixels), trainee.frozen_stages(pixels), rtol=1e-3, atol=1e-3)
    assert len(traces) == 1
    strange = EmbeddedTrainee.load(folder)
    traces.clear()
    strange.save(tmp_path / "strange", {}, "strange")
    assert len(traces) == 1  # the text tower
    assert agreement(OnnxEncoder(tmp_path / "strange"), TorchEmbeddedEncoder(tmp_path / "strange", "cpu")) > 0.999


@pytest.mark.parametrize("layers", [2, 4, 5])
def test_padded_convolutions_are_cut_off_before_the_padding(tmp_path: Path, layers: int, traces: list[object]) -> None:
    config = replace(SMALLEST, image_backbone="tf_efficientnetv2_b0", image_width=1280)
    torch.manual_seed(0)
    EmbeddedTrainee(ImageTower(config), TextTower(config), config, word_tokenizer(), 0, 1).save(
        tmp_path / "v2", {}, "v2"
    )
    traces.clear()
    trainee = EmbeddedTrainee.load(tmp_path / "v2", layers)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8))
    with torch.no_grad():
        torch.testing.assert_close(trainee.image_prefix(pixels), trainee.frozen_stages(pixels), rtol=1e-3, atol=1e-3)
    assert traces == []


def test_frozen_stages_of_a_damaged_base_are_traced(base: Path, tmp_path: Path, traces: list[object]) -> None:
    folder = shutil.copytree(base, tmp_path / "damaged")
    trainee = EmbeddedTrainee.load(folder, 1)
    (folder / "image.onnx").write_bytes((folder / "image.onnx").read_bytes()[:3000])
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    with torch.no_grad():
        torch.testing.assert_close(trainee.image_prefix(pixels), trainee.frozen_stages(pixels), rtol=1e-3, atol=1e-3)
    assert len(traces) == 1
