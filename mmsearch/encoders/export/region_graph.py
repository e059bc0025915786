"""``regions.onnx``: the part of a model folder that makes region tokens of what ``image.onnx`` computes anyway.

It is no graph of its own: its nodes read tensors of the image graph by name.  ``OnnxEncoder`` puts the bytes of both
files after each other, which protobuf reads as one graph.  So a model can get regions, or other ones, while the files
that hold its weights stay as they are.
"""

from __future__ import annotations

import hashlib
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

from mmsearch.encoders.onnx.encoder import REGIONS
from mmsearch.encoders.protocol import ModelCard, RegionCard
from mmsearch.encoders.torch.projection import Projection, pool_matrix
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
    weights = {"top": _array(projection.top.weight) * projection.top_scale}
    if projection.mid is not None:
        weights["mid"] = _array(projection.mid.weight) * projection.mid_scale
    if projection.second is not None:
        weights["second"] = _array(projection.second.weight)
    sources = levels(image, folder)
    part = onnx.ModelProto()
    graph, sums = part.graph, []
    for name in weights:
        if name not in sources:
            raise ModelError(f"the projection takes the grid of a second branch, which {folder} does not have")
        source, width, height, length = sources[name]
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
        second = stored.get("regions.second.weight:half")
        bias = stored["regions.bias"]
    except Exception as error:  # onnx and protobuf raise many kinds
        raise ModelError(f"{folder / REGIONS} cannot be read: {' '.join(str(error).split())[:200]}") from error
    widths = [0 if level is None else level.shape[1] for level in (mid, second)]
    made = Projection(top.shape[1], widths[0], top.shape[0], round(cells**0.5), second_width=widths[1])
    with torch.no_grad():
        made.top.weight.copy_(torch.from_numpy(top))
        made.top.bias.copy_(torch.from_numpy(bias[:, 0]))
        if made.mid is not None and mid is not None:
            made.mid.weight.copy_(torch.from_numpy(mid))
        if made.second is not None and second is not None:
            made.second.weight.copy_(torch.from_numpy(second))
    return made.eval().requires_grad_(False)


def levels(image: onnx.ModelProto, folder: Path) -> dict[str, Level]:
    """The tensors of an image graph that ``ImageTower.levels`` gives: ``top``, the grid that the pool sees, ``mid``,
    what goes into the last block that halves it, and ``second``, the grid of a second branch, where there is one.

    They are found by following the graph back from the pools' scores, whose weights have names.  Raises ModelError.
    """
    makers = {name: node for node in image.graph.node for name in node.output}
    names = [*makers, *(tensor.name for tensor in image.graph.initializer)]
    scores = {name for name in names if name.endswith("pool.score.weight")}
    found = {}
    for name, wanted in (("top", False), ("second", True)):
        score = next((one for one in scores if ("second." in one) == wanted), None)
        grid = None if score is None else _read_with(score, image)
        while grid in makers and makers[grid].op_type in _SHAPING:
            grid = makers[grid].input[0]
        if grid is not None:
            found[name] = grid
    mid = _before_halving(found["top"], makers) if "top" in found else None
    if mid is None:
        raise ModelError(f"{folder / 'image.onnx'} is no image tower of the embedded kind: no grid was found in it")
    found["mid"] = mid
    sized = {}
    for name, shape in zip(found, _shapes(image, list(found.values())), strict=True):
        if len(shape) != 4:
            raise ModelError(f"{folder / 'image.onnx'}: {found[name]} has the shape {shape} where a grid was expected")
        sized[name] = (found[name], shape[1], shape[2], shape[3])
    return sized


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


def convolved_with(weight: str, image: onnx.ModelProto) -> str:
    """The tensor that the convolution with ``weight`` reads, before it is padded.  Raises ModelError without one."""
    makers = {name: node for node in image.graph.node for name in node.output}
    for node in image.graph.node:
        if node.op_type == "Conv" and node.input[1] == weight:
            return _through(node.input[0], makers, {"Pad"})
    raise ModelError(f"no convolution of the image graph has the weight {weight}")


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
