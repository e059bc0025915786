"""Graphs on the CPU: where they are quick, loaded quickly for a few rows, then to last, with the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import GraphOptimizationLevel

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.session import EXACT, FEW, Graph
from mmsearch.errors import ModelError

REALLY_CLIPS = onnx_session.clips_products()
IDS = np.array([[101, 1037, 3899, 102]])  # [CLS] a dog [SEP]


@pytest.fixture(autouse=True)
def models() -> None:
    """Each test loads its own."""


def test_a_quick_graph_is_loaded_twice_and_says_the_same() -> None:
    graph = Graph([EMBEDDED / "text.onnx"], quick=True)
    quick = graph.session()
    assert all(graph.session() is quick for _ in range(FEW - 1))
    lasting = graph.session()
    assert lasting is not quick
    assert all(graph.session(rows) is lasting for rows in (1, FEW, 100))
    wanted = onnx_session.load([EMBEDDED / "text.onnx"]).run(["vectors"], {"ids": IDS})[0]
    for session in (quick, lasting):
        np.testing.assert_allclose(session.run(["vectors"], {"ids": IDS})[0], wanted, atol=1e-6)


def test_a_quick_graph_for_many_rows_is_loaded_once() -> None:
    graph = Graph([EMBEDDED / "text.onnx"], quick=True)
    lasting = graph.session(FEW + 1)
    assert graph.session() is lasting
    assert graph.session(100) is lasting


def test_any_other_graph_is_loaded_once() -> None:
    graph = Graph([EMBEDDED / "text.onnx"])
    lasting = graph.session(0)
    assert all(graph.session(rows) is lasting for rows in (1, FEW, 100))


def test_damaged_graph(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_bytes(b"damaged")
    graph = Graph([tmp_path / "text.onnx"])
    for _ in range(2):
        with pytest.raises(ModelError, match=r"text\.onnx cannot be loaded"):
            graph.session()


@pytest.mark.parametrize(
    ("machine", "facts", "clips"),
    [
        ("x86_64", "flags : avx avx2 fma bmi1", True),
        ("x86_64", "flags : avx2 avx512f avx512bw", True),
        ("x86_64", "flags : avx2 avx512f avx512_vnni", False),
        ("AMD64", "flags : avx2 avx_vnni", False),
        ("AMD64", "", True),  # Windows tells nothing
        ("x86_64", "model name : avx_vnni_int8", True),
        ("aarch64", "Features : asimddp", False),
        ("arm64", "", False),
    ],
)
def test_which_cpus_clip_sums_of_int8_products(machine: str, facts: str, clips: bool) -> None:
    assert onnx_session.clips(machine, facts) is clips


def entry(options: Any) -> str | None:
    try:
        return str(options.get_session_config_entry(EXACT))
    except RuntimeError:  # there is no such entry
        return None


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("clips", [False, True])
def test_how_graphs_are_loaded_on_both_kinds_of_cpus(
    clips: bool, quick: bool, integers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU that clips a graph with products of integers is never left as it is: the exact way would be left out."""
    made: list[Any] = []
    session_options = onnx_session.session_options

    def noted(threads: int, quick: bool, clips: bool) -> Any:
        made.append(session_options(threads, quick, clips))
        return made[-1]

    monkeypatch.setattr(onnx_session, "clips_products", lambda: clips)
    monkeypatch.setattr(onnx_session, "session_options", noted)
    session = onnx_session.load([int8_graph(tmp_path) if integers else EMBEDDED / "text.onnx"], quick=quick)
    as_it_is = quick and not (clips and integers)
    level = GraphOptimizationLevel.ORT_DISABLE_ALL if as_it_is else GraphOptimizationLevel.ORT_ENABLE_ALL
    (options,) = made
    assert (options.graph_optimization_level, entry(options)) == (level, "1" if clips else None)
    if integers and (clips or not REALLY_CLIPS):
        rows = np.full((3, 64), 255, np.uint8)  # each sum of two products is beyond 16 bits
        np.testing.assert_array_equal(session.run(None, {"rows": rows})[0], np.full((3, 64), 64 * 127 * 127))


def int8_graph(folder: Path) -> Path:
    rows = helper.make_tensor_value_info("rows", TensorProto.UINT8, ["n", 64])
    out = helper.make_tensor_value_info("out", TensorProto.INT32, ["n", 64])
    stored = [
        numpy_helper.from_array(np.full((64, 64), 127, np.int8), "weights"),
        numpy_helper.from_array(np.array(128, np.uint8), "middle"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
    ]
    node = helper.make_node("MatMulInteger", ["rows", "weights", "middle", "zero"], ["out"])
    made = helper.make_graph([node], "whole", [rows], [out], stored)
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "whole.onnx"
    )
    return folder / "whole.onnx"


def test_graphs_with_integer_products_are_told_by_their_operators(tmp_path: Path) -> None:
    plain = [EMBEDDED / "text.onnx", EMBEDDED / "image.onnx"]
    assert not onnx_session.has_integer_products(plain)  # int8 weights, float32 products
    whole = int8_graph(tmp_path)
    assert onnx_session.has_integer_products([whole])
    assert onnx_session.has_integer_products([*plain, whole])  # in parts
    named = onnx.load(whole)
    named.graph.node[0].op_type = "Gather"
    named.graph.initializer[0].name = "MatMulInteger"  # a name of a weight is no operator
    (tmp_path / "named.onnx").write_bytes(named.SerializeToString())
    assert not onnx_session.has_integer_products([tmp_path / "named.onnx"])
