"""A module of one shape is traced once in a session of tests: to make a graph of it takes ten seconds, to fill it none.

A graph is kept without its weights, on disk, so that each process of ``pytest -n`` has it.  Nothing in one that is kept
may depend on the weights: each float tensor of several values is one of the module's, to the bit, or all ones.  A graph
that was filled must say what torch says of the module, so nothing that was computed from a single value is stale
either.  Where any of this fails, the module is traced.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from mmsearch.encoders.export import graphs, open_clip

Array = NDArray[Any]
PLAIN = (bool, int, float, str, tuple, list, type(None), torch.dtype)
IGNORED = ("_parameters", "_buffers", "_modules", "card_name")  # listed above, or of no meaning to a graph
FILL = "to be filled: "
CLOSE = 1e-4  # of the largest value: how far the filled graph may be from torch

# What torch can put into a graph is listed anew for each, from the sources: half a second, and each time the same.
ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))  # type: ignore[method-assign]


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Graphs that are traced within are kept in ``folder`` for the next module of the same shape."""
    folder.mkdir(exist_ok=True)
    before = graphs.traced
    plain = vars(before).get("plain", before)

    def traced(
        module: nn.Module, examples: dict[str, Tensor], dynamic: dict[str, dict[int, Any]], outputs: list[str]
    ) -> onnx.ModelProto:
        given = [(name, str(one.dtype), tuple(one.shape), repr(dynamic[name])) for name, one in examples.items()]
        said = repr((given, outputs, torch.backends.mha.get_fastpath_enabled(), described(module)))
        file = folder / f"{hashlib.sha256(said.encode()).hexdigest()}.onnx"
        values = {name: one.detach().numpy() for name, one in _tensors(module).items()}
        if file.exists():
            graph = filled(onnx.load(file), values)
            if _agrees(graph, module, examples, outputs):
                return graph
        graph = plain(module, examples, dynamic, outputs)
        without = emptied(graph, values)
        if without is not None:
            draft = file.with_suffix(f".{os.getpid()}")
            onnx.save(without, draft)
            draft.replace(file)
        return graph

    vars(traced)["plain"] = plain
    graphs.traced = traced
    try:
        yield
    finally:
        graphs.traced = before


@contextmanager
def kept_exports(folder: Path) -> Iterator[None]:
    """What an export makes of an open_clip tower is kept in ``folder`` for the next one with the very same weights."""
    folder.mkdir(exist_ok=True)
    plain = open_clip._traced

    def traced(tower: nn.Module, name: str, example: Tensor) -> torch.onnx.ONNXProgram:
        digest = hashlib.sha256(repr((described(tower), name, tuple(example.shape))).encode())
        for values in _tensors(tower).values():
            digest.update(values.detach().numpy().tobytes())
        made = folder / f"{digest.hexdigest()}.onnx"
        if not made.exists():
            draft = made.with_suffix(f".{os.getpid()}")
            plain(tower, name, example).save(str(draft), external_data=False)
            draft.replace(made)
        return torch.onnx.ONNXProgram(onnx_ir.load(made), None)

    open_clip._traced = traced
    try:
        yield
    finally:
        open_clip._traced = plain


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    parameters, buffers = module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    return {**dict(parameters), **dict(buffers)}


def described(module: nn.Module) -> list[Any]:
    """All that its graph depends on but for the values of tensors; of objects that are no modules only their kind."""
    found: list[Any] = [(name, str(one.dtype), tuple(one.shape)) for name, one in _tensors(module).items()]
    for name, one in module.named_modules(remove_duplicate=False):
        own: list[Any] = [name, type(one).__module__, type(one).__qualname__, type(one).forward.__qualname__]
        for key, value in sorted(vars(one).items()):
            if key in IGNORED:
                continue
            if isinstance(value, PLAIN):
                own.append((key, repr(value)))
            elif inspect.ismethod(value) and isinstance(value.__self__, nn.Module):
                own.append((key, value.__func__.__qualname__, described(value.__self__)))
            else:
                own.append((key, getattr(value, "__qualname__", type(value).__qualname__)))
        found.append(own)
    return found


def emptied(graph: onnx.ModelProto, values: dict[str, Array]) -> onnx.ModelProto | None:
    """A graph without the tensors that ``values`` has; None where one of its own may come from those."""
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    for tensor in made.graph.initializer:
        value = numpy_helper.to_array(tensor)
        source = _source(tensor.name, value, values)
        if source is not None:
            made.metadata_props.add(key=FILL + tensor.name, value=source)
            tensor.raw_data = b""
        elif tensor.data_type == TensorProto.FLOAT and value.size > 1 and not (value == 1).all():
            return None
    return made


def _source(name: str, value: Array, values: dict[str, Array]) -> str | None:
    """Which of ``values`` a tensor is: that of its name, or one in another shape, which a graph has small ones in."""
    if name in values:
        return name if np.array_equal(value, values[name]) else None
    if value.size < 64 or value.dtype != np.float32 or not value.std():
        return None
    alike = [other for other, own in values.items() if np.array_equal(own.ravel(), value.ravel())]
    return alike[0] if len(alike) == 1 else None


def filled(graph: onnx.ModelProto, values: dict[str, Array]) -> onnx.ModelProto:
    """What ``emptied`` made, with these tensors."""
    sources = {one.key: one.value for one in graph.metadata_props}
    for tensor in graph.graph.initializer:
        if FILL + tensor.name in sources:
            own = values[sources[FILL + tensor.name]].reshape(tuple(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(own), tensor.name))
    kept = [one for one in graph.metadata_props if not one.key.startswith(FILL)]
    del graph.metadata_props[:]
    graph.metadata_props.extend(kept)
    return graph


def _agrees(graph: onnx.ModelProto, module: nn.Module, examples: dict[str, Tensor], outputs: list[str]) -> bool:
    rng = np.random.default_rng(0)
    given = {}
    for name, one in examples.items():
        shape = tuple(one.shape)
        if one.dtype == torch.float32:
            given[name] = torch.from_numpy(rng.standard_normal(shape, np.float32))
        else:
            given[name] = torch.from_numpy(rng.integers(0, 256, shape, np.uint8)) if one.dtype == torch.uint8 else one
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(outputs, {name: one.numpy() for name, one in given.items()})
    with torch.no_grad():
        said = module(*given.values())
    wanted = [one.numpy() for one in ((said,) if isinstance(said, Tensor) else said)]
    return all(np.abs(a - b).max() <= CLOSE * np.abs(b).max() for a, b in zip(found, wanted, strict=True))
