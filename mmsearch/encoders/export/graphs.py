"""The embedded model as two small ONNX graphs, and back; graphs that exist with other weights, and parts of them.

Weights are stored small and computed with in float32: matrices of the text tower as int8 with a scale a row, the image
tower as float16.  The graph itself turns them into float32; ONNX Runtime does that once, when it loads the graph.
Names of the stored tensors are those of the torch state dict, so that torch can read them back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxscript.optimizer import fold_constants, remove_unused_nodes
from torch import Tensor, nn

from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, TextTower, fold_batch_norms

log = logging.getLogger(__name__)

CLOSE = 0.99  # least cosine of a graph's vectors, whose weights are rounded, to the tower's
SMALL = 2048  # values; smaller tensors (norms, biases) stay float32


class _FromBytes(nn.Module):
    """(n, size, size, 3) uint8 -> what ``ImageTower`` takes."""

    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.tower(pixels.permute(0, 3, 1, 2).float() / 255)
        return vectors


def write(images: ImageTower, texts: TextTower, config: EmbeddedConfig, folder: Path, like: Path | None = None) -> None:
    """``image.onnx`` and ``text.onnx`` into ``folder``; batch norms of ``images`` are folded on the way.

    ``like`` is a folder with graphs of towers of the same ``config``: they get these weights, which takes a second
    where to trace the towers takes twenty.  Where they then say something else than the towers, these are traced.
    """
    fold_batch_norms(images)
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX form
    some, rng = torch.export.Dim.DYNAMIC, np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (2, config.image_size, config.image_size, 3), np.uint8))
    ids = torch.from_numpy(rng.integers(0, config.vocabulary, (2, min(9, config.context))))
    ids[1, 5:] = config.pad_id
    parts = (
        ("image.onnx", _FromBytes(images), pixels, "pixels", {0: some}, False),
        ("text.onnx", texts, ids, "ids", {0: some, 1: some}, True),
    )
    for name, module, example, given, dynamic, to_int8 in parts:
        graph = None if like is None else refilled(like / name, module.eval(), example, to_int8)
        if graph is None:
            with torch.no_grad():
                graph = _graph(module.eval(), example, given, dynamic)
            shrink(graph, to_int8)
        onnx.save(graph, folder / name)


def refilled(file: Path, module: nn.Module, example: Tensor, to_int8: bool) -> onnx.ModelProto | None:
    """The graph in ``file`` with the weights of ``module``, which is as the one that the graph was made of.

    None where the file cannot be read, where its weights have other names, shapes or types, or where the vectors of
    ``example`` are then not those of ``module``.
    """
    try:
        model = onnx.load(file)
        stored = {tensor.name: tensor for tensor in model.graph.initializer if _weight(tensor.name)}
        wanted: dict[str, TensorProto] = {}
        for name, values in module.state_dict().items():
            wanted |= {small.name: small for small in _small(name, values.detach().float().numpy(), to_int8)}
        if _kinds(stored) != _kinds(wanted):
            raise ValueError("its weights have other names, shapes or types")
        for name, tensor in stored.items():
            tensor.CopyFrom(wanted[name])
        (found,) = session_of(model)(example.numpy())
        with torch.no_grad():
            vectors = module(example).numpy()
        if found.shape != vectors.shape or not float((found * vectors).sum(axis=1).min()) >= CLOSE:
            raise ValueError("it gives other vectors")
    except Exception as error:  # onnx and ONNX Runtime raise many kinds
        log.info("%s is not used again, and the tower is traced: %s", file, " ".join(str(error).split())[:200])
        return None
    return model


def _kinds(tensors: dict[str, TensorProto]) -> dict[str, tuple[int, tuple[int, ...]]]:
    return {name: (tensor.data_type, tuple(tensor.dims)) for name, tensor in tensors.items()}


def runner(module: nn.Module, example: Tensor) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """``module`` in eval mode as a function of NumPy arrays with any number of rows, through ONNX Runtime in memory."""
    with torch.no_grad():
        graph = _graph(module.eval(), example, "given", {0: torch.export.Dim.DYNAMIC})
    run = session_of(graph)
    return lambda given: run(given)[0]


def session_of(graph: onnx.ModelProto) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    """A graph with one input as a function of NumPy arrays, through ONNX Runtime in memory."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def run(values: NDArray[Any]) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = session.run(None, {given.name: values})
        return found

    return run


def up_to(model: onnx.ModelProto, tensors: Sequence[str]) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    """The part of ``model`` that makes some of its ``tensors``, as a function of NumPy arrays; ``model`` is changed."""
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
    return session_of(model)


def _graph(module: nn.Module, example: Tensor, name: str, dynamic: dict[int, Any]) -> onnx.ModelProto:
    return traced(module, {name: example}, {name: dynamic}, ["vectors"])


