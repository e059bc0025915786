"""Rows that do not fit into memory are read one by one, and are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsearch.indexes import memory, vector_file
from mmsearch.indexes.vector_file import Rows
from mmsearch.types import Vectors


@pytest.fixture
def vectors() -> Vectors:
    return np.random.default_rng(0).standard_normal((300, 24)).astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("limit", [None, 0, 10**12])
def test_taken_rows_are_the_rows(
    limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vectors: Vectors
) -> None:
    monkeypatch.setattr(vector_file, "half_of_memory", lambda: limit)
    stored = Rows(24).plus(np.arange(200), vectors[:200]).written(tmp_path / "rows")
    assert (stored._scattered is not None) == (limit == 0)
    longer = stored.plus(np.arange(200, 300), vectors[200:])
    for positions in (
        np.array([5]),
        np.array([0, 199, 3]),
        np.array([298, 7, 201]),
        np.arange(300),
        np.zeros(0, np.int64),
    ):
        np.testing.assert_array_equal(longer.take(positions), vectors[positions].astype(np.float16))
        np.testing.assert_array_equal(
            stored.take(positions[positions < 200]), vectors[positions[positions < 200]].astype(np.float16)
        )


def test_limit_of_a_control_group_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = memory.half_of_memory()
    if machine is None:
        pytest.skip("the system does not say how much memory there is")
    monkeypatch.setattr(memory, "_limit", lambda: 1000)
    assert memory.half_of_memory() == 500
    monkeypatch.setattr(memory, "_limit", lambda: 10**18)
    assert 10**6 < (memory.half_of_memory() or 0) < 10**17
