"""The index of a library against NumPy brute force, with every kind of approximate index and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_vectors import DIM, brute_force, clustered, shared, texts, unit

from mmsearch.errors import DimensionError
from mmsearch.indexes import vector_file as rows_on_disk
from mmsearch.indexes.ann_files import KINDS
from mmsearch.indexes.autotune import tune
from mmsearch.indexes.hnsw import HNSW
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.ivf import SQ8, RaBitQ, RaBitQ4
from mmsearch.indexes.policy import choose, estimated
from mmsearch.indexes.protocol import AnnIndex
from mmsearch.indexes.vector_file import Rows
from mmsearch.types import Ids, Vectors

COUNT = 24_000  # more than are looked at one by one
RECALL = 0.9
NOTHING = np.zeros(0, np.int64)
NO_ROWS = np.zeros((0, DIM), np.float32)


def built(kind: str, rows: Rows) -> AnnIndex:
    if kind == "hnsw":
        return HNSW.build(rows)
    return {"ivf-rabitq": RaBitQ, "ivf-rabitq4": RaBitQ4, "ivf-sq8": SQ8}[kind].build(rows, 128)


def found(index: StoredIndex, queries: Vectors, k: int, allowed: Ids | None = None) -> list[list[int]]:
    return [[number for number in row if number >= 0] for row in index.search(queries, k, allowed).ids.tolist()]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def pictures() -> Vectors:
    return clustered(np.random.default_rng(1), COUNT)


@pytest.fixture(scope="module", params=sorted(KINDS))
def approximate(request: pytest.FixtureRequest, pictures: Vectors) -> StoredIndex:
    """Ids 10, 12, 14, …; tuned with texts."""
    rows = Rows(DIM).plus(10 + 2 * np.arange(COUNT), pictures)
    index = built(request.param, rows)
    queries = texts(np.random.default_rng(2), pictures, 100)
    return StoredIndex(rows, ann=TunedAnn(index, tuple(tune(index, rows, queries, RECALL)), COUNT))


def test_kinds_are_those_that_are_chosen_and_loaded(approximate: StoredIndex) -> None:
    assert approximate.kind in KINDS
    assert approximate.covered == len(approximate) == COUNT


@pytest.mark.parametrize("k", [1, 10, 60, 300])
def test_texts_that_were_not_tuned_with_find_enough(approximate: StoredIndex, pictures: Vectors, k: int) -> None:
    queries = texts(np.random.default_rng(2), pictures, 200)[100:]  # of the same kind, after those of the tuning
    known = dict(zip((10 + 2 * np.arange(COUNT)).tolist(), pictures, strict=True))
    assert shared(found(approximate, queries, k), brute_force(known, queries, k)) > RECALL - 0.03


def test_setting_says_the_recall_of_queries_that_were_not_tuned_with(approximate: StoredIndex) -> None:
    assert approximate.ann is not None
    assert [setting.k for setting in approximate.ann.settings] == [10, 100]
    for setting in approximate.ann.settings:
        assert RECALL - 0.05 < setting.recall <= 1
        assert setting.nprobe in approximate.ann.index.nprobes()


def test_extended_index_covers_the_new_rows(approximate: StoredIndex, rng: np.random.Generator) -> None:
    assert approximate.ann is not None
    new = unit(rng, 40)
    rows = approximate.rows.plus(np.arange(40) * 2 + 1, new)
    longer = approximate.ann.index.extended(rows)
    assert (len(longer), approximate.covered) == (COUNT + 40, COUNT)
    nprobe = longer.nprobes()[-1]
    assert all(COUNT + row in longer.candidates(query, 20, nprobe).tolist() for row, query in enumerate(new))


def test_saved_index_answers_as_before(approximate: StoredIndex, pictures: Vectors, tmp_path: Path) -> None:
    assert approximate.ann is not None
    index = approximate.ann.index
    index.save(tmp_path / "likely.faiss")
    loaded = KINDS[index.kind].load(tmp_path / "likely.faiss", DIM)
    for query in pictures[:20]:
        assert loaded.candidates(query, 15, 64).tolist() == index.candidates(query, 15, 64).tolist()
    with pytest.raises(DimensionError, match="24 dimensions, the index has 8"):
        KINDS[index.kind].load(tmp_path / "likely.faiss", 8)


@pytest.mark.parametrize("at_once", [1, 3, 20])
def test_exact_results_equal_brute_force_after_every_change(rng: np.random.Generator, at_once: int) -> None:
    queries, index = unit(rng, at_once), StoredIndex(Rows(DIM))
    known: dict[int, Vectors] = {}
    for start in (1, 50_000, 1000):  # the last ones do not ascend
        ids, vectors = np.arange(start, start + 300, dtype=np.int64), unit(rng, 300)
        index = index.changed(ids, vectors, NOTHING)
        known |= dict(zip(ids.tolist(), vectors, strict=True))
        assert found(index, queries, 10) == brute_force(known, queries, 10)
    gone = rng.choice(np.array(sorted(known)), 400, replace=False)
    index = index.changed(NOTHING, NO_ROWS, gone)
    for number in gone.tolist():
        del known[number]
    for tidy in (index, index.compact()):
        assert found(tidy, queries, 10) == brute_force(known, queries, 10)
        assert tidy.ids().tolist() == sorted(known)
        np.testing.assert_array_equal(tidy.vectors(np.array([*known])), np.stack([*known.values()]))
    assert len(index.compact().rows) == 500


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_allowed_set_gives_k_results_whenever_k_exist(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    ids = np.array(sorted(data.draw(st.sets(st.integers(1, 10_000), min_size=1, max_size=60))), np.int64)
    vectors, queries = unit(rng, len(ids)), unit(rng, data.draw(st.sampled_from([1, 2, 9])))
    index = StoredIndex(Rows(DIM).plus(ids, vectors))
    allowed = np.array(sorted(data.draw(st.sets(st.sampled_from(ids.tolist())))), np.int64)
    gone = np.array(sorted(data.draw(st.sets(st.sampled_from(ids.tolist())))), np.int64)
    k = data.draw(st.integers(1, 70))
    known = dict(zip(ids.tolist(), vectors, strict=True))
    assert found(index, queries, k, allowed) == brute_force(known, queries, k, allowed)
    changed = index.changed(NOTHING, NO_ROWS, gone)
    left = np.setdiff1d(allowed, gone)
    assert found(changed, queries, k, allowed) == brute_force(known, queries, k, left)


def test_choice_follows_count_recall_and_memory() -> None:
    assert choose(20_000, 513).kind == "exact"
    million = choose(1_000_000, 513)
    assert (million.kind, million.lists) == ("ivf-rabitq", 2000)
    assert choose(1_000_000, 513, recall=1.0).kind == "exact"
    assert choose(1_000_000, 513, recall=0.999).kind == "ivf-sq8"
    assert choose(1_000_000, 513, memory=400_000_000, recall=0.999).kind == "ivf-rabitq4"
    assert choose(1_000_000, 513, memory=200_000_000, recall=0.999).kind == "ivf-rabitq"
    assert choose(10_000_000, 513, memory=3_000_000_000).kind == "ivf-rabitq4"  # the rows do not fit into memory
    assert choose(10_000_000, 513, memory=12_000_000_000).kind == "ivf-rabitq"
    assert choose(1_000_000, 513, memory=10_000_000).kind == "exact"
    assert choose(1_000_000, 513, memory=2_000_000_000, device="cuda").kind == "gpu"
    assert choose(1_000_000, 513, memory=1_000_000_000, device="cuda").kind == "ivf-rabitq4"


def test_estimated_bytes_are_those_of_the_file(approximate: StoredIndex, tmp_path: Path) -> None:
    assert approximate.ann is not None
    approximate.ann.index.save(tmp_path / "file")
    size = (tmp_path / "file").stat().st_size
    assert size == pytest.approx(estimated(approximate.kind, COUNT, DIM, 128), rel=0.25)  # type: ignore[arg-type]


def test_few_rows_that_are_asked_again_give_the_same(rng: np.random.Generator) -> None:
    pictures = unit(rng, 500)
    held = dict(enumerate(pictures))
    index = StoredIndex(Rows(DIM).plus(np.arange(300), pictures[:300])).changed(
        np.arange(300, 500), pictures[300:], np.arange(0, 300, 10)
    )
    alive = {number: row for number, row in held.items() if number % 10 or number >= 300}
    queries = unit(rng, 7)
    allowed = np.array([3, 7, 20, 101, 102, 103, 104, 105, 106, 300, 499], np.int64)
    assert index.rows.wide() is None
    for some in (None, allowed, allowed[:3], allowed[:0]):
        for k in (1, 5, 600):
            for asked in (queries, queries[:1], queries[-1:]):
                again = index.search(asked, k, some)
                truth = brute_force(alive, asked, k, some)
                assert index.rows.wide() is not None
                assert [[number for number in row if number >= 0] for row in again.ids.tolist()] == truth
                first = StoredIndex(Rows(DIM).plus(index.rows.ids, pictures), index.deleted).search(asked, k, some)
                np.testing.assert_array_equal(first.ids, again.ids)
                np.testing.assert_allclose(first.scores, again.scores, atol=1e-6)


def test_many_rows_are_not_kept_in_float32(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_on_disk, "WIDEST", 4 * DIM * 99)
    rows = Rows(DIM).plus(np.arange(100), unit(rng, 100))
    assert [rows.wide() is None for _ in range(3)] == [True, True, True]
