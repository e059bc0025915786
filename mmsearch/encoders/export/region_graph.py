"""``regions.onnx``: the part of a model folder that makes region tokens of what ``image.onnx`` computes anyway.

It is no graph of its own: its nodes read two tensors of the image graph by name, and its pixels where a second backbone
joins in.  ``OnnxEncoder`` puts the bytes of both files after each other, which protobuf reads as one graph.  So a model
can get regions, or other ones, while the files that hold its weights stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mmsearch.encoders.export import graphs
from mmsearch.encoders.onnx.encoder import REGIONS
from mmsearch.encoders.protocol import ModelCard, RegionCard
from mmsearch.encoders.torch.projection import Projection, Second, pool_matrix
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import atomic_write

Level = tuple[str, int, int, int]  # a tensor of the image graph: name, channels, height, width

_SHAPING = {"LayerNormalization", "Transpose", "Reshape", "Flatten"}  # between the grid and the pool's scores
_ACTIVATIONS = {"Clip", "Relu", "Sigmoid", "HardSigmoid", "HardSwish", "Mul", "Gelu", "Swish", "Pad"}


def write(folder: Path, projection: Projection) -> ModelCard:
    """``regions.onnx`` into a model folder of the embedded architecture, and the card of the regions into its
    ``model.json``, which keeps its fingerprint.

    Weights are stored as float16, with the scales multiplied in.  Raises ModelError when the image graph is of another
    kind or has other widths than ``projection``.
    """
    image = onnx.load(folder / "image.onnx")
    top, mid = levels(image, folder)
    weights = {"top": _array(projection.top.weight) * projection.top_scale}
    if projection.mid is not None:
        weights["mid"] = _array(projection.mid.weight) * projection.mid_scale
    part = onnx.ModelProto()
    graph, sums = part.graph, []
    sources = {"top": top, "mid": mid}
    if projection.second is not None and projection.second_map is not None:
        size = ModelCard.read(folder).preprocess.size
        sources["second"] = _add_second(part, projection.second, size)
        weights["second"] = _array(projection.second_map.weight)
    for name, tensor in sources.items():
        if name not in weights:
            continue
        source, width, height, length = tensor
        if weights[name].shape[1] != width:
            raise ModelError(
                f"the projection takes {weights[name].shape[1]} channels of {source}, which has {width} in {folder}"
            )
        base = f"regions.{name}"
        matrix = pool_matrix(height, length, projection.side).T
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(matrix), f"{base}.pool"))
        graph.initializer.append(numpy_helper.from_array(np.array([0, width, -1]), f"{base}.flat"))
        graph.initializer.append(numpy_helper.from_array(weights[name].astype(np.float16), f"{base}.weight:half"))
        graph.node.extend(
            [
                helper.make_node("Cast", [f"{base}.weight:half"], [f"{base}.weight"], to=TensorProto.FLOAT),
                helper.make_node("Reshape", [source, f"{base}.flat"], [f"{base}.cells"]),
                # (n, width, cells) x (cells, side²), then (dim, width) x (n, width, side²)
                helper.make_node("MatMul", [f"{base}.cells", f"{base}.pool"], [f"{base}.pooled"]),
                helper.make_node("MatMul", [f"{base}.weight", f"{base}.pooled"], [f"{base}.mapped"]),
            ]
        )
        sums.append(f"{base}.mapped")
    bias = _array(projection.top.bias).reshape(-1, 1)
    graph.initializer.append(numpy_helper.from_array(bias, "regions.bias"))
    while len(sums) > 1:
        both = f"regions.sum{len(sums)}"
        graph.node.append(helper.make_node("Add", sums[:2], [both]))
        sums = [both, *sums[2:]]
    graph.node.append(helper.make_node("Add", [sums[0], "regions.bias"], ["regions.columns"]))
    graph.node.append(helper.make_node("Transpose", ["regions.columns"], ["regions"], perm=[0, 2, 1]))
    shape = ["n", projection.side**2, projection.dim]
    graph.output.append(helper.make_tensor_value_info("regions", TensorProto.FLOAT, shape))
    content = part.SerializeToString(deterministic=True)
    onnx.checker.check_model((folder / "image.onnx").read_bytes() + content)
    card = RegionCard(projection.side, projection.dim, hashlib.sha256(content).hexdigest())
    return _put(folder, content, card)


class _States(torch.nn.Module):
    """(n, size, size, 3) uint8 -> the last states of a second backbone."""

    def __init__(self, second: Second) -> None:
        super().__init__()
        self.second = second

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.second(pixels.permute(0, 3, 1, 2).float() / 255)
        return states


def _add_second(part: onnx.ModelProto, second: Second, size: int) -> Level:
    """Puts a second backbone into ``part``, under names of its own; the tensor with its states."""
    pixels = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with torch.no_grad():
        example = second(torch.zeros(1, 3, size, size))
        sizes = {"pixels": {0: torch.export.Dim.DYNAMIC}}
        whole = graphs.traced(_States(second).eval(), {"pixels": pixels}, sizes, ["states"])
    graphs.shrink(whole, to_int8=False)

    def name(old: str) -> str:
        return old if old in ("", "pixels") else f"second/{old}"

    for tensor in whole.graph.initializer:
        tensor.name = name(tensor.name)
    for node in whole.graph.node:
        node.name = name(node.name)
        node.input[:] = [name(value) for value in node.input]
        node.output[:] = [name(value) for value in node.output]
    part.graph.initializer.extend(whole.graph.initializer)
    part.graph.node.extend(whole.graph.node)
    facts = {"backbone": second.backbone, "size": second.size, "width": example.shape[1]}
    part.metadata_props.add(key="second", value=json.dumps(facts))
    return name("states"), example.shape[1], example.shape[2], example.shape[3]


def _put(folder: Path, content: bytes, regions: RegionCard) -> ModelCard:
    """Both files, each whole or not at all; the card comes last."""
    card = replace(ModelCard.read(folder), regions=regions)
    for name, data in ((REGIONS, content), ("model.json", card.to_json().encode())):
        atomic_write(folder / name, data)
    return card


def read(folder: Path) -> Projection:
    """The projection that ``write`` stored, its scales 1 because they are in the weights.  Raises ModelError."""
    try:
        part = onnx.load(folder / REGIONS)
        graph = part.graph
        stored = {tensor.name: numpy_helper.to_array(tensor).astype(np.float32) for tensor in graph.initializer}
        cells = graph.output[0].type.tensor_type.shape.dim[1].dim_value
        top, mid = stored["regions.top.weight:half"], stored.get("regions.mid.weight:half")
        bias = stored["regions.bias"]
    except Exception as error:  # onnx and protobuf raise many kinds
        raise ModelError(f"{folder / REGIONS} cannot be read: {' '.join(str(error).split())[:200]}") from error
    second, width = _read_second(part)
    side = round(cells**0.5)
    made = Projection(top.shape[1], 0 if mid is None else mid.shape[1], top.shape[0], side, 1.0, 1.0, second, width)
    with torch.no_grad():
        made.top.weight.copy_(torch.from_numpy(top))
        made.top.bias.copy_(torch.from_numpy(bias[:, 0]))
        if made.mid is not None and mid is not None:
            made.mid.weight.copy_(torch.from_numpy(mid))
        if made.second_map is not None:
            made.second_map.weight.copy_(torch.from_numpy(stored["regions.second.weight:half"]))
    return made.eval().requires_grad_(False)


def _read_second(part: onnx.ModelProto) -> tuple[Second | None, int]:
    """The second backbone and its channels; None and 0 where there is none."""
    facts = next((json.loads(entry.value) for entry in part.metadata_props if entry.key == "second"), None)
    if facts is None:
        return None, 0
    second = Second(facts["backbone"], facts["size"])
    state = {}
    for tensor in part.graph.initializer:
        name, _, kind = tensor.name.removeprefix("second/second.").partition(":")
        if tensor.name.startswith("second/second.") and kind in ("", "half"):
            state[name] = torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32).copy())
    second.load_state_dict(state)
    return second, facts["width"]


def levels(image: onnx.ModelProto, folder: Path) -> tuple[Level, Level]:
    """The two tensors of an image graph that ``ImageTower.levels`` gives: the grid that the pool sees, and what goes
    into the last block that halves it.

    They are found by following the graph back from the pool's scores, whose weights have a name.  Raises ModelError.
    """
    makers = {name: node for node in image.graph.node for name in node.output}
    score = next((name for name in makers if name.endswith("pool.score.weight")), None) or next(
        (tensor.name for tensor in image.graph.initializer if tensor.name.endswith("pool.score.weight")), None
    )
    top = None if score is None else _read_with(score, image)
    while top in makers and makers[top].op_type in _SHAPING:
        top = makers[top].input[0]
    mid = None if top is None else _before_halving(top, makers)
    if top is None or mid is None:
        raise ModelError(f"{folder / 'image.onnx'} is no image tower of the embedded kind: no grid was found in it")
    found = []
    for name, shape in zip((top, mid), _shapes(image, [top, mid]), strict=True):
        if len(shape) != 4:
            raise ModelError(f"{folder / 'image.onnx'}: {name} has the shape {shape} where a grid was expected")
        found.append((name, shape[1], shape[2], shape[3]))
    return found[0], found[1]


def _shapes(image: onnx.ModelProto, names: list[str]) -> list[tuple[int, ...]]:
    """The shapes of tensors for one picture, which ONNX's own inference does not know behind a resize."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as OnnxEncoder does
    import onnxruntime

    outputs = onnx.ModelProto()
    outputs.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(
        image.SerializeToString() + outputs.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    black = np.zeros((1, *given.shape[1:]), np.uint8)
    return [states.shape for states in session.run(names, {given.name: black})]


def _read_with(weight: str, image: onnx.ModelProto) -> str | None:
    """What is multiplied with a weight."""
    names = {weight}
    for node in image.graph.node:  # in an order in which inputs come first
        if names & set(node.input):
            if node.op_type in ("Cast", "Transpose"):
                names.update(node.output)
            elif node.op_type in ("MatMul", "Gemm"):
                other: str = next(name for name in node.input if name not in names)
                return other
    return None


def _before_halving(top: str, makers: dict[str, Any]) -> str | None:
    """What goes into the block of the nearest strided convolution above ``top``.

    Where that works channel by channel, its block begins with the expanding convolution before it.
    """
    waiting, seen = deque([top]), {top}
    while waiting:
        node = makers.get(waiting.popleft())
        if node is None:
            continue
        facts = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Conv" and max(facts.get("strides", [1])) > 1:
            source = _through(node.input[0], makers, _ACTIVATIONS)
            expanding = makers.get(source)
            if facts.get("group", 1) > 1 and expanding is not None and expanding.op_type == "Conv":
                source = expanding.input[0]
            return source
        for name in node.input:
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return None


def _through(name: str, makers: dict[str, Any], kinds: set[str]) -> str:
    while name in makers and makers[name].op_type in kinds:
        name = makers[name].input[0]
    return name


def _array(weight: torch.Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = weight.detach().float().cpu().numpy()
    return values
