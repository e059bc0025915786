"""Rows that an engine on a server keeps and searches, and the index that a library makes of them.

What is stored of a library and not in the engine yet is held in memory and compared one by one; what the engine holds
beyond it is left out.  So a search is right whenever rows reach the engine, and searches never wait for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import DimensionError
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.protocol import Neighbours, spread
from mmsearch.types import Ids, Vectors

WIDER = 4  # times as many are asked for where what came back is left out
TRIES = 3  # of that, before all are compared


class Searchable(Protocol):
    """The part of a ``Collection`` that an index asks."""

    @property
    def dim(self) -> int: ...

    @property
    def kind(self) -> str:
        """How it is searched, such as "pgvector hnsw"."""
        ...

    @property
    def recall(self) -> float:
        """The share of the 10 nearest that it is known to find, in [0, 1]."""
        ...

    def ids(self) -> Ids:
        """The ids that it holds, ascending; none where it was not made yet."""
        ...

    def nearest(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        """About the ``k`` nearest to each of the (n, dim) queries, with their exact scores.

        ``k`` come back whenever so many are there, or allowed.
        """
        ...

    def compared(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        """The ``k`` nearest of all rows, or of the allowed ones."""
        ...

    def vectors(self, ids: Ids) -> Vectors:
        """The rows of these ids, in their order, (n, dim) float32.  Raises KeyError for an unknown id."""
        ...


class Collection(Searchable, Protocol):
    """Rows of one dimension, by id.  An id has one row, for ever.

    Safe to use from several threads and processes, of which one at a time changes it.  Each method raises LibraryError
    where the server does not answer, or does not allow it.
    """

    def ids_there(self) -> Ids:
        """The ids that the engine itself has, ascending, read from it page by page: noted ones and others."""
        ...

    def reconcile(self) -> int:
        """Make what the engine has and what is noted of it the same; how many ids differed.

        What the engine alone has is deleted; what it lacks is no longer noted, so that it is given again.
        """
        ...

    def complete(self) -> int:
        """The generation of the store of which it was noted that it holds exactly what can be found; -1 for none."""
        ...

    def ping(self) -> None:
        """Ask whether it answers, as cheaply as can be.  Raises LibraryError where it does not."""
        ...

    def change(
        self, added: Ids, fetch: Callable[[Ids], Vectors], gone: Ids, told: Callable[[int], bool] = lambda _: True
    ) -> None:
        """Add the rows that ``fetch`` gives, remove others, a block at a time; it is made where it is not there.

        ``told`` hears how many are in and says whether to go on.  What is in stays in, whatever happens.
        """
        ...

    def note_complete(self, generation: int) -> None:
        """See ``complete``; whoever changes it afterwards takes that back."""
        ...

    def maintain(self, queries: Callable[[], Vectors], recall: float, told: Callable[[int, int], None]) -> None:
        """Build what finds the nearest quickly, and tune it for (n, dim) queries, where that is due."""
        ...

    def stop(self) -> None:
        """End ``maintain``, which another thread is in."""
        ...

    def drop(self) -> None:
        """Delete it; nothing where it is not there."""
        ...


class CollectionIndex:
    """A ``VectorIndex``: the ``wanted`` ids of a library, most of them in a collection, the others in memory."""

    def __init__(self, collection: Searchable, wanted: Ids | Callable[[], Ids], held: Ids, rest: StoredIndex) -> None:
        """``held`` are the ids of the collection, ``rest`` has the rows that it lacks.

        Where the collection holds exactly what is wanted, ``wanted`` may be what fetches the ids when they are asked
        for; ``held`` is not looked at then.
        """
        self.collection, self.rest = collection, rest
        self._wanted = wanted
        self._exact = callable(wanted)
        self._held = held

    @property
    def dim(self) -> int:
        return self.collection.dim

    @property
    def kind(self) -> str:
        return self.collection.kind

    @property
    def recall(self) -> float:
        return self.collection.recall

    def __len__(self) -> int:
        return len(self.ids())

    @functools.cached_property
    def _ids(self) -> Ids:
        return self._wanted() if callable(self._wanted) else self._wanted

    @functools.cached_property
    def _there(self) -> Ids:
        """The ids that are wanted and in the collection, ascending."""
        return self._ids if self._exact else np.intersect1d(self._ids, self._held, assume_unique=True)

    @functools.cached_property
    def _hidden(self) -> int:
        """How many rows of the collection are not wanted, as far as is known."""
        return 0 if self._exact else len(self._held) - len(self._there)

    def ids(self) -> Ids:
        return self._ids

    def holds(self, ids: Ids) -> NDArray[np.bool_]:
        return np.isin(ids, self._ids)

    def sample(self, count: int) -> Ids:
        return spread(self._ids, count)

    def vectors(self, ids: Ids) -> Vectors:
        if not self.holds(ids).all():
            raise KeyError("the index has no such id")
        near = self.rest.holds(ids)
        rows = np.empty((len(ids), self.dim), np.float32)
        if near.any():
            rows[near] = self.rest.vectors(ids[near])
        if not near.all():
            rows[~near] = self.collection.vectors(ids[~near])
        return rows

    def search(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        if queries.shape[1] != self.dim:
            raise DimensionError(int(queries.shape[1]), self.dim)
        queries = np.ascontiguousarray(queries, np.float32)
        found = self._in_collection(queries, k, None if allowed is None else np.unique(allowed))
        if len(self.rest):
            found = _merged(found, self.rest.search(queries, k, allowed), k)
        return found

    def _in_collection(self, queries: Vectors, k: int, allowed: Ids | None) -> Neighbours:
        if self._exact:
            among, most = allowed, k if allowed is None else min(k, len(allowed))
        else:
            among = None if allowed is None else np.intersect1d(allowed, self._there, assume_unique=True)
            most = min(k, len(self._there if among is None else among))
        if not most or not len(queries):
            return _cut(Neighbours(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)), k)
        asked = most + (min(self._hidden, WIDER * most) if among is None else 0)
        for _ in range(TRIES):
            found = self.collection.nearest(queries, asked, among)
            if among is not None or self._exact:
                return _cut(found, k)
            found = _among(found, self._there)  # others may have been added since ``held`` was read
            if (found.ids[:, :most] >= 0).all():
                return _cut(found, k)
            asked *= WIDER
        return _cut(self.collection.compared(queries, most, self._there), k)


def _among(found: Neighbours, ids: Ids) -> Neighbours:
    """Without those that are not among ``ids``, which ascend; what is left moves up."""
    right = np.isin(found.ids, ids)
    order = np.argsort(~right, axis=1, kind="stable")
    numbers, scores = np.where(right, found.ids, -1), np.where(right, found.scores, -np.inf).astype(np.float32)
    return Neighbours(np.take_along_axis(numbers, order, 1), np.take_along_axis(scores, order, 1))


def _merged(first: Neighbours, second: Neighbours, k: int) -> Neighbours:
    """The ``k`` best of both, which share no id."""
    ids = np.concatenate([first.ids, second.ids], axis=1)
    scores = np.concatenate([first.scores, second.scores], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Neighbours(np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1))


def _cut(found: Neighbours, k: int) -> Neighbours:
    """Exactly ``k`` columns."""
    ids = np.full((len(found.ids), k), -1, np.int64)
    scores = np.full((len(found.ids), k), -np.inf, np.float32)
    most = min(k, found.ids.shape[1])
    ids[:, :most], scores[:, :most] = found.ids[:, :most], found.scores[:, :most]
    return Neighbours(ids, scores)
