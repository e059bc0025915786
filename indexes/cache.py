"""The index of a library on disk: a cache of what SQLite holds, named after what it was built from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes.exact import ExactIndex
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.records import Ids, Vectors

log = logging.getLogger(__name__)

ABANDONED = 3600  # seconds after which a half-written file belongs to a process that was killed
ROWS = 8192  # vectors fetched from the store at a time


class IndexCache:
    """Index files in one folder: ``exact-<library>-<model fingerprint>-<generation>.faiss``."""

    def __init__(self, folder: Path, library: str, fingerprint: str, dim: int) -> None:
        self._folder, self._dim = folder, dim
        self._prefix = f"exact-{library}-{fingerprint}-"

    def load(self, newest: int) -> tuple[VectorIndex, int]:
        """The newest readable index and its generation; an empty one of generation -1 where there is none.

        One of a generation above ``newest``, the database's own, is of a database that was put back to an earlier
        state: its ids may since mean other vectors.
        """
        files = {self._generation(file): file for file in self._folder.glob(f"{self._prefix}*.faiss")}
        for generation in sorted(files, reverse=True):
            try:
                if generation <= newest:
                    return ExactIndex.load(files[generation], self._dim), generation
            except FileNotFoundError:
                continue  # another process has just written a newer one
            except (LibraryError, DimensionError) as error:
                log.warning("%s; building it again", error)
        return ExactIndex(self._dim), -1

    def save(self, index: VectorIndex, generation: int) -> None:
        """Write the index, then drop all others.  Raises LibraryError where it cannot be written."""
        self._folder.mkdir(exist_ok=True)
        file = self._folder / f"{self._prefix}{generation}.faiss"
        index.save(file)
        for other in self._folder.iterdir():
            if other != file and (other.suffix != ".partial" or _age(other) > ABANDONED):
                other.unlink(missing_ok=True)

    @staticmethod
    def _generation(file: Path) -> int:
        number = file.stem.rpartition("-")[2]
        return int(number) if number.isdigit() else -1


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


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
