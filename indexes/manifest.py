"""The index of a library on disk: a cache of what SQLite holds, named after what it was built from.

A folder with files of rows (``vector_file.py``), of approximate indexes, and small JSON files that say which of them,
and how many rows, make the index of a generation.  Those come last: until one is there, the older one holds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes import ann_files
from mmsearch.indexes.faiss_files import hashed, written
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.vector_file import BLOCK, IDS, ROWS, Rows
from mmsearch.types import Ids, Vectors

log = logging.getLogger(__name__)

HELD = 32 * BLOCK  # new rows kept in memory, at most
ABANDONED = 3600  # seconds after which a file that nothing refers to belongs to a process that was killed


class IndexCache:
    """Index files in one folder; those that belong together are named in one of them.

    That is ``index-<library>-<model fingerprint>-<generation>.json``.
    """

    def __init__(self, folder: Path, library: str, fingerprint: str, dim: int) -> None:
        self.folder, self._dim = folder, dim
        self._prefix = f"index-{library}-{fingerprint}-"

    def load(self, newest: int, than: int = -1) -> tuple[StoredIndex, int]:
        """The newest readable index and its generation; an empty one of generation -1 where none is newer ``than``.

        One of a generation above ``newest``, the database's own, is of a database that was put back to an earlier
        state: its ids may since mean other vectors.
        """
        files = {self._generation(file): file for file in self.folder.glob(f"{self._prefix}*.json")}
        for generation in sorted(files, reverse=True):
            try:
                if than < generation <= newest:
                    return self._read(files[generation]), generation
            except FileNotFoundError:
                continue  # another process has just written a newer one
            except (LibraryError, DimensionError) as error:
                log.warning("%s; building it again", error)
        return StoredIndex(Rows(self._dim)), -1

    def newest(self) -> tuple[StoredIndex, int] | None:
        """The newest index and its generation; None where there is none.

        Unlike ``load``, raises LibraryError or DimensionError where anything is wrong with its files.
        """
        files = {self._generation(file): file for file in self.folder.glob(f"{self._prefix}*.json")}
        if not files:
            return None
        generation = max(files)
        try:
            return self._read(files[generation], strict=True), generation
        except FileNotFoundError as error:
            raise LibraryError(f"the index {files[generation]} has lost a file: {error.filename}") from error

    def unlike(self, index: StoredIndex) -> bool:
        """Whether the file of its approximate index has changed since it was written."""
        ann = index.ann
        return ann is not None and ann.hash is not None and ann.hash != hashed(self.folder / str(ann.file))

    def clear(self) -> None:
        """Remove all index files."""
        for file in self.folder.glob("*"):
            with contextlib.suppress(OSError):
                file.unlink()

    def _read(self, file: Path, strict: bool = False) -> StoredIndex:
        try:
            entry = json.loads(file.read_text("utf-8"))
            if entry["dim"] != self._dim:
                raise DimensionError(entry["dim"], self._dim)
            rows = Rows.mapped(self.folder / entry["rows"], self._dim, entry["count"])
            deleted = np.array(entry["dead"], np.int64)
            ann = None if entry["likely"] is None else self._read_ann(entry["likely"], strict)
        except (ValueError, TypeError, LookupError) as error:
            raise LibraryError(f"the index {file} is damaged") from error
        return StoredIndex(rows, deleted, ann)

    def _read_ann(self, entry: dict[str, Any], strict: bool) -> TunedAnn | None:
        try:
            return ann_files.read(entry, self.folder, self._dim)
        except (LibraryError, DimensionError) as error:
            if strict:
                raise
            log.warning("%s; until the next index run all pictures are compared", error)
            return None

    def hold(self, rows: Rows) -> Rows:
        """Rows written to a file and mapped from there; no index refers to it before ``save``.  Raises LibraryError."""
        if not len(rows):
            return rows
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"rows-{secrets.token_hex(8)}"
        return rows.written(rows.file if rows.file and self._may_grow(rows.file, rows.on_disk) else file)

    def _may_grow(self, rows: Path, kept: int) -> bool:
        """Whether the file is there, and no index refers to more than ``kept`` rows: another process may add some."""
        if not (rows.with_name(rows.name + ROWS).exists() and rows.with_name(rows.name + IDS).exists()):
            return False
        for file in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
                entry = json.loads(file.read_text("utf-8"))
                if entry["rows"] == rows.name and entry["count"] > kept:
                    return False
        return True

    def save(self, index: StoredIndex, generation: int) -> StoredIndex:
        """Write the index, then drop older ones; returns it as it is on disk.  Raises LibraryError."""
        self.folder.mkdir(exist_ok=True)
        rows = self.hold(index.rows)
        ann = None if index.ann is None else ann_files.write(index.ann, self.folder)
        entry: dict[str, Any] = {
            "dim": self._dim,
            "rows": rows.file.name if rows.file else "",
            "count": len(rows),
            "dead": index.deleted.tolist(),
            "likely": None if ann is None else ann_files.entry(ann),
        }
        file = self.folder / f"{self._prefix}{generation}.json"
        with written(file) as draft:
            draft.write_text(json.dumps(entry), "utf-8")
        self._tidy(generation)
        return StoredIndex(rows, index.deleted, ann)

    def _tidy(self, generation: int) -> None:
        """Drop other indexes and what only they need; what another process may be writing stays for a while.

        Those of later generations go too: they may be of a database that was put back to an earlier state.
        """
        kept: set[str] = set()
        dropped: set[str] = set()
        for file in self.folder.glob("*.json"):
            ours = file.name == f"{self._prefix}{generation}.json"
            (kept if ours else dropped).update({file.name, *_parts(file)})
        for file in self.folder.iterdir():
            if file.name not in kept and (file.name in dropped or _age(file) > ABANDONED or _by_older_version(file)):
                with contextlib.suppress(OSError):
                    file.unlink()

    @staticmethod
    def _generation(file: Path) -> int:
        number = file.stem.rpartition("-")[2]
        return int(number) if number.isdigit() else -1


def _parts(file: Path) -> set[str]:
    """The names of the files that an index is made of; none where that cannot be read."""
    try:
        entry = json.loads(file.read_text("utf-8"))
        ann = [entry["likely"]["file"]] if entry["likely"] else []
        return {entry["rows"] + ROWS, entry["rows"] + IDS, *ann}
    except (OSError, ValueError, TypeError, LookupError):
        return set()


def _by_older_version(file: Path) -> bool:
    return file.name.startswith("exact-")


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def caught_up(
    index: StoredIndex, wanted: Ids, fetch: Callable[[Ids], Vectors], hold: Callable[[Rows], Rows] | None = None
) -> StoredIndex:
    """An index that holds exactly the ``wanted`` ids, ascending; ``index`` itself when it does already.

    An id's vector never changes, so comparing ids is enough.  ``fetch`` gives the vectors of ids, ``hold`` takes rows
    out of memory where there are many.
    """
    held = index.ids()
    extra = held[~np.isin(held, wanted, assume_unique=True)]
    lacking = wanted[~np.isin(wanted, held, assume_unique=True)]
    _, back = index.rows.find(lacking)
    if not len(extra) and not len(lacking):
        return index
    changed = index.changed(lacking[back], np.broadcast_to(np.float32(0), (int(back.sum()), index.dim)), extra)
    lacking, nothing = lacking[~back], np.zeros(0, np.int64)
    for start in range(0, len(lacking), BLOCK):
        ids = lacking[start : start + BLOCK]
        changed = changed.changed(ids, fetch(ids), nothing)
        if hold is not None and len(changed.rows) - changed.rows.on_disk > HELD:
            changed = StoredIndex(hold(changed.rows), changed.deleted, changed.ann)
    return changed
