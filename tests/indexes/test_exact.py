"""Every kind of index against NumPy brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes.cache import IndexCache, caught_up
from mmsearch.indexes.exact import ExactIndex
from mmsearch.records import Ids, Vectors

DIM = 24


def unit(rng: np.random.Generator, rows: int) -> Vectors:
    vectors = rng.standard_normal((rows, DIM)).astype(np.float32)
    normed: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed


def brute_force(stored: dict[int, Vectors], queries: Vectors, k: int, allowed: Ids | None = None) -> list[list[int]]:
    ids = np.array(sorted(stored if allowed is None else set(stored) & set(allowed.tolist())), np.int64)
    if not len(ids):
        return [[] for _ in queries]
    scores = queries @ np.stack([stored[number] for number in ids.tolist()]).T
    return [ids[np.argsort(-row)[:k]].tolist() for row in scores]


def found(index: ExactIndex, queries: Vectors, k: int, allowed: Ids | None = None) -> list[list[int]]:
    return [[number for number in row if number >= 0] for row in index.search(queries, k, allowed).ids.tolist()]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_results_equal_brute_force_after_adds_removals_and_reload(rng: np.random.Generator, tmp_path: Path) -> None:
    queries, index = unit(rng, 20), ExactIndex(DIM)
    stored: dict[int, Vectors] = {}
    for start in (1, 1000, 50_000):
        ids, vectors = np.arange(start, start + 300, dtype=np.int64), unit(rng, 300)
        index.add(ids, vectors)
        stored |= dict(zip(ids.tolist(), vectors, strict=True))
        assert found(index, queries, 10) == brute_force(stored, queries, 10)
    gone = rng.choice(np.array(sorted(stored)), 400, replace=False)
    index.remove(gone)
    for number in gone.tolist():
        del stored[number]
    assert found(index, queries, 10) == brute_force(stored, queries, 10)
    index.save(tmp_path / "index.faiss")
    loaded = ExactIndex.load(tmp_path / "index.faiss", DIM)
    assert sorted(loaded.ids().tolist()) == sorted(stored)
    assert found(loaded, queries, 10) == brute_force(stored, queries, 10)
    scores = loaded.search(queries, 3).scores
    best = np.sort(queries @ np.stack(list(stored.values())).T, axis=1)[:, ::-1][:, :3]
    np.testing.assert_allclose(scores, best, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_allowed_set_gives_k_results_whenever_k_exist(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    ids = np.array(sorted(data.draw(st.sets(st.integers(1, 10_000), min_size=1, max_size=60))), np.int64)
    vectors, queries = unit(rng, len(ids)), unit(rng, 2)
    index = ExactIndex(DIM)
    index.add(ids, vectors)
    allowed = np.array(sorted(data.draw(st.sets(st.sampled_from(ids.tolist())))), np.int64)
    k = data.draw(st.integers(1, 70))
    stored = dict(zip(ids.tolist(), vectors, strict=True))
    assert found(index, queries, k, allowed) == brute_force(stored, queries, k, allowed)


def test_short_results_end_in_minus_one(rng: np.random.Generator) -> None:
    index = ExactIndex(DIM)
    assert index.search(unit(rng, 1), 2).ids.tolist() == [[-1, -1]]
    index.add(np.array([7]), unit(rng, 1))
    assert index.search(unit(rng, 1), 3).ids.tolist() == [[7, -1, -1]]


def test_another_width_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    index = ExactIndex(DIM)
    with pytest.raises(DimensionError, match="vectors have 3 dimensions, the index has 24"):
        index.search(np.ones((1, 3), np.float32), 1)
    with pytest.raises(DimensionError):
        index.add(np.array([1]), np.ones((1, 3), np.float32))
    index.save(tmp_path / "index.faiss")
    with pytest.raises(DimensionError, match="24 dimensions, the index has 8"):
        ExactIndex.load(tmp_path / "index.faiss", 8)


@pytest.mark.parametrize("content", [b"", b"not an index", b"IxM2" + b"\0" * 40])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "index.faiss").write_bytes(content)
    with pytest.raises(LibraryError, match=r"damaged|another kind"):
        ExactIndex.load(tmp_path / "index.faiss", DIM)


def test_a_failed_write_leaves_the_old_file(rng: np.random.Generator, tmp_path: Path) -> None:
    file = tmp_path / "folder"
    file.mkdir()  # a folder of that name cannot be replaced by a file
    with pytest.raises(LibraryError, match="cannot be written"):
        ExactIndex(DIM).save(file)
    assert list(tmp_path.iterdir()) == [file]


def test_clone_is_independent(rng: np.random.Generator) -> None:
    index = ExactIndex(DIM)
    index.add(np.array([1]), unit(rng, 1))
    copy = index.clone()
    copy.add(np.array([2]), unit(rng, 1))
    assert (index.ids().tolist(), copy.ids().tolist()) == ([1], [1, 2])


def test_catching_up_adds_what_lacks_and_removes_what_is_gone(rng: np.random.Generator) -> None:
    vectors = unit(rng, 50)
    index = ExactIndex(DIM)
    index.add(np.arange(20), vectors[:20])
    fetched: list[int] = []

    def fetch(ids: Ids) -> Vectors:
        fetched.extend(ids.tolist())
        return vectors[ids]

    wanted = np.arange(10, 50)
    caught = caught_up(index, wanted, fetch)
    assert sorted(caught.ids().tolist()) == wanted.tolist()
    assert fetched == list(range(20, 50))
    assert caught_up(caught, wanted, fetch) is caught
    assert sorted(index.ids().tolist()) == list(range(20))  # whoever still searches the old one is not disturbed


def test_cache_keeps_the_newest_and_rebuilds_from_a_damaged_one(rng: np.random.Generator, tmp_path: Path) -> None:
    cache = IndexCache(tmp_path / "index", "lib", "abc", DIM)
    assert (len(cache.load(99)[0]), cache.load(99)[1]) == (0, -1)
    index = ExactIndex(DIM)
    for generation in (3, 12):
        index.add(np.array([generation]), unit(rng, 1))
        cache.save(index, generation)
    assert [file.name for file in (tmp_path / "index").iterdir()] == ["exact-lib-abc-12.faiss"]
    loaded, generation = cache.load(12)
    assert (sorted(loaded.ids().tolist()), generation) == ([3, 12], 12)
    assert cache.load(11)[1] == -1  # the database was put back to an earlier state
    assert IndexCache(tmp_path / "index", "lib", "other", DIM).load(99)[1] == -1
    assert IndexCache(tmp_path / "index", "other", "abc", DIM).load(99)[1] == -1
    (tmp_path / "index" / "exact-lib-abc-12.faiss").write_bytes(b"half a file")
    assert (len(cache.load(99)[0]), cache.load(99)[1]) == (0, -1)
