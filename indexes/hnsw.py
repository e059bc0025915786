"""HNSW: a graph of near rows that a query walks along, over rows of 8 bits a dimension (Malkov and Yashunin 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import faiss as _stubbed
import numpy as np
from numpy.typing import NDArray

from mmsearch.indexes.faiss_ann import FaissApproximate
from mmsearch.indexes.vector_file import Places, Rows
from mmsearch.types import Vectors

if TYPE_CHECKING:
    from typing_extensions import Self

faiss: Any = _stubbed

LINKS = 16  # to other rows, twice as many in the lowest layer
CARE = 80  # rows kept in sight while a new one is linked
LEARNED_FROM = 100_000  # rows that the range of each dimension is learned from


class HNSW(FaissApproximate):
    """dim + 8 * LINKS bytes a row, and a little; the effort is how many rows are kept in sight: no more come back."""

    kind, engine = "hnsw", "IndexHNSWSQ"

    @classmethod
    def build(cls, rows: Rows, links: int = LINKS, progress: Callable[[int], None] | None = None) -> Self:
        index = faiss.IndexHNSWSQ(rows.dim, faiss.ScalarQuantizer.QT_8bit, links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = CARE
        made = cls(index)
        made._learn(rows, LEARNED_FROM)
        made._add(rows, progress)
        return made

    def likely(self, query: Vectors, count: int, effort: int, among: NDArray[np.bool_] | None = None) -> Places:
        return super().likely(query, min(count, effort), effort, among)

    def efforts(self) -> list[int]:
        return [16 * 2**step for step in range(9)]

    def _parameters(self, effort: int, chosen: Any) -> Any:
        return faiss.SearchParametersHNSW(efSearch=effort, sel=chosen)
