"""An exported model with its large matrix products in int8; imports neither torch nor open_clip.

Weights get a scale a column, once; what they are multiplied with gets a scale a row, in each run ("vector-wise
quantization", Dettmers et al. 2022, arXiv:2208.07339, section 3.1).  So a vector does not depend on the other rows of a
run, and a token with large values does not coarsen all others, as it does with one scale for all
(``onnxruntime.quantization.quantize_dynamic``).  Attention, norms, convolutions and embedding tables stay float32.

Sums of the products are exact on every CPU (``onnx_session.EXACT``), so a library can move to another machine.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.export.atomic_folder import ONE_FILE, published
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError

# Least cosine to the float32 vector.  Vectors of pictures and texts that are all turned at random by so much lose 0.5
# points of R@1 (28.1 %) and 0.4 of R@10 (72.6 %): the embedded model on Flickr8k dev, ``benchmarks/int8.py --data``.
CLOSE = 0.99
_TOP = 127


def quantized(exported: OnnxEncoder, folder: Path, one_file: float = ONE_FILE) -> OnnxEncoder:
    """Writes ``exported``, whose graphs are float32, in int8 to ``folder``, which appears complete or not at all.

    Raises ModelError where that changes its vectors, or region tokens, too much.
    """
    card = replace(exported.card, precision="int8")

    def fill(draft: Path) -> None:
        for name in ("image.onnx", "text.onnx"):
            rewrite(exported.folder / name, draft / name, one_file)
        shutil.copyfile(exported.folder / "tokenizer.json", draft / "tokenizer.json")
        (draft / "model.json").write_text(card.to_json(), "utf-8")
        cosine = agreement(exported, OnnxEncoder(draft))
        if not cosine > CLOSE:
            raise ModelError(
                f"int8 changes the vectors of {card.name} too much (cosine {cosine:.3f}, wanted {CLOSE}): use float32"
            )

    return published(folder, fill)


def rewrite(source: Path, target: Path, one_file: float = ONE_FILE) -> None:
    """A graph with its products of float32 rows and a stored matrix in int8; opset 18 or later."""
    model = onnx.load(source)
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[Any] = []
    added: dict[str, Any] = {}
    for node in graph.node:
        weights = _matrix(node, stored)
        nodes += [node] if weights is None else _product(node, weights, added)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    kept += [numpy_helper.from_array(values, name) for name, values in added.items()]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    large = sum(len(tensor.raw_data) for tensor in kept) > one_file
    onnx.save(model, target, save_as_external_data=large, location=f"{target.name}.data")


def _matrix(node: Any, stored: dict[str, Any]) -> NDArray[np.float32] | None:
    """The stored matrix (k, m) that a node multiplies rows of k values with; None for any other node."""
    tensor = stored.get(node.input[1]) if node.op_type in ("MatMul", "Gemm") else None
    if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
        return None
    facts = {fact.name: helper.get_attribute_value(fact) for fact in node.attribute}
    if facts.get("transA") or facts.get("alpha", 1) != 1 or facts.get("beta", 1) != 1:
        return None
    values: NDArray[np.float32] = numpy_helper.to_array(tensor)
    return values.T if facts.get("transB") else values


def _product(node: Any, weights: NDArray[np.float32], added: dict[str, Any]) -> list[Any]:
    """Nodes for rows @ weights (+ bias); the constants that they need are ``added``."""
    rows, out, made = node.input[0], node.output[0], f"{node.output[0]}:int8:"
    scales = np.maximum(np.abs(weights).max(axis=0), 1e-12).astype(np.float32) / _TOP  # (m,)
    added[f"{made}weights"] = np.ascontiguousarray(np.rint(weights / scales).astype(np.int8))
    added[f"{made}scales"] = scales / _TOP
    added["int8:last"] = np.array([-1], np.int64)
    added["int8:least"] = np.array(1e-20, np.float32)
    added["int8:one"], added["int8:top"] = np.array(1, np.float32), np.array(_TOP, np.float32)
    # Rows become uint8 around 128: of the products that ONNX Runtime has, that is the quick one.
    added["int8:middle"], added[f"{made}zero"] = np.array(128, np.uint8), np.array(0, np.int8)
    bias = [name for name in node.input[2:] if name]
    product = f"{made}product" if bias else out
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Abs", [rows], f"{made}sizes", {}),
        ("ReduceMax", [f"{made}sizes", "int8:last"], f"{made}largest", {"keepdims": 1}),
        ("Max", [f"{made}largest", "int8:least"], f"{made}top", {}),
        ("Div", ["int8:top", f"{made}top"], f"{made}factor", {}),
        ("Mul", [rows, f"{made}factor"], f"{made}scaled", {}),
        ("QuantizeLinear", [f"{made}scaled", "int8:one", "int8:middle"], f"{made}rows", {}),
        ("MatMulInteger", [f"{made}rows", f"{made}weights", "int8:middle", f"{made}zero"], f"{made}whole", {}),
        ("Cast", [f"{made}whole"], f"{made}float", {"to": TensorProto.FLOAT}),
        ("Mul", [f"{made}float", f"{made}scales"], f"{made}columns", {}),
        ("Mul", [f"{made}columns", f"{made}top"], product, {}),
    ]
    if bias:
        steps.append(("Add", [product, *bias], out, {}))
    return [helper.make_node(kind, given, [found], **facts) for kind, given, found, facts in steps]
