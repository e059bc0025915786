"""A model's querybank and its calibration, from captioned photos that it was not trained on.

The querybank are centroids of training captions (spherical k-means, Dhillon and Modha 2001): what a photo's hubness is
taken from, see ``mmsearch/search/hubness.py``.  The calibration says how a score becomes a relevance, see
``mmsearch/search/calibration.py``; what it is fitted on is in ``mmsearch/evaluation/answerable.py``.
"""

from __future__ import annotations

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.evaluation.answerable import encode, scored
from mmsearch.rerank.reranker import Reranker
from mmsearch.search.calibration import Shares
from mmsearch.training.common.pairs import Pairs, Pictures
from mmsearch.training.common.progress import Counter
from mmsearch.types import Regions, Vectors

CENTROIDS = 512


def centroids(encoder: Encoder, texts: list[str]) -> Vectors:
    """At most (CENTROIDS, dim) float32, unit rows: of as few texts they are the texts themselves."""
    import faiss

    rows = encode(encoder, texts)
    if len(rows) <= CENTROIDS:
        return rows
    means = faiss.Kmeans(rows.shape[1], CENTROIDS, niter=20, spherical=True, seed=0, min_points_per_centroid=1)
    means.train(rows)
    rows = np.asarray(means.centroids, np.float32)
    found: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def pictures(encoder: Encoder, photos: Pairs) -> tuple[Vectors, Regions]:
    """Vectors and region tokens of all photos, which must be readable; an encoder without tokens gives empty ones."""
    _, opened = Pictures.open(photos, encoder.card.preprocess)
    vectors, tokens = [], []
    for start in range(0, len(photos), 32):
        rows, own = encoder.encode_pictures(opened.plain(range(start, min(start + 32, len(photos)))))
        vectors.append(rows)
        tokens.append(np.empty((len(rows), 0, 0), np.float32) if own is None else own)
    return np.concatenate(vectors), np.concatenate(tokens)


def measured(
    encoder: Encoder, reranker: Reranker | None, photos: Pairs, every: int = 1, report: Counter | None = None
) -> dict[str, Shares]:
    """``answerable.scored`` of photos that are decoded and encoded for it."""
    return scored(encoder, reranker, photos.texts, pictures(encoder, photos), every, report)
