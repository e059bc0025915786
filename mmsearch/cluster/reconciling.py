"""The store and the engine that searches its vectors, compared by their ids and made the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from mmsearch.errors import LibraryError
from mmsearch.indexes.collection import Collection
from mmsearch.library.collection_search import CollectionSearch
from mmsearch.library.library import Library
from mmsearch.store.part_rows import with_vectors
from mmsearch.store.types import StoredModel
from mmsearch.types import Ids, Progress

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Reconciled:
    """What a look at the vectors of one model gave."""

    model: str
    fingerprint: str
    engine: str  # how they are searched, such as "pgvector hnsw"
    wanted: int  # vectors in the store that can be found
    held: int  # rows in the engine
    missing: int  # vectors that the engine lacked, or of which was not noted that it has them
    foreign: int  # rows of the engine that are of no vector that can be found
    left: int  # of both, that are so still
    reason: str | None = None  # why

    @property
    def ok(self) -> bool:
        return not self.left and self.reason is None


def reconcile(library: Library, *, dry: bool = False, progress: Report | None = None) -> list[Reconciled]:
    """Compare the ids of a library with those of the engine that searches its vectors, and make them the same.

    What the engine lacks is handed to it, what it alone has is deleted there; with ``dry`` nothing is changed.  One
    line a model: the one that is searched with, and others that the engine has rows of.  Where the engine does not
    answer, the line says so.  Raises LibraryError for a library without such an engine, LibraryBusyError.
    """
    vectors = library.vectors
    if not isinstance(vectors, CollectionSearch):
        raise LibraryError(
            f"no server searches the vectors of the library {library.store.place}, so there is nothing to reconcile; "
            "its own index is looked at when it is verified",
            code="no-engine",
        )
    found = []
    with nullcontext() if dry else library.lock():
        for kept in library.kept_models():
            own = _Model(library, vectors, kept.model, vectors.collection(kept.model), progress)
            line = own.reconciled(dry, kept.active)
            if line is not None:
                found.append(line)
    return found


@dataclass(frozen=True)
class _Model:
    """The vectors of one model on both sides."""

    library: Library
    vectors: CollectionSearch
    model: StoredModel
    collection: Collection
    progress: Report | None

    def reconciled(self, dry: bool, active: bool) -> Reconciled | None:
        """None for a model that is not searched with, and of which the engine has nothing."""
        there = missing = foreign = np.zeros(0, np.int64)
        wanted = with_vectors(self.library.store, self.model)
        left, reason = 0, None
        try:
            there, missing, foreign = self._compared(wanted)
            if not active and not len(there) and not len(foreign):
                return None
            left = len(missing) + len(foreign)
            if not dry and left:
                self._mend(wanted, there)
                left = sum(map(len, self._compared(wanted)[1:]))
        except LibraryError as error:
            reason = str(error)
        counts = (len(wanted), len(there), len(missing), len(foreign))
        return Reconciled(self.model.name, self.model.fingerprint, self.collection.kind, *counts, left, reason)

    def _compared(self, wanted: Ids) -> tuple[Ids, Ids, Ids]:
        """The ids that the engine has, those that it lacks, and those that it should not have."""
        there = self.collection.ids_there()
        noted = self.collection.ids()
        missing = np.setdiff1d(wanted, np.intersect1d(there, noted, assume_unique=True), assume_unique=True)
        return there, missing, np.setdiff1d(np.union1d(there, noted), wanted, assume_unique=True)

    def _mend(self, wanted: Ids, there: Ids) -> None:
        collection, generation = self.collection, self.library.store.generation()
        if not len(there):  # perhaps the engine has lost all that it had, and where it was
            collection.drop()
        collection.reconcile()
        noted = collection.ids()
        lacking = np.setdiff1d(wanted, noted, assume_unique=True)

        def told(done: int) -> bool:
            if self.progress is not None:
                self.progress(Progress(done, len(lacking), self.library.store.place, "index"))
            return True

        gone = np.setdiff1d(noted, wanted, assume_unique=True)
        collection.change(lacking, self.vectors.rows(self.model), gone, told)
        collection.note_complete(generation)
