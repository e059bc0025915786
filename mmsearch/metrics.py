"""Retrieval metrics on plain arrays, checked by hand-worked examples in ``tests/test_metrics.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (1, 5, 10)


def summarize(ranks: NDArray[np.int64], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """Recall@k and mean reciprocal rank, as percentages, from the rank (1 = first) of each query's right answer."""
    if not len(ranks):
        return {**{f"R@{k}": 0.0 for k in cutoffs}, "MRR": 0.0}
    recall = {f"R@{k}": round(100 * float(np.mean(ranks <= k)), 2) for k in cutoffs}
    return {**recall, "MRR": round(100 * float(np.mean(1 / ranks)), 2)}


def retrieval(
    images: NDArray[np.float32], texts: NDArray[np.float32], owner: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Both directions of caption retrieval, the way Flickr8k and COCO are reported (Karpathy and Fei-Fei 2015).

    ``images`` (photos, dim) and ``texts`` (captions, dim) have unit rows; caption t describes photo ``owner[t]``.
    Text to image: one right photo per caption.  Image to text: any of a photo's captions counts, the best one ranks.
    A tie counts against the right answer, so equal vectors cannot look perfect.
    """
    to_image = np.empty(len(texts), np.int64)
    best = np.full(len(images), -np.inf, np.float32)  # each photo's similarity to its own best caption
    for start in range(0, len(texts), 1024):
        scores = texts[start : start + 1024] @ images.T  # (t, d) x (d, p) -> (t, p)
        own = owner[start : start + 1024]
        right = scores[np.arange(len(own)), own]
        to_image[start : start + 1024] = (scores >= right[:, None]).sum(axis=1)
        np.maximum.at(best, own, right)
    to_text = np.empty(len(images), np.int64)
    for start in range(0, len(images), 1024):
        scores = images[start : start + 1024] @ texts.T
        photos = np.arange(start, start + len(scores))
        wrong = owner[None, :] != photos[:, None]
        to_text[start : start + 1024] = 1 + ((scores >= best[photos, None]) & wrong).sum(axis=1)
    captioned = np.isin(np.arange(len(images)), owner)
    return {"text_to_image": summarize(to_image), "image_to_text": summarize(to_text[captioned])}
