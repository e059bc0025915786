"""Exact search: every query is compared with every row (the scanner of FAISS; Douze et al. 2024, The Faiss library)."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmsearch.indexes.lazy_faiss import faiss
from mmsearch.indexes.vector_file import BLOCK, Halves, Positions, Rows, widened
from mmsearch.types import Vectors

FEW = 4  # queries up to which rows are compared as they lie; more are worth making float32 of them
ALONE = 65_536  # rows that one thread compares: others cost more than they bring


_own = threading.local()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="mmsearch-search")


class Best(NamedTuple):
    """The nearest rows to each of n queries, best first; short ones end in position -1."""

    positions: Positions  # (n, k)
    scores: NDArray[np.float32]  # (n, k), inner product


def nearest(rows: Rows, queries: Vectors, k: int, positions: Positions | None = None, first: int = 0) -> Best:
    """The ``k`` nearest rows to each of the (n, dim) float32 queries.

    Of those at ``positions``, ascending, where given; else of all from position ``first`` on.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    wide = rows.wide() if len(rows) and not first else None
    if wide is not None:
        return _by_wide(wide, queries, k, positions)
    at_once = None if first else rows.widened_at_once()
    if at_once is not None:
        return _by_wide(at_once, queries, k, positions, cold=True)
    if len(queries) > FEW:
        return _by_product(rows, queries, k, positions, first)
    runs = list(_runs(rows, positions, first, ALONE))
    found = _none(len(queries), k)
    for row, query in enumerate(queries):
        if len(runs) > 1:
            shares = list(_threads().map(functools.partial(_scanned, rows, query, k), runs))
        else:
            shares = [_scanned(rows, query, k, run) for run in runs]
        if shares:
            own, scores = (np.concatenate(parts) for parts in zip(*shares, strict=True))
            found.positions[row], found.scores[row] = _best(own, scores, k)
    return found


def _by_wide(wide: Vectors, queries: Vectors, k: int, positions: Positions | None, cold: bool = False) -> Best:
    """``cold``: not by FAISS, which is not loaded yet."""
    found = _none(len(queries), k)
    if len(queries) > FEW:
        scores = queries @ wide.T  # (q, d) x (d, n) -> (q, n)
    else:  # NumPy's threads would keep a core busy for a while after that, and take it from what comes next
        scores = np.empty((len(queries), len(wide)), np.float32)
        for own, query in zip(scores, queries, strict=True):
            if cold:
                np.einsum("nd,d->n", wide, query, out=own)
                continue
            arrays = (own, query, wide)
            faiss.fvec_inner_products_ny(*(faiss.swig_ptr(array) for array in arrays), wide.shape[1], len(wide))
    if positions is not None:
        scores = scores[:, positions]
    for row, own in enumerate(scores):
        most = min(k, len(own))
        if most:
            near = np.flatnonzero(own >= np.partition(own, -most)[-most])  # with all that equal the last one
            ids = near if positions is None else positions[near]
            found.positions[row], found.scores[row] = _best(ids, own[near], k)
    return found


def _none(queries: int, k: int) -> Best:
    return Best(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))


def _runs(rows: Rows, positions: Positions | None, first: int, size: int) -> Iterator[tuple[Positions, Halves | None]]:
    """Runs of at most ``size`` positions, with their rows where these lie in one piece."""
    if positions is None:
        for start, halves in rows.blocks(first, size=size):
            yield np.arange(start, start + len(halves)), halves
    else:
        for start in range(0, len(positions), size):
            yield positions[start : start + size], None


def _scanned(
    rows: Rows, query: Vectors, k: int, run: tuple[Positions, Halves | None]
) -> tuple[Positions, NDArray[np.float32]]:
    """The best of a run, in no order; fewer than ``k`` where it is shorter."""
    scanner = _scanner(rows.dim)
    scanner.set_query(faiss.swig_ptr(query))
    scanner.set_list(0, 0.0)
    scores = np.full(k, -np.inf, np.float32)
    found = np.full(k, -1, np.int64)
    positions, halves = run
    for start in range(0, len(positions), BLOCK):
        some = positions[start : start + BLOCK]
        own = rows.take(some) if halves is None else halves[start : start + BLOCK]
        pointers = [faiss.swig_ptr(array) for array in (own.view(np.uint8).reshape(-1), some, scores, found)]
        scanner.scan_codes(len(some), *pointers, k)
    return found[found >= 0], scores[found >= 0]


def _scanner(dim: int) -> Any:
    """One a thread and width, used again and again: FAISS would never free it."""
    known: dict[int, tuple[Any, ...]] = _own.__dict__.setdefault("scanners", {})
    if dim not in known:
        codec = faiss.ScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16)
        nothing = faiss.IndexFlatIP(dim)  # the scanner asks for centroids, which it does not use
        scanner = codec.select_InvertedListScanner(faiss.METRIC_INNER_PRODUCT, nothing, False, None, False)
        known[dim] = scanner, codec, nothing
    return known[dim][0]


def _by_product(rows: Rows, queries: Vectors, k: int, positions: Positions | None, first: int) -> Best:
    best = _none(len(queries), 0)
    for run, halves in _runs(rows, positions, first, BLOCK):
        own = rows.take(run) if halves is None else halves
        scores = queries @ widened(own).T  # (q, d) x (d, b) -> (q, b)
        if len(run) > k:
            top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            ranked, scores = run[top], np.take_along_axis(scores, top, axis=1)
        else:
            ranked = np.broadcast_to(run, scores.shape)
        all_positions = np.concatenate([best.positions, ranked], axis=1)
        all_scores = np.concatenate([best.scores, scores], axis=1)
        order = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]
        best = Best(np.take_along_axis(all_positions, order, axis=1), np.take_along_axis(all_scores, order, axis=1))
    short = _none(len(queries), k - best.positions.shape[1])
    return Best(np.concatenate([best.positions, short.positions], 1), np.concatenate([best.scores, short.scores], 1))


def _best(positions: Positions, scores: NDArray[np.float32], k: int) -> tuple[Positions, NDArray[np.float32]]:
    """The ``k`` best of these, (k,): of equal ones the first rows; filled up with position -1."""
    order = np.lexsort((positions, -scores))[:k]
    short = _none(1, k - len(order))
    return np.concatenate([positions[order], short.positions[0]]), np.concatenate([scores[order], short.scores[0]])


def rescored(rows: Rows, query: Vectors, positions: Positions, k: int) -> tuple[Positions, NDArray[np.float32]]:
    """The ``k`` best of these rows by their exact scores; -1 in ``positions`` stands for none."""
    positions = np.sort(positions[positions >= 0])
    return _best(positions, widened(rows.take(positions)) @ query, k)
