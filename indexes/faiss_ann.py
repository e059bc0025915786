"""What the approximate kinds of index that FAISS has share: rows in, positions of candidates out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes.faiss_files import one_thread, read, write
from mmsearch.indexes.lazy_faiss import faiss
from mmsearch.indexes.protocol import AnnIndex
from mmsearch.indexes.vector_file import Positions, Rows, widened
from mmsearch.types import Vectors

if TYPE_CHECKING:
    from typing_extensions import Self


AT_ONCE = 16_384  # rows added at a time


class FaissAnnIndex(AnnIndex):
    """An ``AnnIndex`` over a FAISS index whose ids are positions."""

    engine: ClassVar[str]  # name of its class in FAISS

    def __init__(self, index: Any) -> None:
        self._faiss = index

    @classmethod
    def load(cls, file: Path, dim: int) -> Self:
        """Raises LibraryError for a damaged file or one of another kind, DimensionError, FileNotFoundError."""
        index = read(file)
        if type(index).__name__ != cls.engine or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise LibraryError(f"the index {file} is of another kind")
        if index.d != dim:
            raise DimensionError(int(index.d), dim)
        return cls(index)

    def __len__(self) -> int:
        return int(self._faiss.ntotal)

    def candidates(self, query: Vectors, count: int, nprobe: int, among: NDArray[np.bool_] | None = None) -> Positions:
        chosen = None if among is None else faiss.IDSelectorBitmap(np.packbits(among[: len(self)], bitorder="little"))
        with one_thread():
            parameters = self._parameters(nprobe, chosen)
            _, found = self._faiss.search(query[None], min(count, len(self)), params=parameters)
        positions: Positions = found[0]
        return positions[positions >= 0]

    @abstractmethod
    def _parameters(self, nprobe: int, chosen: Any) -> Any:
        """FAISS's search parameters."""

    def extended(self, rows: Rows) -> Self:
        longer = type(self)(faiss.clone_index(self._faiss))
        longer._add(rows, None)
        return longer

    def save(self, file: Path) -> str:
        """Returns the hash of the file.  Raises LibraryError."""
        return write(self._faiss, file)

    def _learn(self, rows: Rows, count: int) -> None:
        """From ``count`` of the rows, or all."""
        chosen = np.random.default_rng(0).choice(len(rows), min(len(rows), count), replace=False)
        self._faiss.train(widened(rows.take(np.sort(chosen))))

    def _add(self, rows: Rows, progress: Callable[[int], None] | None) -> None:
        """All rows that are not in it yet; ``progress`` is told how many are."""
        for start, halves in rows.blocks(len(self), size=AT_ONCE):
            self._faiss.add(widened(halves))
            if progress is not None:
                progress(start + len(halves))
