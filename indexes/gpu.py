"""The rows on GPUs in float16, compared one by one or in lists (Johnson et al. 2017, Billion-scale similarity search).

Each GPU holds a run of the rows.  They are put there when a library is opened; what is on disk stays as it is.
"""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmsearch.indexes.autotune import Setting
from mmsearch.indexes.faiss_ann import AT_ONCE
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.ivf import PER_LIST
from mmsearch.indexes.lazy_faiss import faiss
from mmsearch.indexes.protocol import AnnIndex
from mmsearch.indexes.vector_file import Positions, Rows, widened
from mmsearch.types import Vectors

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

log = logging.getLogger(__name__)

MOST = 2048  # neighbours that FAISS gives on a GPU
SCRATCH = 256 * 2**20  # bytes that FAISS works in; it would take 1.5 GB
PROBE = """
import faiss, numpy as np
index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), 16)
rows = np.eye(16, dtype=np.float32)
index.add(rows)
assert index.search(rows, 1)[1].ravel().tolist() == list(range(16))
"""


def problem() -> str | None:
    """Why FAISS cannot search on a GPU; None when it can.

    Tried by a tiny search in another process: some builds lack the code for a card and abort the whole process.
    """
    if getattr(faiss, "get_num_gpus", lambda: 0)() < 1:
        return "FAISS finds no GPU"
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (lines[-1] if lines else f"FAISS ended with {done.returncode}")


@dataclass(frozen=True)
class _Slice:
    """Some of the rows on one GPU."""

    index: Any
    first: int  # position of its first row
    resources: Any  # must live as long as the index


class OnGpus(AnnIndex):
    """An ``AnnIndex`` that covers all rows; exact where there are no lists.  One search at a time."""

    kind: ClassVar[str] = "gpu"

    def __init__(self, rows: Rows, lists: int = 0, devices: int = 1) -> None:
        """Raises RuntimeError where FAISS does: there is no GPU, or too little memory on it."""
        self._count, self._lists = len(rows), lists
        self._lock = threading.Lock()  # FAISS's GPU indexes are not safe even for readers
        bounds = np.linspace(0, len(rows), devices + 1).astype(int).tolist()
        self._slices = [
            self._slice(rows, device, first, after) for device, (first, after) in enumerate(itertools.pairwise(bounds))
        ]

    def _slice(self, rows: Rows, device: int, first: int, after: int) -> _Slice:
        resources = faiss.StandardGpuResources()
        resources.setTempMemory(SCRATCH)
        if self._lists:
            config = faiss.GpuIndexIVFScalarQuantizerConfig()
            config.device = device
            half = faiss.ScalarQuantizer.QT_fp16
            index = faiss.GpuIndexIVFScalarQuantizer(
                resources, rows.dim, self._lists, half, faiss.METRIC_INNER_PRODUCT, False, config
            )
            chosen = np.random.default_rng(0).choice(after - first, min(after - first, PER_LIST * self._lists), False)
            index.train(widened(rows.take(np.sort(chosen) + first)))
        else:
            config = faiss.GpuIndexFlatConfig()
            config.device, config.useFloat16 = device, True
            index = faiss.GpuIndexFlatIP(resources, rows.dim, config)
        for _, halves in rows.blocks(first, after, AT_ONCE):
            index.add(widened(halves))
        return _Slice(index, first, resources)

    def __len__(self) -> int:
        return self._count

    def nprobes(self) -> list[int]:
        return [2**step for step in range(3, self._lists.bit_length() + 1)] or [1]

    def candidates(self, query: Vectors, count: int, nprobe: int, among: NDArray[np.bool_] | None = None) -> Positions:
        most = min(count if among is None else MOST, MOST)  # a GPU knows no filters: the best are sorted out afterwards
        scores, positions = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
        with self._lock:
            for part in self._slices:
                probed = faiss.SearchParametersIVF(nprobe=min(nprobe, self._lists, MOST)) if self._lists else None
                near, found = part.index.search(query[None], min(most, part.index.ntotal), params=probed)
                scores.append(near[0][found[0] >= 0])
                positions.append(found[0][found[0] >= 0] + part.first)
        ranked = np.concatenate(positions)[np.argsort(-np.concatenate(scores), kind="stable")]
        kept: Positions = ranked if among is None else ranked[among[ranked]]
        return kept[:count]

    def extended(self, rows: Rows) -> Self:
        return type(self)(rows, self._lists, len(self._slices))

    def save(self, file: Path) -> str:
        raise NotImplementedError("an index on a GPU is not written: its rows are on disk")


def on_gpus(index: StoredIndex, memory: int | None = None) -> StoredIndex:
    """The index with its rows on all GPUs; as it was where that cannot be.

    ``memory`` is how many bytes all GPUs together may give.  A line in the log says why the CPU searches.
    """
    size = 2 * index.dim * len(index.rows)
    reason = problem()
    if reason is None and memory is not None and size > memory:
        reason = f"{size / 2**30:.1f} GiB of vectors are more than the {memory / 2**30:.1f} GiB that may be used"
    if reason is None:
        try:
            there = OnGpus(index.rows, devices=faiss.get_num_gpus())
            settings = tuple(Setting(k, 1, k, 1.0) for k in (10, 100, 1000))
            return StoredIndex(index.rows, index.deleted, TunedAnn(there, settings, len(index.rows)))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
    log.warning("searching on the CPU: %s", reason)
    return index
