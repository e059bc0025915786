"""Graphs on the CPU: in a hurry loaded quickly for a few rows, then to last, with the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import GraphOptimizationLevel

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.session import FEW, Graph
from mmsearch.errors import ModelError

IDS = np.array([[101, 1037, 3899, 102]])  # [CLS] a dog [SEP]
KINDS = [(False, False, True), (True, False, False), (True, True, True)]


def test_in_a_hurry_a_graph_is_loaded_twice_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_session, "_few", 0)  # and put back
    onnx_session.hurry()
    graph = Graph([EMBEDDED / "text.onnx"])
    quick = graph.session()
    assert all(graph.session() is quick for _ in range(FEW - 1))
    lasting = graph.session()
    assert lasting is not quick
    assert all(graph.session(rows) is lasting for rows in (1, FEW, 100))
    wanted = onnx_session.load([EMBEDDED / "text.onnx"]).run(["vectors"], {"ids": IDS})[0]
    for session in (quick, lasting):
        np.testing.assert_allclose(session.run(["vectors"], {"ids": IDS})[0], wanted, atol=1e-6)


def test_a_graph_for_many_rows_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_session, "_few", FEW)
    graph = Graph([EMBEDDED / "text.onnx"])
    lasting = graph.session(FEW + 1)
    assert graph.session() is lasting
    assert graph.session(100) is lasting


def test_without_a_hurry_a_graph_is_loaded_once() -> None:
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
    ("integer", "exact", "quick"), [(False, False, True), (True, False, False), (True, True, True)]
)
def test_a_graph_whose_sums_a_cpu_clips_is_never_left_as_it_is(integer: bool, exact: bool, quick: bool) -> None:
    assert onnx_session.stays_exact(integer, exact) is quick
    options = onnx_session.session_options(1, quick=quick, exact=exact)
    level = GraphOptimizationLevel.ORT_DISABLE_ALL if quick else GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.graph_optimization_level == level
    asked = None if exact else "1"
    try:
        assert options.get_session_config_entry(onnx_session.EXACT) == asked
    except RuntimeError:  # there is no such entry
        assert asked is None


def test_graphs_with_integer_products_are_told_by_their_operators(tmp_path: Path) -> None:
    assert not onnx_session.has_integer_products([EMBEDDED / "text.onnx"])  # int8 weights, float32 products
    rows = helper.make_tensor_value_info("rows", TensorProto.UINT8, ["n", 2])
    out = helper.make_tensor_value_info("out", TensorProto.INT32, ["n", 2])
    weights = numpy_helper.from_array(np.eye(2, dtype=np.int8), "weights")
    node = helper.make_node("MatMulInteger", ["rows", "weights"], ["out"])
    onnx.save(helper.make_model(helper.make_graph([node], "whole", [rows], [out], [weights])), tmp_path / "whole.onnx")
    assert onnx_session.has_integer_products([EMBEDDED / "text.onnx", tmp_path / "whole.onnx"])
