"""Pictures that are alike: by k-means on the vectors, or by density on the plane (HDBSCAN, where scikit-learn is).

``python -m benchmarks.map`` measures both against captions that people wrote; k-means is the default by that.
"""

from __future__ import annotations

from typing import Any, Literal

import faiss as _stubbed
import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import MapError
from mmsearch.manage.map.layout import Plane
from mmsearch.types import Vectors

faiss: Any = _stubbed

Method = Literal["kmeans", "hdbscan"]
METHODS: tuple[Method, ...] = ("kmeans", "hdbscan")
Members = NDArray[np.int32]  # (n,) the number of each point's cluster, from 1; 0 for none

MOST = 200  # clusters: more names nobody reads
ROUNDS = 25  # of k-means
TRIES = 5  # from other beginnings, the best of which counts


def wanted(photos: int) -> int:
    """How many clusters a library gets: 42 for 7,000 photos, 112 for 50,000, and ``MOST`` from 160,000 on.

    It grows with the square root, so that clusters become more and larger at the same pace.
    """
    return int(np.clip(round(np.sqrt(photos / 4)), 2, MOST))


def found(points: Vectors, places: Plane, count: int, method: Method, seed: int = 0) -> Members:
    """The clusters of points (n, dims) that lie at ``places`` (n, 2), numbered by their size, the largest first.

    ``count`` is how many there are by k-means; by density it says how small one may be.  Raises MapError where
    scikit-learn is needed and lacking.
    """
    members = _by_means(points, count, seed) if method == "kmeans" else _by_density(places, count)
    return numbered(members)


def numbered(members: Members) -> Members:
    """The same clusters, numbered from 1 by their size; of equal ones the first member's place decides.  -1 is 0."""
    labels, first, counts = np.unique(members, return_index=True, return_counts=True)
    kept = labels >= 0
    order = np.lexsort((first[kept], -counts[kept]))
    numbers = np.zeros(len(labels), np.int32)
    numbers[np.flatnonzero(kept)[order]] = np.arange(1, int(kept.sum()) + 1)
    result: Members = numbers[np.searchsorted(labels, members)]
    return result


def _by_means(points: Vectors, count: int, seed: int) -> Members:
    means = faiss.Kmeans(
        points.shape[1], min(count, len(points)), niter=ROUNDS, seed=seed + 1, nredo=TRIES,
        min_points_per_centroid=1, max_points_per_centroid=1000, verbose=False,
    )  # fmt: skip
    means.train(points)
    members: Members = means.index.search(points, 1)[1][:, 0].astype(np.int32)
    return members


def _by_density(places: Plane, count: int) -> Members:
    try:
        from sklearn.cluster import HDBSCAN
    except ImportError as error:
        raise MapError(
            "clusters by density need scikit-learn, which is not installed: pip install 'mmsearch[map]'",
            code="no-hdbscan",
        ) from error
    smallest = max(3, len(places) // (4 * count))
    members: Members = HDBSCAN(copy=True, min_cluster_size=smallest, min_samples=min(5, smallest)).fit_predict(places)
    return members.astype(np.int32)
