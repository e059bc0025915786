"""The index of a library: its rows in float16, which of them are gone, and where there are many an approximate index.

A search asks the approximate index for candidates and looks at these rows themselves.  Rows that it does not cover yet
are all looked at, and so are all allowed rows where a filter leaves few of them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import DimensionError
from mmsearch.indexes.autotune import Setting
from mmsearch.indexes.exact import nearest, rescored
from mmsearch.indexes.protocol import AnnIndex, Neighbours, spread
from mmsearch.indexes.vector_file import Positions, Rows, widened
from mmsearch.types import Ids, Vectors

FEW = 20_000  # rows that are looked at one by one: some hundredths of a second
LARGE = 20  # where more than one in so many rows is wanted, all are looked at


@dataclass(frozen=True)
class TunedAnn:
    """An approximate index of the first rows, and how to search it."""

    index: AnnIndex
    settings: tuple[Setting, ...]  # by k, ascending
    built: int  # rows that it was learned from and tuned for: with many more it is worth doing so anew
    asked: float = 0.95  # the recall that it was tuned for
    file: str | None = None  # its name on disk …
    hash: str | None = None  # … and what that held when it was written

    def setting(self, k: int) -> Setting:
        """The one for the next larger ``k``; a greater nprobe and more rows where all are for a smaller one."""
        fitting = next((setting for setting in self.settings if setting.k >= k), None)
        if fitting is not None:
            return fitting
        last = self.settings[-1]
        more = k / last.k
        return dataclasses.replace(
            last, k=k, nprobe=math.ceil(more * last.nprobe), rerank_depth=math.ceil(more * last.rerank_depth)
        )


class StoredIndex:
    """A ``VectorIndex`` over ``Rows``.  Never changed: ``changed`` gives another one."""

    def __init__(self, rows: Rows, deleted: Positions | None = None, ann: TunedAnn | None = None) -> None:
        """``deleted`` are the positions of rows that are not searched."""
        self.rows, self.ann = rows, ann
        self.deleted: Positions = np.zeros(0, np.int64) if deleted is None else np.sort(deleted)

    @property
    def dim(self) -> int:
        return self.rows.dim

    def __len__(self) -> int:
        return len(self.rows) - len(self.deleted)

    @property
    def kind(self) -> str:
        return "exact" if self.ann is None else self.ann.index.kind

    @property
    def recall(self) -> float:
        """The share of the 10 nearest that queries found which it was not tuned with."""
        return 1.0 if self.ann is None else self.ann.setting(10).recall

    @property
    def covered(self) -> int:
        """How many of the first rows the approximate index covers."""
        return 0 if self.ann is None else len(self.ann.index)

    @functools.cached_property
    def _alive(self) -> NDArray[np.bool_]:
        alive = np.ones(len(self.rows), np.bool_)
        alive[self.deleted] = False
        return alive

    @functools.cached_property
    def _living(self) -> Positions:
        """The positions of the rows that are not gone."""
        return np.flatnonzero(self._alive)

    @functools.cached_property
    def _ids(self) -> Ids:
        ids = self.rows.ids[self._alive] if len(self.deleted) else self.rows.ids
        return ids if self.rows.ascending else np.sort(ids)

    def ids(self) -> Ids:
        return self._ids

    def holds(self, ids: Ids) -> NDArray[np.bool_]:
        positions, there = self.rows.find(ids)
        holds: NDArray[np.bool_] = there & self._alive[positions] if len(self.rows) else there
        return holds

    def sample(self, count: int) -> Ids:
        return spread(self._ids, count)

    def changed(self, ids: Ids, vectors: Vectors, gone: Ids) -> StoredIndex:
        """With (n, dim) rows under ids that it does not hold, and without those that are ``gone``.

        An id that was gone and comes back has the vector that it had, whatever is given.  Raises DimensionError.
        """
        self._check(vectors)
        back, there = self.rows.find(ids)
        rows = self.rows.plus(ids[~there], vectors[~there]) if not there.all() else self.rows
        leaving, held = self.rows.find(gone)
        deleted = np.setdiff1d(np.union1d(self.deleted, leaving[held]), back[there])
        return StoredIndex(rows, deleted, self.ann)

    def compact(self) -> StoredIndex:
        """Without the rows that are gone, in the order of their ids, and without an approximate index."""
        if not len(self.deleted) and self.rows.ascending:
            return StoredIndex(self.rows)
        positions, _ = self.rows.find(self._ids)
        rows = Rows(self.dim, self._ids, tuple(self.rows.pieces(positions)))
        return StoredIndex(rows)

    def search(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        self._check(queries)
        queries = np.ascontiguousarray(queries, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        positions = self._positions(allowed)
        count = len(self.rows) if positions is None else len(positions)
        most = min(k, count)
        if most and (self.ann is None or count <= FEW or LARGE * most > count):
            best = nearest(self.rows, queries, most, positions)
            ids[:, :most], scores[:, :most] = self.rows.ids[best.positions], best.scores
        elif most:
            among = None
            if allowed is None and positions is not None:
                among = self._alive
            elif positions is not None:
                among = np.zeros(len(self.rows), np.bool_)
                among[positions] = True
            for row, query in enumerate(queries):
                found, near = self._by_ann(query, most, positions, among)
                ids[row, :most], scores[row, :most] = self.rows.ids[found], near
        return Neighbours(ids, scores)

    def vectors(self, ids: Ids) -> Vectors:
        if not self.holds(ids).all():
            raise KeyError("the index has no such id")
        return widened(self.rows.take(self.rows.find(ids)[0]))

    def _check(self, vectors: Vectors) -> None:
        if vectors.shape[1] != self.dim:
            raise DimensionError(int(vectors.shape[1]), self.dim)

    def _positions(self, allowed: Ids | None) -> Positions | None:
        """Places of the rows to search, ascending; None for all."""
        if allowed is None:
            return self._living if len(self.deleted) else None
        positions, there = self.rows.find(allowed)
        positions = positions[there]
        return np.unique(positions[self._alive[positions]] if len(self.deleted) else positions)

    def _by_ann(
        self, query: Vectors, k: int, positions: Positions | None, among: NDArray[np.bool_] | None
    ) -> tuple[Positions, NDArray[np.float32]]:
        """The ``k`` nearest of the rows at ``positions``, which ``among`` says too."""
        assert self.ann is not None
        setting, covered = self.ann.setting(k), self.covered
        nprobe, inside = setting.nprobe, covered if positions is None else int(np.searchsorted(positions, covered))
        if 0 < len(self.deleted) <= setting.rerank_depth and among is self._alive:  # cheaper than asking for each row
            found = self.ann.index.candidates(query, setting.rerank_depth + len(self.deleted), nprobe)
            found = found[self._alive[found]]
        else:  # a selective filter needs more probes
            nprobe = math.ceil(nprobe * covered / max(1, inside))
            found = self.ann.index.candidates(query, setting.rerank_depth, nprobe, among)
        later = None if positions is None else positions[inside:]
        if len(self.rows) > covered and (later is None or len(later)):
            tail = nearest(self.rows, query[None], k, later, first=covered).positions[0]
            found = np.concatenate([found, tail[tail >= 0]])
        if len(found) < k:
            best = nearest(self.rows, query[None], k, positions)
            return best.positions[0], best.scores[0]
        return rescored(self.rows, query, found, k)
