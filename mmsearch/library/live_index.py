"""The index of a library in use: searches take a snapshot that never changes, writers publish the next one."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mmsearch.errors import LibraryError
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.maintenance import maintained
from mmsearch.indexes.manifest import IndexCache, caught_up
from mmsearch.indexes.memory import half_of_memory
from mmsearch.indexes.policy import choose
from mmsearch.library.models import Models
from mmsearch.search import querybank
from mmsearch.search.hubness import hubness_penalty
from mmsearch.store.part_rows import with_vectors
from mmsearch.store.types import Damage, StoredModel
from mmsearch.types import Ids, Progress, Vectors

if TYPE_CHECKING:  # a search does without it
    from mmsearch.indexes.build_process import Apart
    from mmsearch.store.protocol import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """An index as searches see it, and what it was made from.  It never changes."""

    index: StoredIndex  # rows are vectors with their hubness behind them: 0 where there is no querybank
    generation: int  # of the database
    model: StoredModel
    identity: str  # of the database, the model and the querybank


class LiveIndex:
    """Keeps the index in step with the store.  Safe to use from several threads.

    Searches take ``snapshot``.  Catching up, building and saving make another index over the same rows, and publish it
    by reference: only those who write wait for each other.
    """

    def __init__(self, store: Store, folder: Path, models: Models, recall: float = 0.95, device: str = "cpu") -> None:
        """``folder`` is that of the index files; ``recall`` the share of the nearest that a search must find.

        With the ``device`` "cuda" the rows of large indexes are searched on the GPUs.
        """
        self._store, self._folder, self._models, self._recall = store, folder, models, recall
        self._device: Literal["cpu", "cuda"] = "cuda" if device == "cuda" else "cpu"
        self._published: Snapshot | None = None
        self._lock = threading.RLock()  # held by who catches up, builds or saves: never by who only searches
        self._saved = -1  # generation of the index on disk
        self._on_gpus: tuple[StoredIndex, StoredIndex] | None = None  # an index, and the same with its rows on GPUs

    def snapshot(self) -> Snapshot:
        """The newest index that can be had without waiting for another thread.

        It is caught up with the store first; where another thread is doing so, the index from before is searched on.
        Only where there is none yet, or the database was put back to an earlier state, it is waited for.  Raises
        NoModelError.
        """
        model = self._models.active()
        generation, identity = self._store.generation(), self._identity(model)
        found = self._published
        if found is not None and (found.generation, found.identity) == (generation, identity):
            return found
        serves = found is not None and found.generation <= generation and self._same_database(found)
        if not self._lock.acquire(blocking=not serves):
            assert found is not None
            return found
        try:
            return self._caught_up(model, save=False)
        finally:
            self._lock.release()

    def searched(self, snapshot: Snapshot) -> StoredIndex:
        """The index to search: with its rows on the GPUs, where the device asks for them and there are many rows."""
        index = snapshot.index
        if choose(len(index.rows), index.dim, device=self._device).kind != "gpu":
            return index
        from mmsearch.indexes.gpu import on_gpus

        with self._lock:
            if self._on_gpus is None or self._on_gpus[0] is not index:
                self._on_gpus = index, on_gpus(index)
            return self._on_gpus[1]

    def refresh(self, model: StoredModel, save: bool = False) -> StoredIndex:
        """The index of a model, caught up with the store; written to disk with ``save``, and where there was none."""
        with self._lock:
            return self._caught_up(model, save).index

    def _caught_up(self, model: StoredModel, save: bool) -> Snapshot:
        """Publishes the index as the store is now.  The lock is held."""
        generation, identity = self._store.generation(), self._identity(model)
        manifest, now = self.manifest(model), self._published
        if now is None or now.identity != identity or now.generation > generation:
            index, built = manifest.load(generation)
            self._saved = built
        else:
            index, built = now.index, now.generation
        if self._saved != -1 and built < generation:
            newer, its = manifest.load(generation, than=built)
            if its > built:  # another process has written it
                index, built, self._saved = newer, its, its
        save = save or self._saved == -1
        while built != generation:
            wanted = with_vectors(self._store, model)
            try:
                index = caught_up(index, wanted, self.rows(model), manifest.hold if save else None)
                break
            except KeyError:  # another process has removed some in between: look again
                generation = self._store.generation()
            except (LibraryError, OSError) as error:
                log.warning("%s; the next start will build it again", error)
                save = False
        if self._saved != generation and save:
            index = self._written(manifest, index, generation)
        return self._publish(Snapshot(index, generation, model, identity))

    def _publish(self, snapshot: Snapshot) -> Snapshot:
        self._published = snapshot
        return snapshot

    def _written(self, manifest: IndexCache, index: StoredIndex, generation: int) -> StoredIndex:
        """The index as it is on disk now; as it was where it cannot be written."""
        try:
            index = manifest.save(index, generation)
            self._saved = generation
        except (LibraryError, OSError) as error:
            log.warning("%s; the next start will build it again", error)
        return index

    def maintain(
        self, model: StoredModel, progress: Callable[[Progress], None] | None, builder: Apart | None = None
    ) -> None:
        """Build, extend or tidy the index, if that is due; searches go on with the one that there is."""
        builder = builder or self._builder(model)
        index, manifest = self.refresh(model), self.manifest(model)

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(Progress(done, total, str(self._folder.parent), "index"))

        def queries() -> Vectors:
            return self._models.typical_queries(model)

        try:
            better = maintained(index, queries, self._recall, half_of_memory(), report, builder, manifest.hold)
        except (RuntimeError, MemoryError, LibraryError, OSError) as error:  # of FAISS, or of a full disk
            if not builder.stopped:
                log.warning("the index stays as it was: %s", str(error).partition("\n")[0] or "not enough memory")
            return
        if better is index:
            return
        with self._lock:
            now = self._published
            if now is None:
                return
            if now.index is not index:
                if better.rows is not index.rows or not now.index.rows.begins_as(index.rows):
                    return
                better = StoredIndex(now.index.rows, now.index.deleted, better.ann)  # it has grown meanwhile
            index = self._written(manifest, better, now.generation)
            self._publish(Snapshot(index, now.generation, now.model, now.identity))

    def _builder(self, model: StoredModel, gently: bool = False) -> Apart:
        from mmsearch.indexes.build_process import Apart

        return Apart(self.manifest(model).folder, gently)

    @contextmanager
    def maintained_beside(
        self, model: StoredModel, progress: Callable[[Progress], None] | None
    ) -> Iterator[Callable[[Progress], None]]:
        """Keeps the index up while many pictures are stored, so that searches meanwhile need not do it.

        Gives what an index run is to call after each picture, in place of ``progress``.
        """
        from mmsearch.ingest.background_job import Beside

        builder = self._builder(model, gently=True)
        last: deque[Progress] = deque(maxlen=1)

        def work() -> None:
            self.refresh(model, save=True)
            self.maintain(model, last.append, builder)

        def report_waiting() -> None:
            if last and progress is not None:
                progress(last[-1])

        def report_stored(done: Progress) -> None:
            beside.stored(done.done)
            if progress is not None:
                progress(done)

        with Beside(work, builder.stop, len(self.refresh(model)), report_waiting) as beside:
            yield report_stored

    def damages(self, model: StoredModel, deep: bool = False) -> Iterator[Damage]:
        from mmsearch.manage.health import index_damages

        return index_damages(self._store, model, self.manifest(model), self.rows(model), deep)

    def discard(self, model: StoredModel) -> None:
        self.manifest(model).clear()

    def reset(self) -> None:
        """Nothing is remembered: the next one is read from disk, or made anew."""
        with self._lock:
            self._published, self._saved = None, -1

    def manifest(self, model: StoredModel) -> IndexCache:
        """The files of the index of a model."""
        return IndexCache(self._folder, self._store.identity(), self._name(model), model.dim + 1)

    def rows(self, model: StoredModel) -> Callable[[Ids], Vectors]:
        """Fetches rows of the index by id: (n,) int64 -> (n, dim + 1) float32.  Raises KeyError for unknown ids."""
        bank = self._models.querybank(model)

        def fetch(ids: Ids) -> Vectors:
            vectors = self._store.vectors(ids, model.dim)
            hubness = np.zeros(len(ids)) if bank is None else hubness_penalty(vectors, bank, 1.0, querybank.NEAREST)
            return np.column_stack([vectors, hubness]).astype(np.float32)

        return fetch

    def _name(self, model: StoredModel) -> str:
        return f"{model.fingerprint}-{self._models.querybank_version(model)}"

    def _identity(self, model: StoredModel) -> str:
        """Tells the index of a model from others; another one since a backup was restored."""
        return f"{self._store.identity()}-{self._name(model)}"

    def _same_database(self, snapshot: Snapshot) -> bool:
        return snapshot.identity.startswith(f"{self._store.identity()}-")
