"""What the tests trust: a graph that is kept says what one that is loaded and run anew says."""

from __future__ import annotations

import shutil
from pathlib import Path

import kept_models
import numpy as np
import pytest

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx import session
from mmsearch.encoders.onnx.encoder import OnnxEncoder

TEXT = EMBEDDED / "text.onnx"
CAT, DOG = np.array([[101, 4937, 102]]), np.array([[101, 3899, 102]])


@pytest.fixture(autouse=True)
def models() -> None:
    """Each test says itself what is kept."""


def test_each_input_gets_its_own_rows_to_the_bit() -> None:
    plain = session.load([TEXT], 1)
    with kept_models.kept():
        graph = session.load([TEXT], 1)
        assert session.load([TEXT], 1) is graph
        assert graph.get_outputs()[0].name == plain.get_outputs()[0].name
        for ids in (CAT, DOG, CAT, np.concatenate([CAT, DOG]), DOG.astype(np.int64).T.T):
            (wanted,), (found,) = (each.run(["vectors"], {"ids": ids}) for each in (plain, graph))
            np.testing.assert_array_equal(found, wanted)
            found[:] = 0  # is the caller's own
    assert session.load([TEXT], 1) is not graph


def test_graphs_run_each_time_where_they_are_what_is_tested() -> None:
    with kept_models.kept(runs=False):
        graph = session.load([TEXT], 1)
        assert not isinstance(graph, kept_models.Remembering)
        assert session.load([TEXT], 1) is graph


def test_a_changed_file_is_loaded_anew(tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED, folder := tmp_path / "model")
    with kept_models.kept(anywhere=True):
        first = session.load([folder / "text.onnx"])
        assert session.load([folder / "text.onnx"]) is first
        shutil.copy(TEXT, tmp_path / "other")
        (tmp_path / "other").replace(folder / "text.onnx")
        assert session.load([folder / "text.onnx"]) is not first
    with kept_models.kept():
        assert session.load([folder / "text.onnx"]) is not session.load([folder / "text.onnx"])


def test_an_encoder_says_the_same() -> None:
    wanted = OnnxEncoder(EMBEDDED).encode_texts(["a cat", "a dog"])
    with kept_models.kept():
        for _ in range(2):
            np.testing.assert_array_equal(OnnxEncoder(EMBEDDED).encode_texts(["a cat", "a dog"]), wanted)
