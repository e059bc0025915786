"""An open_clip model as others publish it: ONNX graphs in the layout of https://huggingface.co/immich-app."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from mmsearch.encoders.export.graphs import out_of_place
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder

VISUAL, TEXTUAL = "visual/model.onnx", "textual/model.onnx"
# A program that is ``mmsearch`` where these cannot be imported.
WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "open_clip", "transformers", "timm"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Blocked())
from mmsearch.cli.app import main
main()
"""


class _Images(nn.Module):
    """(n, 3, size, size) float32 -> vectors, whose lengths differ unless they are ``unit``."""

    def __init__(self, model: Any, unit: bool) -> None:
        super().__init__()
        self.model, self.unit = model, unit

    def forward(self, image: Tensor) -> Tensor:
        vectors: Tensor = self.model.encode_image(image, normalize=self.unit)
        return vectors


class _Texts(_Images):
    """(n, context) int32 -> vectors."""

    def forward(self, text: Tensor) -> Tensor:
        vectors: Tensor = self.model.encode_text(text, normalize=self.unit)
        return vectors


def write_published(
    folder: Path, encoder: OpenClipEncoder, model_cfg: dict[str, Any], rows: int | None = 1, unit: bool = True
) -> None:
    """``rows`` of each run, None for any number; ids are int32."""
    for top in ("visual", "textual"):
        (folder / top).mkdir(parents=True)
    model: Any = encoder.images.model
    prepared, context = encoder.card.preprocess, encoder.card.tokens.context
    pictures = torch.zeros((rows or 2, 3, prepared.size, prepared.size))
    _graph(_Images(model, unit), "image", pictures, folder / VISUAL, rows)
    _graph(_Texts(model, unit), "text", torch.zeros((rows or 2, context), dtype=torch.int32), folder / TEXTUAL, rows)
    facts = {
        "size": [prepared.size, prepared.size],
        "mode": "RGB",
        "mean": list(prepared.mean),
        "std": list(prepared.std),
        "interpolation": prepared.interpolation,
        "resize_mode": prepared.resize_mode,
        "fill_color": 0,
    }
    (folder / "visual" / "preprocess_cfg.json").write_text(json.dumps(facts), "utf-8")
    (folder / "config.json").write_text(json.dumps(model_cfg), "utf-8")
    encoder.tokenizer.save(str(folder / "textual" / "tokenizer.json"))
    end = "<end_of_text>" if encoder.tokenizer.token_to_id("<end_of_text>") is not None else "</s>"
    tokens = {"pad_token": {"content": end, "lstrip": False}, "eos_token": end}
    (folder / "textual" / "tokenizer_config.json").write_text(json.dumps(tokens), "utf-8")
    (folder / "visual" / "model.armnn").write_bytes(b"for another runtime")


def _graph(module: nn.Module, name: str, example: Tensor, file: Path, rows: int | None) -> None:
    dynamic = None if rows else ({0: torch.export.Dim.DYNAMIC},)
    with warnings.catch_warnings(), torch.inference_mode(), out_of_place(module):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), (example,), dynamo=True, input_names=[name], output_names=["found"],
            dynamic_shapes=dynamic, verbose=False,
        )  # fmt: skip
    assert program is not None
    program.save(str(file), external_data=False)


def recast(file: Path, given: int, found: int | None = None) -> None:
    """The graph takes its input, and gives its output, in other types of numbers."""
    model = onnx.load(file)
    graph = model.graph
    before = graph.input[0].type.tensor_type.elem_type
    name, output = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        for number, each in enumerate(node.input):
            if each == name:
                node.input[number] = f"{name}:inside"
        for number, each in enumerate(node.output):
            if each == output:
                node.output[number] = f"{output}:inside"
    graph.node.insert(0, helper.make_node("Cast", [name], [f"{name}:inside"], to=before))
    graph.node.append(helper.make_node("Cast", [f"{output}:inside"], [output], to=found or TensorProto.FLOAT))
    graph.input[0].type.tensor_type.elem_type = given
    graph.output[0].type.tensor_type.elem_type = found or TensorProto.FLOAT
    onnx.save(model, file)


def outside(file: Path) -> None:
    """The weights of the graph lie in a file beside it."""
    onnx.save(onnx.load(file), file, save_as_external_data=True, location=f"{file.name}.data")
