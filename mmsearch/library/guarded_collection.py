"""What searches ask a collection, through a breaker and with a share of their time; what changes it goes past both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmsearch.errors import LibraryError, UnreachableError
from mmsearch.indexes.collection import Collection
from mmsearch.indexes.protocol import Neighbours
from mmsearch.store import limit
from mmsearch.store.breaker import LOST, Breaker
from mmsearch.types import Ids, Vectors

SHARE = 0.5  # of the time that is left: words, and the files of the hits, are looked up after it
# Codes of errors for which the engine of the vectors is not to blame: without the store there is nothing to search.
OTHERS = ("library-closed", "needs-milvus", LOST)


class GuardedCollection:
    """The part of a ``Collection`` that searches use.  All errors of the engine are UnreachableError."""

    def __init__(self, collection: Collection, breaker: Breaker) -> None:
        self._collection, self._breaker = collection, breaker

    @property
    def dim(self) -> int:
        return self._collection.dim

    @property
    def kind(self) -> str:
        return self._collection.kind

    @property
    def recall(self) -> float:
        return self._collection.recall

    def ids(self) -> Ids:
        with self._asked():
            return self._collection.ids()

    def complete(self) -> int:
        with self._asked():
            return self._collection.complete()

    def nearest(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        with self._asked():
            return self._collection.nearest(queries, k, allowed)

    def compared(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        with self._asked():
            return self._collection.compared(queries, k, allowed)

    def vectors(self, ids: Ids) -> Vectors:
        with self._asked():
            return self._collection.vectors(ids)

    def ping(self) -> None:
        """As ``Collection.ping``."""
        with self._asked():
            self._collection.ping()

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            with self._breaker.asked(_fails), limit.share(SHARE):
                yield
        except LibraryError as error:
            if isinstance(error, UnreachableError) or not _fails(error):
                raise
            raise UnreachableError(self._breaker.part, self._breaker.name, str(error)) from error


def _fails(error: BaseException) -> bool:
    """Whether an error of a collection is one of its engine: also one of a damaged graph, or of no memory."""
    return isinstance(error, LibraryError) and error.code not in OTHERS
