"""The index of a library whose engine does not answer: rows are there, by id, and nothing that finds the nearest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import DimensionError
from mmsearch.indexes.protocol import Neighbours, spread
from mmsearch.types import Ids, Vectors

COMPARED = 2_000  # rows that are fetched and compared: 2 MB
AT_ONCE = 1_000  # of these, that are asked for together


class RowsAlone:
    """A ``VectorIndex`` for one search.  Whatever is named by its id is compared as ever: pictures that words found.

    The nearest are found where no more than ``COMPARED`` rows are allowed; elsewhere none is, and ``missed`` says so.
    """

    kind, recall = "none", 0.0

    def __init__(self, ids: Ids, fetch: Callable[[Ids], Vectors], dim: int) -> None:
        """``ids`` ascend; ``fetch`` gives their rows, (n,) -> (n, dim)."""
        self._ids, self._fetch, self.dim = ids, fetch, dim
        self.missed = False  # whether a search had no answer

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> Ids:
        return self._ids

    def holds(self, ids: Ids) -> NDArray[np.bool_]:
        return np.isin(ids, self._ids)

    def sample(self, count: int) -> Ids:
        return spread(self._ids, count)

    def vectors(self, ids: Ids) -> Vectors:
        if not self.holds(ids).all():
            raise KeyError("the index has no such id")
        blocks = [self._fetch(ids[start : start + AT_ONCE]) for start in range(0, len(ids), AT_ONCE)]
        return np.concatenate(blocks) if blocks else np.empty((0, self.dim), np.float32)

    def search(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        if queries.shape[1] != self.dim:
            raise DimensionError(int(queries.shape[1]), self.dim)
        among = self._ids if allowed is None else np.intersect1d(allowed, self._ids)
        found = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        if len(among) > COMPARED:
            self.missed = True
        elif len(among):
            near = np.asarray(queries, np.float32) @ self.vectors(among).T  # (n, dim) x (dim, m) -> (n, m)
            order = np.argsort(-near, axis=1, kind="stable")[:, :k]
            found[:, : order.shape[1]] = among[order]
            scores[:, : order.shape[1]] = np.take_along_axis(near, order, 1)
        return Neighbours(found, scores)
