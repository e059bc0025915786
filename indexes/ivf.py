"""IVF: rows in lists by their nearest centroid; a query looks at the lists of its own nearest centroids.

Jégou et al. 2011, Product quantization for nearest neighbor search.  What stands in the lists takes less room than the
rows: one bit a dimension, compared 32 rows at a time (Gao and Long 2024, RaBitQ; André et al. 2017, Quicker ADC), three
more for those rows where the first does not decide (Gao et al. 2025, extended RaBitQ), or 8 bits a dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmsearch.indexes.faiss_ann import FaissAnnIndex
from mmsearch.indexes.lazy_faiss import faiss
from mmsearch.indexes.vector_file import Rows

if TYPE_CHECKING:
    from typing_extensions import Self


PER_LIST = 64  # rows a list that its centroid is learned from; FAISS wants 39 at least
ITERATIONS = 8  # of k-means: more change little
LEAST = 8  # lists visited at least


class _IVF(FaissAnnIndex):
    """Lists of codes; nprobe is how many of them are visited."""

    @classmethod
    def build(cls, rows: Rows, lists: int, progress: Callable[[int], None] | None = None) -> Self:
        """Learned from a sample of the rows, then filled with all; ``progress`` is told how many are in."""
        quantizer = faiss.IndexFlatIP(rows.dim)
        index = cls._empty(quantizer, rows.dim, lists)
        quantizer.this.disown()  # the index frees it
        inner = faiss.extract_index_ivf(index)
        inner.own_fields = True
        inner.cp.niter, inner.cp.seed, inner.cp.max_points_per_centroid = ITERATIONS, 1, PER_LIST
        made = cls(index)
        made._learn(rows, PER_LIST * lists)
        made._add(rows, progress)
        return made

    @classmethod
    def _empty(cls, quantizer: Any, dim: int, lists: int) -> Any:
        raise NotImplementedError

    def nprobes(self) -> list[int]:
        lists = int(faiss.extract_index_ivf(self._faiss).nlist)
        steps = [LEAST * 2**double * half // 2 for double in range(32) for half in (2, 3)]  # 8, 12, 16, 24, 32 …
        return [*(step for step in steps if step < lists), lists]

    def _parameters(self, nprobe: int, chosen: Any) -> Any:
        lists = int(faiss.extract_index_ivf(self._faiss).nlist)
        return faiss.IVFSearchParameters(nprobe=min(nprobe, lists), sel=chosen)


class RaBitQ(_IVF):
    """dim / 8 + 17 bytes a row."""

    kind, engine = "ivf-rabitq", "IndexIVFRaBitQFastScan"

    @classmethod
    def _empty(cls, quantizer: Any, dim: int, lists: int) -> Any:
        return faiss.IndexIVFRaBitQFastScan(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT)


class RaBitQ4(_IVF):
    """dim / 2 + 28 bytes a row.

    The first of its candidates are nearly those that the rows themselves say: a tenth of the rows that ``RaBitQ``
    needs has to be looked at.  For that they are turned at random first: as they lie it would be a third.
    """

    kind, engine = "ivf-rabitq4", "IndexPreTransform"

    @classmethod
    def _empty(cls, quantizer: Any, dim: int, lists: int) -> Any:
        turn = faiss.RandomRotationMatrix(dim, dim)
        turn.init(1)  # the seed
        inner = faiss.IndexIVFRaBitQFastScan(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT, 32, True, 4)
        inner.own_fields = True
        index = faiss.IndexPreTransform(turn, inner)
        index.own_fields = True
        for part in (turn, inner):
            part.this.disown()  # the index frees them
        return index

    def _parameters(self, nprobe: int, chosen: Any) -> Any:
        return faiss.SearchParametersPreTransform(index_params=super()._parameters(nprobe, chosen))


class SQ8(_IVF):
    """dim + 8 bytes a row."""

    kind, engine = "ivf-sq8", "IndexIVFScalarQuantizer"

    @classmethod
    def _empty(cls, quantizer: Any, dim: int, lists: int) -> Any:
        eight = faiss.ScalarQuantizer.QT_8bit
        return faiss.IndexIVFScalarQuantizer(quantizer, dim, lists, eight, faiss.METRIC_INNER_PRODUCT)
