"""What every ``VectorIndex`` does alike, whatever finds the rows, against NumPy brute force.

The next kind adds itself to ``MAKERS``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from cpu_in_place_of_gpus import OnCPU
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from milvus_server import MILVUS_MARKS, open_with_milvus
from numpy.typing import NDArray
from postgres_server import forget, open_postgres
from small_vectors import DIM, brute_force, clustered, shared, texts, unit

from mmsearch.errors import DimensionError
from mmsearch.indexes import index as stored_index
from mmsearch.indexes.autotune import tune
from mmsearch.indexes.collection import CollectionIndex
from mmsearch.indexes.hnsw import HNSW
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.ivf import SQ8, RaBitQ, RaBitQ4
from mmsearch.indexes.protocol import AnnIndex, VectorIndex
from mmsearch.indexes.vector_file import Rows, widened
from mmsearch.store.postgres import collection as postgres_collection
from mmsearch.store.postgres import pgvector
from mmsearch.store.postgres.store import PostgresStore
from mmsearch.store.types import StoredModel
from mmsearch.types import Ids, Vectors

COUNT, FEW = 6_000, 500  # rows, and how many are looked at one by one
LISTS = 32
EXACT = ("exact", "pgvector exact")
RECALL = 0.9  # asked of the approximate kinds
FIRST = 2**60  # ids are int64: the smallest one, above all that a float64 tells apart
IDS = FIRST + 3 * np.arange(COUNT)
OPENED = ExitStack()  # databases, until the last test of this file
NOTHING, NO_ROWS = np.zeros(0, np.int64), np.zeros((0, DIM), np.float32)


def approximate(make: Callable[[Rows], AnnIndex]) -> Callable[[Rows], StoredIndex]:
    def made(rows: Rows) -> StoredIndex:
        ann, queries = make(rows), texts(np.random.default_rng(2), widened(rows.take(np.arange(len(rows)))), 100)
        return StoredIndex(rows, ann=TunedAnn(ann, tuple(tune(ann, rows, queries, RECALL)), len(rows)))

    return made


def collected(
    open_store: Callable[[Path], PostgresStore], kind: str, rest: int = 0, beyond: int = 0, graph: bool = True
) -> Callable[[Rows], CollectionIndex]:
    """With the last ``rest`` rows in memory, and ``beyond`` rows in the collection that are not wanted."""

    def made(rows: Rows) -> CollectionIndex:
        folder = Path(tempfile.mkdtemp())
        store, model = open_store(folder), StoredModel(1, "model", "0123456789abcdef", DIM - 1)
        OPENED.callback(shutil.rmtree, folder)
        OPENED.callback(forget, folder)
        OPENED.enter_context(store)
        with store.writing() as writer:
            writer.add_model(model.name, model.fingerprint, model.dim, active=True)
        collection = store.collection("any", model)
        pictures = widened(rows.take(np.arange(len(rows))))
        others = np.concatenate([rows.ids[: len(rows) - rest], FIRST - 1 - np.arange(beyond)])
        stored = dict(zip(others.tolist(), [*pictures, *clustered(np.random.default_rng(5), beyond)], strict=False))
        stored |= dict(zip(others[len(rows) - rest :].tolist(), pictures[:beyond] * 2, strict=True))
        collection.change(np.sort(others), lambda ids: np.stack([stored[number] for number in ids.tolist()]), NOTHING)
        if graph:
            queries = texts(np.random.default_rng(2), pictures, 100)
            collection.maintain(lambda: queries, RECALL, lambda done, total: None)
        OPENED.callback(collection.drop)
        assert collection.kind == kind
        last = Rows(DIM).plus(rows.ids[len(rows) - rest :], pictures[len(rows) - rest :])
        return CollectionIndex(collection, rows.ids, collection.ids(), StoredIndex(last))

    return made


def changed(index: VectorIndex, ids: Ids, vectors: Vectors, gone: Ids) -> VectorIndex:
    """With other rows and without some: of a collection the former are in memory, and the latter still in it."""
    if isinstance(index, StoredIndex):
        return index.changed(ids, vectors, gone)
    assert isinstance(index, CollectionIndex)
    wanted = np.setdiff1d(np.union1d(index.ids(), ids), gone)
    held = index.collection.ids()
    _, back = index.rest.rows.find(ids)
    new = np.flatnonzero(~np.isin(ids, held) & ~back)
    rest = index.rest.changed(ids[new], vectors[new], gone)
    return CollectionIndex(index.collection, wanted, held, rest.changed(ids[back], vectors[back], NOTHING))


# Kind -> what makes an index of that kind of ids and rows.
MAKERS: dict[str, Callable[[Rows], VectorIndex]] = {
    "exact": StoredIndex,
    "ivf-sq8": approximate(lambda rows: SQ8.build(rows, LISTS)),
    "ivf-rabitq": approximate(lambda rows: RaBitQ.build(rows, LISTS)),
    "ivf-rabitq4": approximate(lambda rows: RaBitQ4.build(rows, LISTS)),
    "hnsw": approximate(HNSW.build),
    "gpu": approximate(lambda rows: OnCPU(rows, 0, 2)),
    "gpu in lists": approximate(lambda rows: OnCPU(rows, LISTS, 2)),
    "pgvector exact": collected(open_postgres, "pgvector exact", graph=False),
    "pgvector hnsw": collected(open_postgres, "pgvector hnsw"),
    "pgvector and memory": collected(open_postgres, "pgvector hnsw", rest=1_000, beyond=300),
    "milvus": collected(open_with_milvus, "milvus"),
    "milvus and memory": collected(open_with_milvus, "milvus", rest=1_000, beyond=300),
}


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, OPENED:
        patch.setattr(stored_index, "FEW", FEW)
        patch.setattr(postgres_collection, "FEW", FEW)
        patch.setattr(pgvector, "FEW", FEW)
        yield


@pytest.fixture(scope="module")
def pictures() -> Vectors:
    return clustered(np.random.default_rng(1), COUNT)


@pytest.fixture(
    scope="module", params=[pytest.param(one, marks=MILVUS_MARKS if "milvus" in one else []) for one in MAKERS]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def index(kind: str, pictures: Vectors) -> VectorIndex:
    return MAKERS[kind](Rows(DIM).plus(IDS, pictures))


@pytest.fixture(scope="module")
def held(pictures: Vectors) -> dict[int, Vectors]:
    """What the index holds, for brute force."""
    return dict(zip(IDS.tolist(), pictures, strict=True))


@pytest.fixture
def queries(pictures: Vectors) -> Vectors:
    """Texts that no index was tuned with."""
    return texts(np.random.default_rng(2), pictures, 140)[100:]


def found(index: VectorIndex, queries: Vectors, k: int, allowed: Ids | None = None) -> list[list[int]]:
    return [[number for number in row if number >= 0] for row in index.search(queries, k, allowed).ids.tolist()]


def test_it_says_what_it_holds(index: VectorIndex, pictures: Vectors) -> None:
    assert (index.dim, len(index)) == (DIM, COUNT)
    assert index.ids().dtype == np.int64
    np.testing.assert_array_equal(index.ids(), IDS)
    asked = np.array([FIRST + 1, FIRST, 0, FIRST + 3 * (COUNT - 1), FIRST + 3 * COUNT, 2**62], np.int64)
    assert index.holds(asked).tolist() == [False, True, False, True, False, False]
    assert index.holds(NOTHING).tolist() == []
    chosen = np.random.default_rng(0).permutation(COUNT)
    rows = index.vectors(IDS[chosen])
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, pictures[chosen])
    with pytest.raises(KeyError):
        index.vectors(np.array([FIRST, FIRST + 1]))


def test_a_sample_is_spread_over_it(index: VectorIndex) -> None:
    np.testing.assert_array_equal(index.sample(5), IDS[np.linspace(0, COUNT - 1, 5).astype(int)])
    np.testing.assert_array_equal(index.sample(COUNT + 1), IDS)


@pytest.mark.parametrize("k", [1, 10, 60, 200])
def test_the_nearest_are_found(
    index: VectorIndex, kind: str, held: dict[int, Vectors], queries: Vectors, k: int
) -> None:
    own, right = found(index, queries, k), brute_force(held, queries, k)
    assert own == right if kind in EXACT else shared(own, right) > RECALL - 0.03


def test_scores_are_inner_products_best_first(index: VectorIndex, held: dict[int, Vectors], queries: Vectors) -> None:
    best = index.search(queries, 10)
    assert best.ids.dtype == np.int64
    assert best.scores.dtype == np.float32
    assert best.ids.shape == best.scores.shape == (len(queries), 10)
    rows = np.stack([[held[number] for number in row] for row in best.ids.tolist()])
    np.testing.assert_allclose(best.scores, np.einsum("qd,qkd->qk", queries, rows), atol=1e-6)
    assert (np.diff(best.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("share", [2, 10, 60, 600, COUNT])
def test_only_allowed_ones_are_found_and_k_of_them_whenever_there_are(
    index: VectorIndex, kind: str, held: dict[int, Vectors], queries: Vectors, share: int
) -> None:
    allowed = IDS[::share]
    own, right = found(index, queries, 10, allowed), brute_force(held, queries, 10, allowed)
    assert [len(row) for row in own] == [min(10, len(allowed))] * len(queries)
    assert all(set(row) <= set(allowed.tolist()) for row in own)
    assert own == right if kind in EXACT or len(allowed) <= FEW else shared(own, right) > RECALL - 0.03


def test_ten_come_back_where_all_allowed_ones_are_far_from_the_query(
    index: VectorIndex, pictures: Vectors, queries: Vectors
) -> None:
    for query in queries[:5]:
        allowed = np.sort(IDS[np.argsort(pictures @ query)[: FEW + 100]])
        (own,) = found(index, query[None], 10, allowed)
        assert len(set(own)) == 10
        assert set(own) <= set(allowed.tolist())


@st.composite
def filters(draw: st.DrawFn) -> tuple[int, NDArray[np.bool_]]:
    """The seed of a query, and of all rows in the order of how near they are to it, which are allowed."""
    seed, share = draw(st.integers(0, 39)), draw(st.floats(0, 1))
    begin, end = sorted(draw(st.tuples(st.integers(0, COUNT), st.integers(0, COUNT))))
    near_to_far = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(COUNT) < share
    near_to_far[:begin] = near_to_far[end:] = False
    return seed, near_to_far


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters(), st.sampled_from([1, 3, 10, 50]))
def test_whatever_is_allowed_k_come_back_wherever_there_are_k(
    index: VectorIndex, kind: str, pictures: Vectors, queries: Vectors, drawn: tuple[int, NDArray[np.bool_]], k: int
) -> None:
    query = queries[drawn[0]]
    scores = pictures @ query
    allowed = np.sort(IDS[np.argsort(-scores, kind="stable")[drawn[1]]])
    best = index.search(query[None], k, allowed)
    own = [number for number in best.ids[0].tolist() if number >= 0]
    assert len(own) == len(set(own)) == min(k, len(allowed))
    assert set(own) <= set(allowed.tolist())
    by_id = dict(zip(IDS.tolist(), scores.tolist(), strict=True))
    right = sorted((by_id[number] for number in allowed.tolist()), reverse=True)[:k]
    np.testing.assert_allclose(best.scores[0][: len(own)], [by_id[number] for number in own], atol=1e-6)
    if kind in EXACT or len(allowed) <= FEW:
        np.testing.assert_allclose(best.scores[0][: len(own)], right, atol=1e-6)


def test_allowed_ids_may_stand_in_any_order_twice_and_be_unknown(
    index: VectorIndex, held: dict[int, Vectors], queries: Vectors
) -> None:
    allowed = np.array([IDS[9], 5, IDS[3], IDS[9], FIRST + 1, 2**62, IDS[4]], np.int64)
    assert found(index, queries, 5, allowed) == brute_force(held, queries, 5, allowed)


def test_short_results_end_in_minus_one(index: VectorIndex, queries: Vectors) -> None:
    best = index.search(queries[:2], 3, IDS[:1])
    assert best.ids.tolist() == [[FIRST, -1, -1]] * 2
    assert np.isneginf(best.scores[:, 1:]).all()
    assert index.search(queries[:1], 2, NOTHING).ids.tolist() == [[-1, -1]]
    assert index.search(queries[:0], 2).ids.shape == (0, 2)


def test_more_may_be_asked_for_than_there_are(index: VectorIndex, held: dict[int, Vectors], queries: Vectors) -> None:
    best = index.search(queries[:1], COUNT + 2)
    assert sorted(best.ids[0, :COUNT].tolist()) == IDS.tolist()
    assert best.ids[0, COUNT:].tolist() == [-1, -1]


def test_what_is_added_is_found_and_what_is_gone_is_not(
    index: VectorIndex, kind: str, held: dict[int, Vectors], queries: Vectors
) -> None:
    new = queries[:5].astype(np.float16).astype(np.float32)
    ids = np.array([FIRST + 4, 7, FIRST + 1, 2**62, 8], np.int64)  # between the others, below and above
    gone = np.unique(index.search(queries[5:], 3).ids)
    other = changed(index, ids, new, gone)
    now = {number: row for number, row in held.items() if number not in set(gone.tolist())}
    now |= dict(zip(ids.tolist(), new, strict=True))
    assert found(other, new, 1) == [[number] for number in ids.tolist()]
    assert other.ids().tolist() == sorted(now)
    assert len(other) == len(now)
    assert not other.holds(gone).any()
    with pytest.raises(KeyError):
        other.vectors(gone[:1])
    for allowed in (None, np.concatenate([gone, ids, IDS[::2]])):
        own, right = found(other, queries, 10, allowed), brute_force(now, queries, 10, allowed)
        assert not set(gone.tolist()) & {number for row in own for number in row}
        assert own == right if kind in EXACT else shared(own, right) > RECALL - 0.03
    assert index.holds(gone).all()  # whoever still searches the old one is not disturbed
    assert not index.holds(ids).any()


def test_what_was_gone_comes_back_with_the_vector_that_it_had(index: VectorIndex, held: dict[int, Vectors]) -> None:
    gone = IDS[[3, 5, 8]]
    without = changed(index, NOTHING, NO_ROWS, gone)
    back = changed(without, gone[:2], np.zeros((2, DIM), np.float32), NOTHING)
    assert back.holds(gone).tolist() == [True, True, False]
    np.testing.assert_array_equal(back.vectors(gone[:2]), np.stack([held[number] for number in gone[:2].tolist()]))
    assert found(back, held[int(gone[0])][None], 1) == [[int(gone[0])]]


def test_all_may_go(index: VectorIndex, queries: Vectors) -> None:
    empty = changed(index, NOTHING, NO_ROWS, IDS)
    assert (len(empty), empty.ids().tolist(), empty.sample(3).tolist()) == (0, [], [])
    assert empty.search(queries[:1], 2).ids.tolist() == [[-1, -1]]
    assert empty.search(queries[:1], 2, IDS[:9]).ids.tolist() == [[-1, -1]]
    assert empty.vectors(NOTHING).shape == (0, DIM)


def test_another_width_is_refused(index: VectorIndex, queries: Vectors) -> None:
    with pytest.raises(DimensionError, match=f"vectors have 3 dimensions, the index has {DIM}"):
        index.search(np.ones((1, 3), np.float32), 1)
    with pytest.raises(DimensionError):
        changed(index, np.array([1]), np.ones((1, DIM + 1), np.float32), NOTHING)


def test_nothing_is_written_into_what_is_given(index: VectorIndex) -> None:
    rng = np.random.default_rng(0)
    queries, allowed, rows = unit(rng, 3), IDS[::-7].copy(), unit(rng, 1)
    given = [queries.copy(), allowed.copy(), rows.copy()]
    index.search(queries, 5, allowed)
    changed(index, np.array([1]), rows, allowed)
    for before, after in zip(given, (queries, allowed, rows), strict=True):
        np.testing.assert_array_equal(before, after)
