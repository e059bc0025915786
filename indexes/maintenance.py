"""What becomes of an index while a library grows: built, extended, built anew and tuned, and rid of what is gone."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import replace

from mmsearch.indexes.autotune import tune
from mmsearch.indexes.faiss_ann import FaissAnnIndex
from mmsearch.indexes.hnsw import HNSW
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.ivf import SQ8, RaBitQ, RaBitQ4
from mmsearch.indexes.policy import Choice, choices
from mmsearch.indexes.vector_file import Rows
from mmsearch.types import Vectors

log = logging.getLogger(__name__)

IVF: dict[str, type[RaBitQ | RaBitQ4 | SQ8]] = {kind.kind: kind for kind in (RaBitQ, RaBitQ4, SQ8)}
GONE = 0.2  # share of rows that are gone from which on they are left out of the files
GROWN = 2.0  # times the rows that it was built from, from which on an approximate index is built anew
LEAST_TAIL = 5_000  # rows that an approximate index does not cover, from which on it is extended …
SHORT = 0.03  # recall that may be lacking before another kind is tried
TAIL = 0.005  # … and their share of those that it does


Build = Callable[[Rows, list[Choice], Vectors, float, "Callable[[int], None] | None"], TunedAnn]


def best(
    rows: Rows, fitting: list[Choice], queries: Vectors, recall: float, progress: Callable[[int], None] | None
) -> TunedAnn:
    """The first kind that finds about as much as it should; else the one that finds most.

    ``progress`` is told how many rows are in.
    """
    tried: list[TunedAnn] = []
    for choice in fitting:
        built = build(rows, choice, progress)
        tried.append(TunedAnn(built, tuple(tune(built, rows, queries, recall)), len(rows), recall))
        if tried[-1].setting(10).recall >= recall - SHORT:
            return tried[-1]
        log.info("%s finds %.1f %% of the nearest", choice.kind, 100 * tried[-1].setting(10).recall)
    return max(tried, key=lambda ann: ann.setting(10).recall)


def maintained(
    index: StoredIndex,
    queries: Callable[[], Vectors],
    recall: float,
    memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    builder: Build = best,
    hold: Callable[[Rows], Rows] | None = None,
) -> StoredIndex:
    """The index as it should be for what it holds; itself where nothing is to be done.

    ``queries`` gives (n, dim) float32 rows like those that will be asked, for an approximate index to be tuned with.
    ``progress`` is told how many rows of how many are in a new one.  ``builder`` makes that; ``hold`` takes rows out of
    memory.
    """
    if len(index.deleted) > GONE * len(index.rows):
        index = index.compact()
        if hold is not None:
            index = StoredIndex(hold(index.rows))
    rows = index.rows
    fitting = choices(len(rows), rows.dim, memory, recall)
    ann = index.ann
    if fitting[0].kind == "exact":
        return index if ann is None else _with(index, None)
    if ann is None or ann.asked != recall or len(rows) > GROWN * ann.built:
        told = None if progress is None else functools.partial(_told, progress, len(rows))
        return _with(index, builder(rows, fitting, queries(), recall, told))
    if len(rows) - len(ann.index) > max(LEAST_TAIL, TAIL * len(ann.index)):
        return _with(index, replace(ann, index=ann.index.extended(rows), file=None, hash=None))
    return index


def _told(progress: Callable[[int, int], None], total: int, done: int) -> None:
    progress(done, total)


def _with(index: StoredIndex, ann: TunedAnn | None) -> StoredIndex:
    return StoredIndex(index.rows, index.deleted, ann)


def build(rows: Rows, choice: Choice, progress: Callable[[int], None] | None = None) -> FaissAnnIndex:
    """The approximate index that was chosen; ``progress`` is told how many rows are in."""
    if choice.kind == "hnsw":
        return HNSW.build(rows, progress=progress)
    return IVF[choice.kind].build(rows, choice.lists, progress)
