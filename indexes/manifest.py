"""The index of a library on disk: a cache of what SQLite holds, named after what it was built from.

A folder with files of rows (``vector_file.py``), of approximate indexes, and small JSON files that say which of them,
and how many rows, make the index of a generation.  Those come last: until one is there, the older one holds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes import ann_files
from mmsearch.indexes.faiss_files import hashed, written
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.vector_file import BLOCK, IDS, ROWS, Rows
from mmsearch.media.filesystem import read_text
from mmsearch.types import Ids, Vectors

log = logging.getLogger(__name__)

HELD = 32 * BLOCK  # new rows kept in memory, at most
ABANDONED = 3600  # seconds after which a file that nothing refers to belongs to a process that was killed

_ROWS, _ANN = re.compile(r"rows-[0-9a-f]{16}"), re.compile(r"likely-[0-9a-f]{16}\.faiss")
# What is made here, in any version; all else in the folder is somebody's own, and stays.
_OWN = re.compile(
    rf"index-[0-9a-f]{{8}}-[0-9a-f]{{16}}(-[0-9a-z]+)?-[0-9]+\.json|{_ROWS.pattern}(\.f16|\.ids)|{_ANN.pattern}"
    r"|exact-[0-9a-f]{8}-[0-9a-f]{16}-[0-9]+\.faiss|\.[0-9a-f]{12}\.partial"
)


def is_own(name: str) -> bool:
    """Whether a file of this name in the folder of an index is one that was made here."""
    return _OWN.fullmatch(name) is not None


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
        files = {} if self.folder.is_symlink() else self._manifests()
        for generation in sorted(files, reverse=True):
            try:
                if than < generation <= newest:
                    return self._read(files[generation]), generation
            except FileNotFoundError:
                continue  # another process has just written a newer one
            except (LibraryError, DimensionError, OSError) as error:
                log.warning("%s; building it again", error)
        return StoredIndex(Rows(self._dim)), -1

    def newest(self) -> tuple[StoredIndex, int] | None:
        """The newest index and its generation; None where there is none.

        Unlike ``load``, raises LibraryError or DimensionError where anything is wrong with its files.
        """
        self._check()
        files = self._manifests()
        if not files:
            return None
        generation = max(files)
        try:
            return self._read(files[generation], strict=True), generation
        except FileNotFoundError as error:
            raise LibraryError(f"the index {files[generation]} has lost a file: {error.filename}") from error
        except OSError as error:
            raise LibraryError(f"the index {files[generation]} cannot be read: {error.strerror or error}") from error

    def unlike(self, index: StoredIndex) -> bool:
        """Whether the file of its approximate index has changed since it was written."""
        ann = index.ann
        return ann is not None and ann.hash is not None and ann.hash != hashed(self.folder / str(ann.file))

    def clear(self) -> None:
        """Remove all index files, and nothing else.  Raises LibraryError where the folder is a link."""
        self._check()
        for file in self._own_files():
            with contextlib.suppress(OSError):
                file.unlink()

    def _check(self) -> None:
        """Nothing is written, read or deleted through a link: raises LibraryError for a folder that is one."""
        if self.folder.is_symlink():
            raise LibraryError(
                f"{self.folder} is a link; files are made and deleted there, so it must be the library's own folder",
                code="index-is-a-link",
            )

    def _own_files(self, suffix: str = "") -> Iterator[Path]:
        """The files that this or an earlier version made for an index of this library, or of another model."""
        for file in sorted(self.folder.glob(f"*{suffix}")):
            if is_own(file.name) or (file.name.startswith(self._prefix) and file.suffix == ".json"):
                yield file

    def _manifests(self) -> dict[int, Path]:
        """By generation, the JSON files that say what the indexes of this library and model are made of."""
        return {self._generation(file): file for file in self.folder.glob(f"{self._prefix}*.json")}

    def _read(self, file: Path, strict: bool = False) -> StoredIndex:
        try:
            entry = json.loads(read_text(file))
            if entry["dim"] != self._dim:
                raise DimensionError(entry["dim"], self._dim)
            count, deleted = _checked(entry)
            rows = Rows.mapped(self.folder / entry["rows"], self._dim, count)
            ann = None if entry["likely"] is None else self._read_ann(entry["likely"], strict)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
            raise LibraryError(f"the index {file} is damaged") from error
        if ann is not None and len(ann.index) > count:
            raise LibraryError(f"the index {file} is damaged: its approximate index covers rows that it does not have")
        return StoredIndex(rows, deleted, ann)

    def _read_ann(self, entry: dict[str, Any], strict: bool) -> TunedAnn | None:
        try:
            if not _ANN.fullmatch(entry["file"]):
                raise LibraryError(f"the index {self.folder} names a file that is not its own: {entry['file']!r}")
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
        self._check()
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"rows-{secrets.token_hex(8)}"
        return rows.written(rows.file if rows.file and self._may_grow(rows.file, rows.on_disk) else file)

    def _may_grow(self, rows: Path, kept: int) -> bool:
        """Whether the file is there, and no index refers to more than ``kept`` rows: another process may add some."""
        if not all(
            whole.is_file() and not whole.is_symlink()
            for whole in (rows.with_name(rows.name + ROWS), rows.with_name(rows.name + IDS))
        ):
            return False
        for file in self._own_files(".json"):
            with contextlib.suppress(OSError, ValueError, TypeError, LookupError, RecursionError):
                entry = json.loads(read_text(file))
                if entry["rows"] == rows.name and entry["count"] > kept:
                    return False
        return True

    def save(self, index: StoredIndex, generation: int) -> StoredIndex:
        """Write the index, then drop older ones; returns it as it is on disk.  Raises LibraryError."""
        self._check()
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
        files = list(self._own_files())
        for file in files:
            if file.suffix == ".json":
                current = file.name == f"{self._prefix}{generation}.json"
                (kept if current else dropped).update({file.name, *_parts(file)})
        for file in files:
            if file.name not in kept and (file.name in dropped or _age(file) > ABANDONED or _by_older_version(file)):
                with contextlib.suppress(OSError):
                    file.unlink()

    @staticmethod
    def _generation(file: Path) -> int:
        number = file.stem.rpartition("-")[2]
        return int(number) if number.isascii() and number.isdigit() else -1


def _checked(entry: dict[str, Any]) -> tuple[int, Ids]:
    """How many rows an index has, and the positions of the deleted ones, (n,) int64.

    Raises ValueError, TypeError or LookupError where that cannot be.
    """
    count, dead = entry["count"], np.asarray(entry["dead"])
    if type(count) is not int or count < 0 or (count and not _ROWS.fullmatch(entry["rows"])):
        raise ValueError("no number of rows, or rows of another folder")
    if not dead.size:
        return count, np.zeros(0, np.int64)
    if dead.ndim != 1 or dead.dtype.kind not in "iu" or dead.min() < 0 or dead.max() >= count:
        raise ValueError("no positions of rows")
    return count, np.unique(dead.astype(np.int64))


def _parts(file: Path) -> set[str]:
    """The names of the files that an index is made of; none where that cannot be read."""
    try:
        entry = json.loads(read_text(file))
        ann = [entry["likely"]["file"]] if entry["likely"] else []
        return {entry["rows"] + ROWS, entry["rows"] + IDS, *ann}
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
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
