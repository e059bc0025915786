"""Graphs on the CPU: in a hurry loaded quickly for a few rows, then to last, with the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.session import FEW, Graph
from mmsearch.errors import ModelError

IDS = np.array([[101, 1037, 3899, 102]])  # [CLS] a dog [SEP]


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
