"""What every vector index can do, whatever engine is behind it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from mmsearch.records import Ids, Vectors


class Neighbours(NamedTuple):
    """The nearest items to each of n queries, best first; rows short of k end in id -1."""

    ids: Ids  # (n, k) int64
    scores: Vectors  # (n, k) float32, inner product; cosine similarity of unit rows


class VectorIndex(Protocol):
    """Vectors by id.  Searching is safe from several threads, changing an index while it is searched is not."""

    @property
    def dim(self) -> int: ...

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """The ids that the index holds, in no particular order."""
        ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add (n, dim) float32 rows under n new ids.  Raises DimensionError."""
        ...

    def remove(self, ids: Ids) -> None:
        """Take out these ids; unknown ones are ignored."""
        ...

    def search(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        """The ``k`` nearest items to each of the (n, dim) queries, among ``allowed`` ids where given.

        ``k`` results come back whenever so many items are allowed.  Raises DimensionError.
        """
        ...

    def vectors(self, ids: Ids) -> Vectors:
        """The stored rows of these ids, in their order, (n, dim) float32.  Raises KeyError for an unknown id."""
        ...

    def clone(self) -> VectorIndex:
        """An independent copy, to change while this one is searched."""
        ...

    def save(self, file: Path) -> None:
        """Write to ``file`` so that a kill at any moment leaves the old file or the new one."""
        ...
