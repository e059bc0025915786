"""The GPU kind of index where no GPU is: its parts put together, with CPU indexes of FAISS in their place."""

from __future__ import annotations

from typing import Any

import faiss as _stubbed
import numpy as np

from mmsearch.indexes import gpu
from mmsearch.indexes.vector_file import Rows, widened

faiss: Any = _stubbed


class OnCPU(gpu.OnGpus):
    """The same over indexes of FAISS that need no GPU."""

    def _slice(self, rows: Rows, device: int, first: int, after: int) -> gpu._Slice:
        wide = widened(rows.take(np.arange(first, after)))
        quantizer = faiss.IndexFlatIP(rows.dim)
        index = quantizer
        if self._lists:
            half = faiss.ScalarQuantizer.QT_fp16
            metric = faiss.METRIC_INNER_PRODUCT
            index = faiss.IndexIVFScalarQuantizer(quantizer, rows.dim, self._lists, half, metric, False)
            index.train(wide)
        index.add(wide)
        return gpu._Slice(index, first, quantizer)
