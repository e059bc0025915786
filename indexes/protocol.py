"""What every vector index can do, whatever engine is behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mmsearch.indexes.vector_file import Positions, Rows
from mmsearch.types import Ids, Vectors

if TYPE_CHECKING:
    from typing_extensions import Self


class Neighbours(NamedTuple):
    """The nearest items to each of n queries, best first; rows short of k end in id -1."""

    ids: Ids  # (n, k) int64
    scores: Vectors  # (n, k) float32, inner product; cosine similarity of unit rows


class VectorIndex(Protocol):
    """Vectors by id.  Never changed, so searching is safe from several threads."""

    @property
    def dim(self) -> int: ...

    @property
    def kind(self) -> str:
        """The name of its way to search, such as "exact" or "hnsw"."""
        ...

    @property
    def recall(self) -> float:
        """The share of the 10 nearest that it is known to find, in [0, 1]."""
        ...

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """The ids that the index holds, ascending."""
        ...

    def holds(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of these ids the index holds, (n,)."""
        ...

    def sample(self, count: int) -> Ids:
        """At most ``count`` of its ids, spread evenly over it; the same ones each time."""
        ...

    def search(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        """The ``k`` nearest items to each of the (n, dim) queries, among ``allowed`` ids where given.

        ``k`` results come back whenever so many items are allowed.  Raises DimensionError.
        """
        ...

    def vectors(self, ids: Ids) -> Vectors:
        """The stored rows of these ids, in their order, (n, dim) float32.  Raises KeyError for an unknown id."""
        ...


def spread(ids: Ids, count: int) -> Ids:
    """At most ``count`` of these ids, spread evenly over them."""
    return ids if len(ids) <= count else ids[np.linspace(0, len(ids) - 1, count).astype(np.int64)]


class AnnIndex(Protocol):
    """Approximate nearest neighbours: finds candidates for the nearest rows, by a copy of them that takes less room.

    It covers the first ``len`` rows.  How near they really are is for whoever holds the rows to say.  How far it looks
    is called nprobe whatever the kind: the lists that an IVF visits, the ef_search of a graph.
    """

    kind: ClassVar[str]

    def __len__(self) -> int: ...

    def nprobes(self) -> list[int]:
        """The nprobes that may be asked for, ascending: each about twice as slow as the one before."""
        ...

    def candidates(self, query: Vectors, count: int, nprobe: int, among: NDArray[np.bool_] | None = None) -> Positions:
        """The positions of the ``count`` best candidates for a query (dim,), best first; fewer where fewer were found.

        ``among`` says of each covered row whether it may come back.
        """
        ...

    def extended(self, rows: Rows) -> Self:
        """One that covers all ``rows``, of which it covers the first already."""
        ...

    def save(self, file: Path) -> str:
        """Write to ``file`` so that a kill at any moment leaves the old file or the new one.

        Returns a hash of the file.  Raises LibraryError.
        """
        ...
