"""The index of a library whose vectors are searched by a server: kept in step with what is stored."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from mmsearch.errors import LibraryError
from mmsearch.indexes.collection import Collection, CollectionIndex
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.manifest import caught_up
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.indexes.rows_alone import RowsAlone
from mmsearch.indexes.vector_file import Rows
from mmsearch.library.guarded_collection import GuardedCollection
from mmsearch.library.models import Models
from mmsearch.library.published_index import KeepUp, PublishedIndex, Snapshot
from mmsearch.store.breaker import Breaker
from mmsearch.store.part_rows import with_vectors
from mmsearch.store.protocol import Store
from mmsearch.store.types import Damage, StoredModel
from mmsearch.types import Ids, Progress, Vectors

log = logging.getLogger(__name__)

MOST = 4_096  # rows that a search holds in memory rather than add them to the collection: 4 MB
NOTHING = np.zeros(0, np.int64)


class CollectionSearch(PublishedIndex[CollectionIndex]):
    """A ``VectorSearch`` over a collection on a server.

    What was stored reaches it at the end of an index run, and on the way; whoever searches before that, or may not
    write there, holds what it lacks in memory.  What is gone is left out, and deleted there by the next who writes.
    """

    def __init__(
        self, store: Store, open_collection: Callable[[str, StoredModel], Collection], models: Models,
        recall: float = 0.95, breaker: Breaker | None = None,
    ) -> None:  # fmt: skip
        """``open_collection`` gives the one of this name for rows of a model; ``recall`` as of ``LiveIndex``.

        Searches ask it through ``breaker``.
        """
        super().__init__(store, models)
        self._open, self._recall = open_collection, recall
        self._breaker = breaker or Breaker("vectors", "the engine")
        self._collections: dict[str, Collection] = {}
        self._alone: tuple[int, str, Ids] | None = None  # generation and identity, with the ids that may be found
        self._stopped = threading.Event()

    def searched(self, snapshot: Snapshot[VectorIndex]) -> VectorIndex:
        return snapshot.index

    def collection(self, model: StoredModel) -> Collection:
        """Where the rows of a model are searched."""
        return self._collection(model)

    def without_engine(self) -> Snapshot[VectorIndex]:
        """Rows by id, from the store."""
        model = self._models.active()
        generation, identity = self._store.generation(), self._identity(model)
        if self._alone is None or self._alone[:2] != (generation, identity):
            self._alone = generation, identity, with_vectors(self._store, model)
        index = RowsAlone(self._alone[2], self.rows(model), model.dim + 1)
        return Snapshot(index, generation, model, identity)

    def ping(self) -> None:
        model = self._store.model()
        if model is not None:
            self._guarded(model).ping()

    def _guarded(self, model: StoredModel) -> GuardedCollection:
        return GuardedCollection(self._collection(model), self._breaker)

    def _collection(self, model: StoredModel) -> Collection:
        name = self._name(model)
        if name not in self._collections:
            self._collections[name] = self._open(name, model)
        return self._collections[name]

    def _caught_up(self, model: StoredModel, save: bool) -> Snapshot[CollectionIndex]:
        identity, collection, now = self._identity(model), self._collection(model), self._published
        guarded = self._guarded(model)
        asked = collection if save else guarded  # whoever writes asks, whatever happened before
        before = now.index.rest if now is not None and now.identity == identity else StoredIndex(Rows(model.dim + 1))
        while True:
            generation = self._store.generation()
            if asked.complete() == generation:
                index = CollectionIndex(guarded, lambda: with_vectors(self._store, model), NOTHING, _none(before))
                return self._publish(Snapshot(index, generation, model, identity))
            try:
                wanted, held = with_vectors(self._store, model), asked.ids()
                many = len(np.setdiff1d(wanted, held, assume_unique=True)) > MOST
                if (save or many) and self._handed_over(collection, wanted, held, model):
                    held = asked.ids()
                    if np.array_equal(held, wanted) and self._store.generation() == generation:
                        with suppress(LibraryError):  # it is looked again
                            collection.note_complete(generation)
                lacking = np.setdiff1d(wanted, held, assume_unique=True)
                rest = caught_up(before, lacking, self.rows(model)) if len(lacking) else _none(before)
                index = CollectionIndex(guarded, wanted, held, rest)
                return self._publish(Snapshot(index, generation, model, identity))
            except KeyError:  # another process has removed some in between: look again
                if self._store.generation() == generation:
                    raise

    def _handed_over(self, collection: Collection, wanted: Ids, held: Ids, model: StoredModel) -> bool:
        """Give the collection what it lacks, and have it delete what is gone; whether that was possible."""
        lacking = np.setdiff1d(wanted, held, assume_unique=True)
        gone = np.setdiff1d(held, wanted, assume_unique=True)
        if not len(gone) and not len(lacking):
            return True
        try:
            collection.change(lacking, self.rows(model), gone, lambda _: not self._stopped.is_set())
        except LibraryError as error:
            log.info("vectors are searched in memory until the server takes them: %s", error)
            return False
        return True

    def maintain(self, model: StoredModel, progress: Callable[[Progress], None] | None) -> None:
        place = self._store.place

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(Progress(done, total, place, "index"))

        def queries() -> Vectors:
            return self._models.typical_queries(model)

        try:
            self._collection(model).maintain(queries, self._recall, report)
        except LibraryError as error:
            if not self._stopped.is_set():
                log.warning("the index on the server stays as it was: %s", error)

    def _keeping_up(self, model: StoredModel) -> KeepUp:
        self._stopped.clear()

        def keep_up(report: Callable[[Progress], None]) -> None:
            self.refresh(model, save=True)
            self.maintain(model, report)

        def stop() -> None:
            self._stopped.set()
            self._collection(model).stop()

        return keep_up, stop

    def damages(self, model: StoredModel, deep: bool = False) -> Iterator[Damage]:
        from mmsearch.manage.health import collection_damages

        return collection_damages(self._store, model, self._collection(model), self.rows(model), deep)

    def discard(self, model: StoredModel) -> None:
        self._collection(model).drop()

    def reset(self) -> None:
        with self._lock:
            self._published = None
            self._collections = {}


def _none(before: StoredIndex) -> StoredIndex:
    return before if not len(before) else StoredIndex(Rows(before.dim))
