"""What becomes of an index while a library grows: built, extended, built anew and tuned, and rid of what is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mmsearch.indexes.approximate import FaissApproximate
from mmsearch.indexes.choose import Choice, choose
from mmsearch.indexes.hnsw import HNSW
from mmsearch.indexes.ivf import SQ8, RaBitQ
from mmsearch.indexes.rows import Rows
from mmsearch.indexes.stored import Likely, StoredIndex
from mmsearch.indexes.tune import tune
from mmsearch.records import Vectors

GONE = 0.2  # share of rows that are gone from which on they are left out of the files
GROWN = 2.0  # times the rows that it was built from, from which on an approximate index is built anew
LEAST_TAIL = 5_000  # rows that an approximate index does not cover, from which on it is extended …
TAIL = 0.005  # … and their share of those that it does


def kept_up(
    index: StoredIndex,
    queries: Callable[[], Vectors],
    recall: float,
    memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StoredIndex:
    """The index as it should be for what it holds; itself where nothing is to be done.

    ``queries`` gives (n, dim) float32 rows like those that will be asked, for an approximate index to be tuned with.
    ``progress`` is told how many rows of how many are in a new one.
    """
    if len(index.dead) > GONE * len(index.rows):
        index = index.compact()
    rows = index.rows
    choice = choose(len(rows), rows.dim, memory, recall=recall)
    likely = index.likely
    if choice.kind == "exact":
        return index if likely is None else _with(index, None)
    if likely is None or likely.index.kind != choice.kind or len(rows) > GROWN * likely.built:
        built = build(rows, choice, None if progress is None else lambda done: progress(done, len(rows)))
        return _with(index, Likely(built, tuple(tune(built, rows, queries(), recall)), len(rows)))
    if len(rows) - len(likely.index) > max(LEAST_TAIL, TAIL * len(likely.index)):
        return _with(index, replace(likely, index=likely.index.extended(rows), file=None))
    return index


def _with(index: StoredIndex, likely: Likely | None) -> StoredIndex:
    return StoredIndex(index.rows, index.dead, likely)


def build(rows: Rows, choice: Choice, progress: Callable[[int], None] | None = None) -> FaissApproximate:
    """The approximate index that was chosen; ``progress`` is told how many rows are in."""
    if choice.kind == "hnsw":
        return HNSW.build(rows, progress=progress)
    kind = RaBitQ if choice.kind == "ivf-rabitq" else SQ8
    return kind.build(rows, choice.lists, progress)
