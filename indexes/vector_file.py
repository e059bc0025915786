"""Vectors in float16, 2 bytes a dimension: those on disk mapped into memory, those that are new after them.

Two files hold what is on disk: rows one after the other, and their ids as int64, both little-endian.  They only ever
grow at the end, and whoever maps them says how many rows to look at: so a kill while they grow harms nobody, and rows
can be added while others search.  The system reads the parts that are looked at, and may drop them again.
"""

from __future__ import annotations

import functools
import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes.faiss_files import one_thread
from mmsearch.indexes.lazy_faiss import faiss, is_loaded
from mmsearch.indexes.memory import half_of_memory
from mmsearch.media.filesystem import open_regular
from mmsearch.types import Ids, Vectors

Halves = NDArray[np.float16]  # (n, dim)
Positions = NDArray[np.int64]  # where rows stand: the first is 0
ROWS, IDS = ".f16", ".ids"  # endings of the two files
BLOCK = 8192  # rows looked at or written at a time
FEW_VALUES = 2**23  # of float16 that NumPy makes wide in 12 ms; the import of FAISS takes 87
WIDEST = 48 * 2**20  # bytes of float32 rows that are kept in memory: 24,000 rows of 513 dimensions
FEW = 4096  # rows up to which single ones are read: of more, what lies between them is wanted too


