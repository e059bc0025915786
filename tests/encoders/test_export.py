"""A model folder appears complete or not at all, and only when its vectors are those of torch."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.export.graphs import out_of_place
from mmsearch.encoders.export.open_clip import export
from mmsearch.encoders.onnx.encoder import FILES, OnnxEncoder
from mmsearch.encoders.torch.open_clip_encoder import ImageTower, OpenClipEncoder
from mmsearch.errors import ModelError


def test_folder_holds_the_whole_model(torch_encoder: OpenClipEncoder, onnx_encoder: OnnxEncoder) -> None:
    assert sorted(file.name for file in onnx_encoder.folder.iterdir()) == sorted(FILES)
    assert onnx_encoder.card == torch_encoder.card
    assert [file.name for file in onnx_encoder.folder.parent.iterdir()] == [onnx_encoder.folder.name]


def test_any_number_of_rows(onnx_encoder: OnnxEncoder) -> None:
    size = onnx_encoder.card.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    whole = onnx_encoder.encode_images(pixels)
    np.testing.assert_allclose(
        np.concatenate([onnx_encoder.encode_images(row[None]) for row in pixels]), whole, atol=1e-5
    )


def test_exporting_again_uses_what_is_there(clip: OpenClipEncoder, clip_export: OnnxEncoder) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in clip_export.folder.iterdir()}
    again = export(clip, clip_export.folder)  # as a second process that began before the first was done
    assert again.folder == clip_export.folder
    assert {file.name: file.stat().st_mtime_ns for file in clip_export.folder.iterdir()} == before
    assert [file.name for file in clip_export.folder.parent.iterdir()] == [clip_export.folder.name]


def test_large_weights_go_to_a_file_beside_and_a_wreck_is_replaced(clip: OpenClipEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "models" / clip.card.fingerprint
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}", "utf-8")  # somebody deleted the rest
    abandoned = tmp_path / "models" / ".export-killed"
    running = tmp_path / "models" / ".export-running"
    for draft in (abandoned, running):
        draft.mkdir()
    os.utime(abandoned, (time.time() - 2 * 24 * 3600,) * 2)
    exported = export(clip, folder, one_file=100_000)
    assert {"image.onnx.data", "text.onnx.data"} < {file.name for file in folder.iterdir()}
    assert agreement(exported, clip) > 0.999
    assert sorted(file.name for file in folder.parent.iterdir()) == [running.name, folder.name]


class _Shifted(ImageTower):
    """Gives other vectors when it is exported than when it runs."""

    def forward(self, pixels: Tensor) -> Tensor:
        rows = super().forward(pixels)
        return rows.roll(1, dims=1) if torch.compiler.is_exporting() else rows


def test_graphs_that_differ_from_torch_are_refused(clip: OpenClipEncoder, tmp_path: Path) -> None:
    wrong = OpenClipEncoder(clip.images.model, clip.tokenizer, clip.card)
    wrong.images = _Shifted(clip.images.model, clip.card.preprocess).eval()
    with pytest.raises(ModelError, match="gives other vectors than torch"):
        export(wrong, tmp_path / "wrong")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["images", "texts"])
def test_vectors_of_pictures_and_of_texts_are_compared(part: str, clip: OpenClipEncoder) -> None:
    other = OpenClipEncoder(clip.images.model, clip.tokenizer, clip.card)
    assert agreement(clip, other) > 0.9999
    getattr(other, part).register_forward_hook(lambda tower, given, rows: rows.roll(1, dims=1))
    assert agreement(clip, other) < 0.9


class _Unexportable(ImageTower):
    def forward(self, pixels: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            raise NotImplementedError("no such operator")
        return super().forward(pixels)


def test_model_that_cannot_be_exported_is_refused(clip: OpenClipEncoder, tmp_path: Path) -> None:
    stuck = OpenClipEncoder(clip.images.model, clip.tokenizer, clip.card)
    stuck.images = _Unexportable(clip.images.model, clip.card.preprocess).eval()
    with pytest.raises(ModelError, match="cannot be exported to ONNX: "):
        export(stuck, tmp_path / "stuck")
    assert list(tmp_path.iterdir()) == []


def test_activations_overwrite_their_input_again_after_an_export() -> None:
    module = torch.nn.Sequential(torch.nn.ReLU6(inplace=True), torch.nn.ReLU6(inplace=False))

    def ways() -> list[object]:
        return [one.inplace for one in module]

    with out_of_place(module):
        assert ways() == [False, False]
    assert ways() == [True, False]
