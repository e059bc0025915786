"""What a library's index is to those who search it: snapshots that never change, published by reference."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from mmsearch.errors import UnreachableError
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.library.models import Models
from mmsearch.search import querybank
from mmsearch.search.hubness import hubness_penalty
from mmsearch.store import limit
from mmsearch.store.types import StoredModel
from mmsearch.types import Ids, Progress, Vectors

if TYPE_CHECKING:  # a search does without it
    from mmsearch.store.protocol import Store

Index = TypeVar("Index", bound=VectorIndex)
KeepUp = tuple[Callable[[Callable[[Progress], None]], object], Callable[[], object]]


@dataclass(frozen=True)
class Snapshot(Generic[Index]):
    """An index as searches see it, and what it was made from.  It never changes."""

    index: Index  # rows are vectors with their hubness behind them: 0 where there is no querybank
    generation: int  # of the database
    model: StoredModel
    identity: str  # of the database, the model and the querybank


class PublishedIndex(ABC, Generic[Index]):
    """Keeps an index in step with the store.  Safe to use from several threads.

    Searches take ``snapshot``.  Whoever changes the index makes another one and publishes it by reference: only those
    who write wait for each other.
    """

    def __init__(self, store: Store, models: Models) -> None:
        self._store, self._models = store, models
        self._published: Snapshot[Index] | None = None
        self._lock = threading.RLock()  # held by who catches up, builds or saves: never by who only searches

    def snapshot(self) -> Snapshot[Index]:
        """The newest index that can be had without waiting for another thread.

        It is caught up with the store first; where another thread is doing so, the index from before is searched on.
        Only where there is none yet, or the database was put back to an earlier state, it is waited for.  Raises
        NoModelError, UnreachableError where the time of a search is over.
        """
        model = self._models.active()
        generation, identity = self._store.generation(), self._identity(model)
        found = self._published
        if found is not None and (found.generation, found.identity) == (generation, identity):
            return found
        serves = found is not None and found.generation <= generation and self._same_database(found)
        if serves:
            got = self._lock.acquire(blocking=False)
        else:
            with limit.waiting():
                got = self._lock.acquire(timeout=limit.at_most(threading.TIMEOUT_MAX))
        if not got:
            if not serves or found is None:
                raise UnreachableError("vectors", "the index", "another thread is making it, and the time is over")
            return found
        try:
            return self._caught_up(model, save=False)
        finally:
            self._lock.release()

    def without_engine(self) -> Snapshot[Any]:
        """See ``VectorSearch``: here no engine is asked."""
        return self.snapshot()

    def ping(self) -> None:
        """See ``VectorSearch``."""

    def refresh(self, model: StoredModel, save: bool = False) -> Index:
        """The index of a model, caught up with the store; kept with ``save``, and where there was none."""
        with self._lock:
            return self._caught_up(model, save).index

    @abstractmethod
    def _caught_up(self, model: StoredModel, save: bool) -> Snapshot[Index]:
        """Publishes the index as the store is now.  The lock is held."""

    def _publish(self, snapshot: Snapshot[Index]) -> Snapshot[Index]:
        self._published = snapshot
        return snapshot

    @abstractmethod
    def _keeping_up(self, model: StoredModel) -> KeepUp:
        """What keeps the index up beside an index run, called with whom to report to; and what ends that early."""

    @contextmanager
    def maintained_beside(
        self, model: StoredModel, progress: Callable[[Progress], None] | None
    ) -> Iterator[Callable[[Progress], None]]:
        """Keeps the index up while many pictures are stored, so that searches meanwhile need not do it.

        Gives what an index run is to call after each picture, in place of ``progress``.
        """
        from mmsearch.ingest.background_job import Beside

        keep_up, stop = self._keeping_up(model)
        last: deque[Progress] = deque(maxlen=1)

        def report_waiting() -> None:
            if last and progress is not None:
                progress(last[-1])

        def report_stored(done: Progress) -> None:
            beside.stored(done.done)
            if progress is not None:
                progress(done)

        with Beside(lambda: keep_up(last.append), stop, len(self.refresh(model)), report_waiting) as beside:
            yield report_stored

    def rows(self, model: StoredModel) -> Callable[[Ids], Vectors]:
        """Fetches rows of the index by id: (n,) int64 -> (n, dim + 1) float32.  Raises KeyError for unknown ids."""
        bank = self._models.querybank(model)

        def fetch(ids: Ids) -> Vectors:
            vectors = self._store.vectors(ids, model.dim)
            hubness = np.zeros(len(ids)) if bank is None else hubness_penalty(vectors, bank, 1.0, querybank.NEAREST)
            return np.column_stack([vectors, hubness]).astype(np.float32)

        return fetch

    def _name(self, model: StoredModel) -> str:
        """Of the index of a model: its rows depend on the querybank too."""
        return f"{model.fingerprint}-{self._models.querybank_version(model)}"

    def _identity(self, model: StoredModel) -> str:
        """Tells the index of a model from others; another one since a backup was restored."""
        return f"{self._store.identity()}-{self._name(model)}"

    def _same_database(self, snapshot: Snapshot[Index]) -> bool:
        return snapshot.identity.startswith(f"{self._store.identity()}-")
