"""The index of a library in use: searches take a snapshot that never changes, writers publish the next one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmsearch.errors import LibraryError
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.maintenance import maintained
from mmsearch.indexes.manifest import IndexCache, caught_up
from mmsearch.indexes.memory import half_of_memory
from mmsearch.indexes.policy import choose
from mmsearch.library.models import Models
from mmsearch.library.published_index import KeepUp, PublishedIndex, Snapshot
from mmsearch.store.part_rows import with_vectors
from mmsearch.store.types import Damage, StoredModel
from mmsearch.types import Progress, Vectors

if TYPE_CHECKING:  # a search does without it
    from mmsearch.indexes.build_process import Apart
    from mmsearch.store.protocol import Store

log = logging.getLogger(__name__)


class LiveIndex(PublishedIndex[StoredIndex]):
    """The index of rows in memory and in files of this machine.

    Catching up, building and saving make another index over the same rows, and publish it.
    """

    def __init__(self, store: Store, folder: Path, models: Models, recall: float = 0.95, device: str = "cpu") -> None:
        """``folder`` is that of the index files; ``recall`` the share of the nearest that a search must find.

        With the ``device`` "cuda" the rows of large indexes are searched on the GPUs.
        """
        super().__init__(store, models)
        self._folder, self._recall = folder, recall
        self._device: Literal["cpu", "cuda"] = "cuda" if device == "cuda" else "cpu"
        self._saved = -1  # generation of the index on disk
        self._on_gpus: tuple[StoredIndex, StoredIndex] | None = None  # an index, and the same with its rows on GPUs

    def searched(self, snapshot: Snapshot[StoredIndex]) -> StoredIndex:
        """The index to search: with its rows on the GPUs, where the device asks for them and there are many rows."""
        index = snapshot.index
        if choose(len(index.rows), index.dim, device=self._device).kind != "gpu":
            return index
        from mmsearch.indexes.gpu import on_gpus

        with self._lock:
            if self._on_gpus is None or self._on_gpus[0] is not index:
                self._on_gpus = index, on_gpus(index)
            return self._on_gpus[1]

    def _caught_up(self, model: StoredModel, save: bool) -> Snapshot[StoredIndex]:
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

    def _keeping_up(self, model: StoredModel) -> KeepUp:
        builder = self._builder(model, gently=True)

        def keep_up(report: Callable[[Progress], None]) -> None:
            self.refresh(model, save=True)
            self.maintain(model, report, builder)

        return keep_up, builder.stop

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
