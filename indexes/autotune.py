"""How far an approximate index must look: tried with queries, until enough of the nearest rows are found.

The queries must be like those that will come.  Texts lie elsewhere than pictures in a space that was learned from both,
and find less with the same nprobe than pictures of the library would (Jaiswal et al. 2022, OOD-DiskANN).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from mmsearch.indexes.exact import nearest, rescored
from mmsearch.indexes.protocol import AnnIndex
from mmsearch.indexes.vector_file import Positions, Rows
from mmsearch.types import Vectors

DEPTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # candidates looked at closely, for each one that is wanted
DEEPEST = 4096  # rows looked at closely at most: each may have to be read from the disk
SAFE = 0.005  # that the recall while tuning must lie above what is asked for: other queries will find a little less
TIMED = 24  # queries whose time is taken


@dataclass(frozen=True)
class Setting:
    """How to look for the ``k`` nearest rows."""

    k: int
    nprobe: int  # lists of an IVF that are visited, ef_search of HNSW
    rerank_depth: int  # candidates that are looked at closely
    recall: float  # share of the k nearest that are found, by queries that were not tuned with; in [0, 1]


def tune(
    index: AnnIndex, rows: Rows, queries: Vectors, recall: float, ks: tuple[int, ...] = (10, 100)
) -> list[Setting]:
    """The quickest setting for each ``k`` that finds the share ``recall`` of the nearest rows; else the best there is.

    Of the (n, dim) queries every second one is tuned with, and the others say what recall that gives.
    """
    truth = nearest(rows, queries, max(ks)).positions
    tuned, others = np.arange(0, len(queries), 2), np.arange(1, len(queries), 2)
    settings = []
    for k in ks:
        nprobe, rerank_depth = _quickest(index, rows, queries[tuned], truth[tuned, :k], recall)
        found = [index.candidates(query, rerank_depth, nprobe) for query in queries[others]]
        settings.append(Setting(k, nprobe, rerank_depth, round(_recall(found, truth[others, :k]), 4)))
    return settings


def _quickest(index: AnnIndex, rows: Rows, queries: Vectors, truth: Positions, wanted: float) -> tuple[int, int]:
    """The quickest nprobe and rerank depth that find the share ``wanted`` of ``truth``, (q, k); else the best."""
    k = truth.shape[1]
    depths = [min(share * k, len(index), max(DEEPEST, 2 * k)) for share in DEPTHS]
    best: tuple[float, int, int] | None = None  # milliseconds, nprobe, rerank_depth
    most: tuple[float, int, int] = (-1.0, 0, 0)  # recall, nprobe, rerank_depth
    for nprobe in index.nprobes():
        found = [index.candidates(query, depths[-1], nprobe) for query in queries]
        for rerank_depth in depths:
            reached = _recall([positions[:rerank_depth] for positions in found], truth)
            if reached > most[0] + 1e-4:
                most = reached, nprobe, rerank_depth
            if reached >= min(wanted + SAFE, 1.0):
                took = _milliseconds(index, rows, queries[:TIMED], k, nprobe, rerank_depth)
                if best is None or took < best[0]:
                    best = took, nprobe, rerank_depth
                break
        if best is not None and nprobe >= 4 * best[1]:
            break  # it only gets slower
    _, nprobe, rerank_depth = best or most
    return nprobe, rerank_depth


def _recall(found: list[Positions], truth: Positions) -> float:
    """The share of the true positions, (n, k), that are among the found ones: looking closely puts these first."""
    return float(np.mean([np.isin(row, positions).mean() for row, positions in zip(truth, found, strict=True)]))


def _milliseconds(index: AnnIndex, rows: Rows, queries: Vectors, k: int, nprobe: int, rerank_depth: int) -> float:
    """The median query; of each the quicker of two tries, because other programs may be busy."""
    times: list[float] = []
    for query in queries:
        tries = []
        for _ in range(2):
            begun = time.perf_counter()
            rescored(rows, query, index.candidates(query, rerank_depth, nprobe), k)
            tries.append(1000 * (time.perf_counter() - begun))
        times.append(min(tries))
    return statistics.median(times)