def traced(
    module: nn.Module, examples: dict[str, Tensor], dynamic: dict[str, dict[int, Any]], outputs: list[str]
) -> onnx.ModelProto:
    """``module`` as a graph.  ``examples`` has its inputs by name and in order, ``dynamic`` the sizes of each that may
    differ from the example's."""
    with out_of_place(module):
        program = torch.onnx.export(
            module, tuple(examples.values()), input_names=list(examples), output_names=outputs,
            dynamic_shapes=tuple(dynamic[name] for name in examples), dynamo=True, optimize=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    # Scalars are folded, which lets ONNX Runtime merge convolution and clip; weights keep their names and shapes.
    fold_constants(program.model, should_fold=lambda node: False if node.op_type == "Transpose" else None)
    remove_unused_nodes(program.model)
    proto: onnx.ModelProto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # where in the Python sources it came from: 10 times the size of the graph
    return proto


@contextmanager
def out_of_place(module: nn.Module) -> Iterator[None]:
    """Activations do not overwrite what they are given, which takes half of an export to be undone again."""
    changed = [one for one in module.modules() if getattr(one, "inplace", False) is True]
    for one in changed:
        vars(one)["inplace"] = False
    try:
        yield
    finally:
        for one in changed:
            vars(one)["inplace"] = True


def shrink(model: onnx.ModelProto, to_int8: bool) -> None:
    """Replace large float32 weights by int8 with scales or by float16, and nodes that undo it."""
    graph = model.graph
    kept: list[Any] = []
    undo: list[Any] = []
    for tensor in graph.initializer:
        name = tensor.name
        if tensor.data_type != TensorProto.FLOAT:
            kept.append(tensor)
            continue
        small = _small(name, numpy_helper.to_array(tensor), to_int8)
        kept += small
        if len(small) > 1:
            gathers = [node for node in graph.node if node.op_type == "Gather" and node.input[0] == name]
            for number, node in enumerate(gathers):  # an embedding table stays int8; only the rows in use are scaled
                _gather(node, name, f"{name}:{number}", undo)
            if any(name in node.input for node in graph.node):
                undo.append(helper.make_node("Cast", [f"{name}:int8"], [f"{name}:float"], to=TensorProto.FLOAT))
                undo.append(helper.make_node("Mul", [f"{name}:float", f"{name}:scale"], [name]))
        elif small[0].name != name:
            undo.append(helper.make_node("Cast", [f"{name}:half"], [name], to=TensorProto.FLOAT))
    nodes = [*undo, *graph.node]
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(kept)
    graph.node.extend(_sorted(nodes, {tensor.name for tensor in kept} | {given.name for given in graph.input}))
    onnx.checker.check_model(model)


def _small(name: str, values: NDArray[np.float32], to_int8: bool) -> list[TensorProto]:
    """What a weight is stored as: int8 with scales, float16, or, where it is small already, as it is."""
    if values.size < SMALL:
        return [numpy_helper.from_array(values, name)]
    if to_int8 and values.ndim in (2, 4):
        rows, scales = quantize(values)
        return [numpy_helper.from_array(rows, f"{name}:int8"), numpy_helper.from_array(scales, f"{name}:scale")]
    return [numpy_helper.from_array(values.astype(np.float16), f"{name}:half")]


def _weight(name: str) -> bool:
    """Whether a stored tensor is a module's weight, or a part of one; constants of the graph have no dot."""
    return "." in name.partition(":")[0]


def _gather(node: Any, name: str, prefix: str, undo: list[Any]) -> None:
    """Gather int8 rows and their scales, then multiply: the same rows, a quarter of the memory."""
    ids, out = node.input[1], node.output[0]
    node.input[0], node.output[0] = f"{name}:int8", f"{prefix}:rows"
    undo.append(helper.make_node("Cast", [f"{prefix}:rows"], [f"{prefix}:floats"], to=TensorProto.FLOAT))
    undo.append(helper.make_node("Gather", [f"{name}:scale", ids], [f"{prefix}:scales"], axis=0))
    undo.append(helper.make_node("Mul", [f"{prefix}:floats", f"{prefix}:scales"], [out]))


def _sorted(nodes: list[Any], known: set[str]) -> list[Any]:
    """Nodes in an order in which every input is computed before it is used."""
    ready, waiting = [], list(nodes)
    known = known | {""}
    while waiting:
        now = [node for node in waiting if all(value in known for value in node.input)]
        if not now:
            raise ValueError("the graph has a loop")
        known.update(value for node in now for value in node.output)
        waiting = [node for node in waiting if not all(value in known for value in node.output)]
        ready += now
    return ready


def quantize(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 with a scale a row: (rows, …) -> int8 of the same shape and scales (rows, 1, …)."""
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
    scales = np.maximum(largest, 1e-12).astype(np.float32) / 127
    return np.clip(np.rint(values / scales), -127, 127).astype(np.int8), scales


def read_weights(file: Path) -> dict[str, Tensor]:
    """The float32 state dict of a graph that ``write`` made."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    state = {}
    for name, values in stored.items():
        base, _, kind = name.partition(":")
        if kind == "int8":
            state[base] = values.astype(np.float32) * stored[f"{base}:scale"]
        elif kind == "half" or (not kind and _weight(name)):
            state[base] = values.astype(np.float32)
    return {name.removeprefix("tower."): torch.from_numpy(np.ascontiguousarray(v)) for name, v in state.items()}