class Rows:
    """n rows, each with an id of its own.  Never changed: ``plus`` gives longer ones."""

    def __init__(
        self, dim: int, ids: Ids | None = None, parts: tuple[Halves, ...] = (), file: Path | None = None
    ) -> None:
        """``file`` is where the rows of the first part are."""
        self.dim, self.file = dim, file
        self.ids: Ids = np.zeros(0, np.int64) if ids is None else ids
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self._order: Positions | None = None  # by id, where the ids do not ascend
        self._scattered: _Scattered | None = None  # the first part once more, for single rows
        self._asked = False  # for ``wide``

    @classmethod
    def mapped(cls, file: Path, dim: int, count: int) -> Rows:
        """The first ``count`` rows of the files ``file``.f16 and .ids.

        Raises LibraryError where they are shorter, FileNotFoundError.
        """
        if not count:
            return cls(dim)
        rows = _mapped(_with(file, ROWS), "<f2", (count, dim))
        ids = _mapped(_with(file, IDS), "<i8", (count,))
        made = cls(dim, np.array(ids), (rows,), file)
        most = half_of_memory()
        if most is not None and rows.nbytes > most:  # else they are in memory soon
            made._scattered = _Scattered(_with(file, ROWS), (count, dim))
        return made

    @property
    def on_disk(self) -> int:
        """How many of the rows are in ``file``."""
        return 0 if self.file is None else len(self._parts[0])

    def __len__(self) -> int:
        return len(self.ids)

    def plus(self, ids: Ids, vectors: Vectors) -> Rows:
        """These rows and (n, dim) others with ids that are new.  Raises DimensionError."""
        if vectors.shape[1] != self.dim:
            raise DimensionError(int(vectors.shape[1]), self.dim)
        part = np.ascontiguousarray(vectors, "<f2")
        parts = self._parts
        if len(parts) > (self.file is not None) and len(parts[-1]) < BLOCK:  # many small ones would be slow to look at
            parts, part = parts[:-1], np.concatenate([parts[-1], part])
        every = np.concatenate([self.ids, np.ascontiguousarray(ids, np.int64)])
        longer = Rows(self.dim, every, (*parts, part), self.file)
        longer._scattered = self._scattered
        return longer

    def begins_as(self, other: Rows) -> bool:
        """Whether these are the other rows and perhaps more: an id has one vector only."""
        return len(self) >= len(other) and np.array_equal(self.ids[: len(other)], other.ids)

    def find(self, ids: Ids) -> tuple[Positions, NDArray[np.bool_]]:
        """The positions of ids, and which of them are there at all; the others have position 0."""
        if not len(self.ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        if self._order is None and not self.ascending:
            self._order = np.argsort(self.ids)
        found = np.searchsorted(self.ids, ids, sorter=self._order)
        found = np.minimum(found, len(self.ids) - 1)
        positions = found if self._order is None else self._order[found]
        there: NDArray[np.bool_] = self.ids[positions] == ids
        return np.where(there, positions, 0).astype(np.int64, copy=False), there

    @functools.cached_property
    def ascending(self) -> bool:
        """Whether the ids ascend, as they do unless old ones were put back."""
        return bool(np.all(self.ids[1:] > self.ids[:-1]))

    def take(self, positions: Positions) -> Halves:
        """The rows at these positions, (n, dim) float16, in their order."""
        parts = list(self._parts)
        if self._scattered is not None and len(positions) <= FEW:
            parts[0] = self._scattered.announced(positions[positions < len(parts[0])])
        if len(parts) == 1:
            return np.asarray(parts[0][positions])
        taken = np.empty((len(positions), self.dim), np.float16)
        for part, start in zip(parts, self._starts, strict=False):
            inside = (positions >= start) & (positions < start + len(part))
            taken[inside] = part[positions[inside] - start]
        return taken

    def wide(self) -> Vectors | None:
        """All rows in float32, (n, dim), if they are few and this was asked before; else None.

        Making them takes as long as a search without them.
        """
        if not self._asked or 4 * self.dim * len(self) > WIDEST:
            self._asked = True
            return None
        return self._wide

    @functools.cached_property
    def _wide(self) -> Vectors:
        return np.concatenate([widened(halves) for _, halves in self.blocks()])

    def widened_at_once(self) -> Vectors | None:
        """All rows in float32, (n, dim), where they are few and FAISS is not loaded yet; else None."""
        few = self.dim * len(self) <= FEW_VALUES and not is_loaded()
        return np.concatenate([widened(halves) for _, halves in self.blocks()]) if few and len(self) else None

    def pieces(self, positions: Positions) -> Iterator[Halves]:
        """The rows at these positions, in their order, a block at a time."""
        for start in range(0, len(positions), BLOCK):
            yield self.take(positions[start : start + BLOCK])

    def blocks(self, first: int = 0, after: int | None = None, size: int = BLOCK) -> Iterator[tuple[int, Halves]]:
        """All rows from position ``first`` to before ``after``: runs of at most ``size``, and where they begin."""
        after = len(self) if after is None else after
        for part, start in zip(self._parts, self._starts.tolist(), strict=False):
            for position in range(max(first, start), min(after, start + len(part)), size):
                yield position, part[position - start : min(position + size, after, start + len(part)) - start]

    def written(self, file: Path) -> Rows:
        """These rows mapped from ``file``.f16 and .ids, to which those that are not there yet are added.

        On the disk when this returns.  A file that is new takes the place of none, and none is written through a link.
        Raises LibraryError where they cannot be written.
        """
        kept = self.on_disk if file == self.file else 0
        for ending, width in ((ROWS, 2 * self.dim), (IDS, 8)):
            whole = _with(file, ending)
            try:
                with _opened(whole, new=not kept) as opened:
                    opened.truncate(kept * width)  # what a killed process left behind
                    opened.seek(kept * width)
                    self._write(opened, ending, kept)
                    opened.flush()
                    os.fsync(opened.fileno())
            except OSError as error:
                raise LibraryError(f"the index {whole} cannot be written: {error.strerror or error}") from error
        return Rows.mapped(file, self.dim, len(self))

    def _write(self, opened: BinaryIO, ending: str, kept: int) -> None:
        if ending == IDS:
            opened.write(self.ids[kept:].astype("<i8").tobytes())
            return
        for _, block in self.blocks(kept):
            opened.write(np.ascontiguousarray(block, "<f2").data)


class _Scattered:
    """Rows of a file, larger than the memory, of which single ones are looked at.

    The system reads a page at a time here, not what lies around it as for rows that are all looked at, and several
    at once: rows on the disk cost a fraction of the time, and leave the memory to others.
    """

    def __init__(self, file: Path, shape: tuple[int, int]) -> None:
        self._width = 2 * shape[1]
        with open_regular(file) as opened:
            self._map = mmap.mmap(opened.fileno(), shape[0] * self._width, access=mmap.ACCESS_READ)
        self._rows: Halves = np.frombuffer(self._map, "<f2").reshape(shape)
        self._advises = hasattr(mmap, "MADV_WILLNEED")  # not on Windows
        if self._advises:
            self._map.madvise(mmap.MADV_RANDOM)

    def announced(self, positions: Positions) -> Halves:
        """All rows; those at ``positions`` are on their way into memory."""
        if self._advises:
            for start in (positions * self._width).tolist():
                first = start // mmap.PAGESIZE * mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, first, start + self._width - first)
        return self._rows


def _opened(file: Path, new: bool) -> BinaryIO:
    """To be written; a file of our own, and no link.  Raises OSError."""
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(file, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o666), "r+b")


def _mapped(file: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Raises LibraryError where the file is shorter than that, or a link."""
    if file.is_symlink():
        raise LibraryError(f"the index {file} is a link, and no file of its own")
    with open_regular(file) as opened:
        if os.fstat(opened.fileno()).st_size < math.prod(shape) * np.dtype(dtype).itemsize:
            raise LibraryError(f"the index {file} is damaged: it is shorter than it was")
        return np.memmap(opened, dtype, "r", shape=shape)


def _with(file: Path, ending: str) -> Path:
    return file.with_name(file.name + ending)


def widened(halves: Halves) -> Vectors:
    """float16 as float32, by the processor's own instruction: NumPy takes several times as long.

    It takes less than the import of FAISS where there are few.
    """
    halves = np.ascontiguousarray(halves)
    if halves.size <= FEW_VALUES and not is_loaded():
        return halves.astype(np.float32)
    wide = np.empty(halves.shape, np.float32)
    if halves.size:
        codec = faiss.ScalarQuantizer(halves.shape[1], faiss.ScalarQuantizer.QT_fp16)
        with one_thread():
            codec.decode_c(faiss.swig_ptr(halves.view(np.uint8)), faiss.swig_ptr(wide), len(halves))
    return wide
