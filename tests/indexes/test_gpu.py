"""The GPU kind where no GPU is, see ``cpu_in_place_of_gpus.py``; and falling back."""

from __future__ import annotations

import logging
from typing import Any

import faiss as _stubbed
import numpy as np
import pytest
from cpu_in_place_of_gpus import OnCPU
from small_vectors import DIM, brute_force, clustered, shared, texts

from mmsearch.indexes.autotune import Setting
from mmsearch.indexes.gpu import on_gpus, problem
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.vector_file import Rows
from mmsearch.types import Vectors

faiss: Any = _stubbed

COUNT = 24_000
NO_GPU = faiss.get_num_gpus() == 0


@pytest.fixture(scope="module")
def pictures() -> Vectors:
    return clustered(np.random.default_rng(1), COUNT)


@pytest.mark.parametrize(("lists", "devices"), [(0, 1), (0, 3), (64, 2)])
@pytest.mark.parametrize("share", [1, 2])
def test_parts_on_several_devices_are_one_index(
    pictures: Vectors, lists: int, devices: int, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(DIM).plus(10 + np.arange(COUNT), pictures)
    there = OnCPU(rows, lists, devices)
    index = StoredIndex(rows, ann=TunedAnn(there, (Setting(10, there.nprobes()[-1], 10, 1.0),), COUNT))
    allowed = None if share == 1 else 10 + np.arange(0, COUNT, share)
    monkeypatch.setattr("mmsearch.indexes.index.FEW", 100)
    queries = texts(np.random.default_rng(3), pictures, 20)
    best = index.search(queries, 10, allowed)
    known = dict(zip((10 + np.arange(COUNT)).tolist(), pictures, strict=True))
    assert shared(best.ids.tolist(), brute_force(known, queries, 10, allowed)) > (0.99 if lists == 0 else 0.9)
    positions = best.ids - 10
    np.testing.assert_allclose(best.scores, np.einsum("qd,qkd->qk", queries, pictures[positions]), atol=1e-6)


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_without_a_gpu_the_cpu_searches_and_a_line_says_why(
    pictures: Vectors, caplog: pytest.LogCaptureFixture
) -> None:
    index = StoredIndex(Rows(DIM).plus(np.arange(100), pictures[:100]))
    with caplog.at_level(logging.WARNING):
        assert on_gpus(index) is index
    assert caplog.messages == ["searching on the CPU: FAISS finds no GPU"]
    assert problem() == "FAISS finds no GPU"


@pytest.mark.skipif(NO_GPU, reason="there is no GPU")
def test_on_a_gpu_the_answers_are_those_of_the_cpu(pictures: Vectors) -> None:
    index = StoredIndex(Rows(DIM).plus(np.arange(COUNT), pictures))
    there = on_gpus(index)
    assert there.kind == "gpu"
    queries = texts(np.random.default_rng(3), pictures, 20)
    assert shared(there.search(queries, 10).ids.tolist(), index.search(queries, 10).ids.tolist()) > 0.99
    assert on_gpus(index, memory=1000) is index
