"""HNSW: a graph of near rows that a query walks along, over rows of 8 bits a dimension (Malkov and Yashunin 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.indexes.faiss_ann import FaissAnnIndex
from mmsearch.indexes.lazy_faiss import faiss
from mmsearch.indexes.vector_file import Positions, Rows
from mmsearch.types import Vectors

if TYPE_CHECKING:
    from typing_extensions import Self


LINKS = 16  # to other rows, twice as many in the lowest layer
CARE = 80  # rows kept in sight while a new one is linked
LEARNED_FROM = 100_000  # rows that the range of each dimension is learned from


class HNSW(FaissAnnIndex):
    """dim + 8 * LINKS bytes a row, and a little.

    Its nprobe is what others call ef_search, how many rows are kept in sight: no more come back.
    """

    kind, engine = "hnsw", "IndexHNSWSQ"

    @classmethod
    def build(cls, rows: Rows, links: int = LINKS, progress: Callable[[int], None] | None = None) -> Self:
        index = faiss.IndexHNSWSQ(rows.dim, faiss.ScalarQuantizer.QT_8bit, links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = CARE
        made = cls(index)
        made._learn(rows, LEARNED_FROM)
        made._add(rows, progress)
        return made

    def candidates(self, query: Vectors, count: int, nprobe: int, among: NDArray[np.bool_] | None = None) -> Positions:
        return super().candidates(query, min(count, nprobe), nprobe, among)

    def nprobes(self) -> list[int]:
        return [16 * 2**step for step in range(9)]

    def _parameters(self, nprobe: int, chosen: Any) -> Any:
        return faiss.SearchParametersHNSW(efSearch=nprobe, sel=chosen)
