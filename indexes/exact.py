"""Exact search: every query is compared with every vector (FAISS ``IndexFlatIP``; Johnson et al. 2017)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faiss as _stubbed
import numpy as np

from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes.protocol import Neighbours
from mmsearch.records import Ids, Vectors

faiss: Any = _stubbed  # its type stubs show the C++ signatures, not those of its Python wrappers
BLOCK = 2**20  # bytes read or written at a time


class ExactIndex:
    """A ``VectorIndex`` that never misses; 4 bytes a dimension a vector."""

    def __init__(self, dim: int) -> None:
        self._faiss: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))

    @classmethod
    def load(cls, file: Path, dim: int) -> ExactIndex:
        """Raises LibraryError for a file that is damaged or of another kind, DimensionError for one of other width."""
        try:
            with file.open("rb") as opened:  # FAISS itself takes only some file names
                loaded = faiss.read_index(faiss.PyCallbackIOReader(opened.read, BLOCK))
        except RuntimeError as error:
            raise LibraryError(f"the index {file} is damaged") from error
        if not isinstance(loaded, faiss.IndexIDMap2) or loaded.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise LibraryError(f"the index {file} is of another kind")
        if loaded.d != dim:
            raise DimensionError(loaded.d, dim)
        index = cls.__new__(cls)
        index._faiss = loaded
        return index

    @property
    def dim(self) -> int:
        return int(self._faiss.d)

    def __len__(self) -> int:
        return int(self._faiss.ntotal)

    def ids(self) -> Ids:
        return np.array(faiss.vector_to_array(self._faiss.id_map), np.int64)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._check(vectors)
        if len(ids):
            self._faiss.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(ids, np.int64))

    def remove(self, ids: Ids) -> None:
        if len(ids):
            self._faiss.remove_ids(np.ascontiguousarray(ids, np.int64))

    def search(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        self._check(queries)
        most = min(k, len(self) if allowed is None else len(allowed))
        ids = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        if most and len(queries):
            queries = np.ascontiguousarray(queries, np.float32)
            found = self._faiss.search(queries, most, params=None if allowed is None else _only(allowed))
            scores[:, :most], ids[:, :most] = found
        return Neighbours(ids, scores)

    def vectors(self, ids: Ids) -> Vectors:
        rows = np.empty((len(ids), self.dim), np.float32)
        try:
            if len(ids):
                self._faiss.reconstruct_batch(np.ascontiguousarray(ids, np.int64), rows)
        except RuntimeError as error:
            raise KeyError("the index has no such id") from error
        return rows

    def clone(self) -> ExactIndex:
        copy = ExactIndex.__new__(ExactIndex)
        copy._faiss = faiss.clone_index(self._faiss)
        return copy

    def save(self, file: Path) -> None:
        write_atomically(self._faiss, file)

    def _check(self, vectors: Vectors) -> None:
        if vectors.shape[1] != self.dim:
            raise DimensionError(int(vectors.shape[1]), self.dim)


def _only(allowed: Ids) -> Any:
    """Search parameters that admit these ids: a bitmap, one bit an id up to the largest."""
    admitted = np.zeros(int(allowed.max()) + 1, bool)
    admitted[allowed] = True
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(admitted, bitorder="little")))


def write_atomically(index: Any, file: Path) -> None:
    """A temporary file beside it, fsync, rename: ``faiss.write_index`` alone can leave half a file."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as opened:
            faiss.write_index(index, faiss.PyCallbackIOWriter(opened.write, BLOCK))
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(file)
    except (RuntimeError, OSError) as error:
        full = "No space left" in str(error)
        reason = "the disk is full" if full else str(error).partition(" at /")[0]
        raise LibraryError(f"the index {file} cannot be written: {reason}") from error
    finally:
        partial.unlink(missing_ok=True)
