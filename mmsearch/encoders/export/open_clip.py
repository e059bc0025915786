"""An open_clip model as a model folder for ONNX Runtime (``onnx/encoder.py``), checked against torch."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mmsearch.encoders.agreement import ENOUGH, agreement
from mmsearch.encoders.export.atomic_folder import ONE_FILE, published
from mmsearch.encoders.export.graphs import out_of_place
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.open_clip_encoder import ImageTower, OpenClipEncoder
from mmsearch.errors import ModelError


def export(encoder: OpenClipEncoder, folder: Path, one_file: float = ONE_FILE) -> OnnxEncoder:
    """Writes the model to ``folder``, which appears complete or not at all, and opens it.

    Where another process was faster, its export is used; one from before there were region tokens is replaced.
    ``encoder`` must be on the CPU in full precision.  Raises ModelError when the model cannot be exported or its graphs
    give other vectors or region tokens than torch.
    """

    def fill(draft: Path) -> None:
        _write(encoder, draft, one_file)
        cosine = agreement(encoder, OnnxEncoder(draft))
        if not cosine > ENOUGH:
            raise ModelError(f"the exported {encoder.card.name} gives other vectors than torch (cosine {cosine:.4f})")

    return published(folder, fill)


def _write(encoder: OpenClipEncoder, folder: Path, one_file: float) -> None:
    size, context = encoder.card.preprocess.size, encoder.card.tokens.context
    try:
        # Two rows: torch.export takes a dimension of 1 for a constant.
        pixels = torch.zeros((2, size, size, 3), dtype=torch.uint8)
        images = encoder.images if encoder.card.regions is None else _Both(encoder.images)
        _graph(images, "pixels", pixels, folder / "image.onnx", one_file)
        ids = torch.zeros((2, context), dtype=torch.int64)
        _graph(encoder.texts, "ids", ids, folder / "text.onnx", one_file)
    except Exception as error:  # torch.onnx and onnxscript raise many kinds
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{encoder.card.name} cannot be exported to ONNX: {reason}") from error
    encoder.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "model.json").write_text(encoder.card.to_json(), "utf-8")


class _Both(nn.Module):
    """An image tower with vectors and region tokens as two outputs."""

    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return self.tower.both(pixels)


def _graph(tower: nn.Module, name: str, example: Tensor, file: Path, one_file: float) -> None:
    program = _traced(tower, name, example)
    weights = sum(value.const_value.nbytes for value in program.model.graph.initializers.values() if value.const_value)
    program.save(str(file), external_data=weights > one_file)


def _traced(tower: nn.Module, name: str, example: Tensor) -> torch.onnx.ONNXProgram:
    with warnings.catch_warnings(), torch.inference_mode(), out_of_place(tower):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            tower,
            (example,),
            dynamo=True,
            input_names=[name],
            output_names=["vectors", "regions"] if isinstance(tower, _Both) else ["vectors"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
    assert program is not None
    return program
