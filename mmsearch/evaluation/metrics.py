"""Retrieval metrics on plain arrays, checked by hand-worked examples in ``tests/evaluation/test_metrics.py``.

Everything starts from ranks, where 1 is the best place of a query's right answer.  ``ranks`` finds them,
``summarize`` turns them into figures, ``intervals`` says how far the figures can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (1, 5, 10)
RESAMPLES = 1000  # enough for 95 % intervals (Efron and Tibshirani 1993, section 13.3)
BLOCK = 1024  # queries compared with everything at once


class Gain(TypedDict):
    """How much a figure gained, in percentage points."""

    points: float
    interval: list[float]  # 95 %: low, high


def summarize(ranks: NDArray[np.int64], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """Recall@k and mean reciprocal rank, as percentages, from the rank (1 = first) of each query's right answer."""
    if not len(ranks):
        return {**{f"R@{k}": 0.0 for k in cutoffs}, "MRR": 0.0}
    recall = {f"R@{k}": round(100 * float(np.mean(ranks <= k)), 2) for k in cutoffs}
    return {**recall, "MRR": round(100 * float(np.mean(1 / ranks)), 2)}


def ranks(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    owner: NDArray[np.int64],
    hubness_penalty: NDArray[np.float32] | None = None,
) -> dict[str, NDArray[np.int64]]:
    """The rank of each query's right answer, in both directions of caption retrieval.

    ``images`` (photos, dim) and ``texts`` (captions, dim) have unit rows; caption t describes photo ``owner[t]``.
    ``hubness_penalty`` (photos,) is taken off every similarity of a photo.  Returns ``text_to_image`` (captions,): one
    right photo per caption; and ``image_to_text``, one rank per photo that has captions, in the order of the photos:
    any of its captions counts, the best one ranks, and it is compared with the captions of other photos only.  A
    penalty is the same for all captions of a photo, so it leaves ``image_to_text`` as it is.  A tie counts against the
    right answer, so equal vectors cannot look perfect.
    """
    to_image = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), BLOCK):
        scores = texts[start : start + BLOCK] @ images.T  # (t, d) x (d, p) -> (t, p)
        if hubness_penalty is not None:
            scores -= hubness_penalty
        photos = owner[start : start + BLOCK]
        right = scores[np.arange(len(photos)), photos]
        to_image[start : start + BLOCK] = (scores >= right[:, None]).sum(axis=1)
    to_text = np.empty(len(images), np.int64)
    for start in range(0, len(images), BLOCK):
        scores = images[start : start + BLOCK] @ texts.T  # (p, d) x (d, t) -> (p, t)
        own_text = owner[None, :] == np.arange(start, start + len(scores))[:, None]
        best = np.max(scores, axis=1, where=own_text, initial=-np.inf)
        to_text[start : start + BLOCK] = 1 + ((scores >= best[:, None]) & ~own_text).sum(axis=1)
    captioned = np.isin(np.arange(len(images)), owner)
    return {"text_to_image": to_image, "image_to_text": to_text[captioned]}


def retrieval(
    images: NDArray[np.float32], texts: NDArray[np.float32], owner: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Both directions of caption retrieval, the way Flickr8k and COCO are reported (Karpathy and Fei-Fei 2015).

    The arguments are those of ``ranks``.
    """
    return {direction: summarize(found) for direction, found in ranks(images, texts, owner).items()}


def bootstrap(
    values: NDArray[np.float64], cluster: NDArray[np.int64], resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """95 % percentile intervals of the means of ``values`` (queries, figures): (2, figures), low and high.

    Clusters are drawn with replacement, as many as there are, and each brings all its queries: query q belongs to
    cluster ``cluster[q]``.  (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.)  Where all
    values are equal, the interval has no width, however few they are.
    """
    _, row = np.unique(cluster, return_inverse=True)
    count = int(row.max()) + 1
    totals = np.zeros((count, values.shape[1] + 1))  # of each cluster: the sum of each figure, and its queries
    np.add.at(totals, row, np.column_stack([values, np.ones(len(values))]))
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    block = max(1, 2**22 // count)  # resamples at once, in tens of MB
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)  # each cluster was drawn
        sums = times @ totals  # (r, c) x (c, f + 1) -> (r, f + 1)
        means[start : start + rows] = sums[:, :-1] / sums[:, -1:]
    bounds: NDArray[np.float64] = np.percentile(means, [2.5, 97.5], axis=0)
    return bounds


def intervals(
    ranks: NDArray[np.int64],
    photo: NDArray[np.int64],
    cutoffs: Sequence[int] = CUTOFFS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, list[float]]:
    """The 95 % interval [low, high] of each figure of ``summarize``, as percentages.

    ``photo`` (queries,) is the photo of each query: all captions of a photo are drawn together, because they succeed
    and fail together.  The ranks are those found among all photos; only the queries are drawn.  So an interval says
    how the figure would change with other photos to look for, not with a larger collection to look in.
    """
    if not len(ranks):
        return {name: [0.0, 0.0] for name in summarize(ranks, cutoffs)}
    values = np.column_stack([*(ranks <= k for k in cutoffs), 1 / ranks])
    low, high = np.round(100 * bootstrap(values, photo, resamples, seed), 2).tolist()
    names = [*(f"R@{k}" for k in cutoffs), "MRR"]
    return {name: list(pair) for name, pair in zip(names, zip(low, high, strict=True), strict=True)}


def gains(
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    photo: NDArray[np.int64],
    cutoffs: Sequence[int] = CUTOFFS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Gain]:
    """What recall gained in percentage points from ``before`` to ``after``, two ranks of the same queries.

    ``photo`` (queries,) is as in ``intervals``.  The interval is that of the difference of each query (paired
    bootstrap): it is far narrower than those of the two figures, which rise and fall with the same queries.
    """
    if not len(before):
        return {f"R@{k}": {"points": 0.0, "interval": [0.0, 0.0]} for k in cutoffs}
    differences = np.column_stack([(after <= k).astype(float) - (before <= k) for k in cutoffs])
    low, high = np.round(100 * bootstrap(differences, photo, resamples, seed), 2).tolist()
    points = np.round(100 * differences.mean(axis=0), 2).tolist()
    return {
        f"R@{k}": {"points": mean, "interval": [a, b]} for k, mean, a, b in zip(cutoffs, points, low, high, strict=True)
    }


def best(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` nearest rows of ``gallery`` to each query, fewer where it has fewer: rows (n, k) and scores (n, k)."""
    k = min(k, len(gallery))
    rows = np.empty((len(queries), k), np.int64)
    found = np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ gallery.T  # (q, d) x (d, g) -> (q, g)
        top = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
        rows[start : start + BLOCK] = np.take_along_axis(top, order, axis=1)
        found[start : start + BLOCK] = np.take_along_axis(scores, rows[start : start + BLOCK], axis=1)
    return rows, found
