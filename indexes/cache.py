"""The index of a library on disk: a cache of what SQLite holds, named after what it was built from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes.exact import ExactIndex
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.records import Ids, Vectors

log = logging.getLogger(__name__)

ROWS = 8192  # vectors fetched from the store at a time


class IndexCache:
    """Index files in one folder: ``exact-<model fingerprint>-<generation>.faiss``."""

    def __init__(self, folder: Path, fingerprint: str, dim: int) -> None:
        self._folder, self._dim = folder, dim
        self._prefix = f"exact-{fingerprint}-"

    def load(self) -> tuple[VectorIndex, int]:
        """The newest readable index and its generation; an empty one of generation -1 where there is none."""
        files = {self._generation(file): file for file in self._folder.glob(f"{self._prefix}*.faiss")}
        for generation in sorted(files, reverse=True):
            try:
                return ExactIndex.load(files[generation], self._dim), generation
            except (LibraryError, DimensionError) as error:
                log.warning("%s; building it again", error)
        return ExactIndex(self._dim), -1

    def save(self, index: VectorIndex, generation: int) -> None:
        """Write the index, then drop the older ones.  Raises LibraryError where it cannot be written."""
        self._folder.mkdir(exist_ok=True)
        file = self._folder / f"{self._prefix}{generation}.faiss"
        index.save(file)
        for older in self._folder.glob(f"{self._prefix}*.faiss"):
            if self._generation(older) < generation:
                older.unlink(missing_ok=True)

    @staticmethod
    def _generation(file: Path) -> int:
        number = file.stem.rpartition("-")[2]
        return int(number) if number.isdigit() else -1


def caught_up(index: VectorIndex, wanted: Ids, fetch: Callable[[Ids], Vectors]) -> VectorIndex:
    """An index that holds exactly the ``wanted`` ids, ascending; ``index`` itself when it does already.

    An id's vector never changes, so comparing ids is enough.  ``fetch`` gives the vectors of ids.
    """
    held = index.ids()
    extra, lacking = np.setdiff1d(held, wanted), np.setdiff1d(wanted, held)
    if not len(extra) and not len(lacking):
        return index
    changed = index.clone()
    changed.remove(extra)
    for start in range(0, len(lacking), ROWS):
        rows = lacking[start : start + ROWS]
        changed.add(rows, fetch(rows))
    return changed
