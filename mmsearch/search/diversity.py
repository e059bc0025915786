"""Near-equal pictures as one, and variety among the others.

What counts as near-equal was chosen with ``python -m benchmarks.near_duplicates`` and the embedded model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmsearch.media.dhash import Hashes, distance
from mmsearch.types import Ids, Vectors

# Scaled and compressed pictures keep their hash and lose cosine, cropped ones the other way round.
NEAR = ((6, 0.4), (12, 0.8))  # (bits of the hashes that may differ, least cosine then)
ALONE = 0.9  # least cosine where a hash is missing
BURST = 0.75  # least cosine of pictures taken within SPAN of each other
SPAN = 10.0  # seconds
LEAST = min(ALONE, BURST, *(least for _, least in NEAR))  # cosine below which two pictures are never the same


def near(cosines: Vectors, distances: NDArray[np.uint8], hashed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs are near-equal by cosine and by the distance of their hashes, where both are ``hashed``.

    All arrays have the same shape, an element a pair.
    """
    by_both = np.zeros(cosines.shape, np.bool_)
    for bits, least in NEAR:
        by_both |= (distances <= bits) & (cosines >= least)
    return np.where(hashed, by_both, cosines >= ALONE)


def fold(vectors: Vectors, hashes: Hashes, hashed: NDArray[np.bool_], taken: NDArray[np.float64]) -> Ids:
    """For each of n ranked pictures, best first, the row of the picture that stands for it; often its own.

    ``vectors`` is (n, dim) with unit rows; ``hashes`` (n,) and which of them are known (``hashed``), as
    ``dhash.as_numbers`` gives them; ``taken`` (n,) seconds, NaN where nobody knows.  The best picture stands for those
    near-equal to it and for those of the same burst; the best of what is left stands for its own, and so on.  So no
    chain of small differences leads from a picture to one that does not look like it, and more pictures after these
    change nothing about them.  Returns (n,): each value is at most its row, and a row that stands for another stands
    for itself.
    """
    count = len(vectors)
    stands = np.full(count, -1, np.int64)
    for row in range(count):
        if stands[row] >= 0:
            continue
        stands[row] = row
        cosines = vectors[row + 1 :] @ vectors[row]
        close = np.flatnonzero((cosines >= LEAST) & (stands[row + 1 :] < 0))
        if not len(close):
            continue
        rest, cosines = row + 1 + close, cosines[close]
        same = near(cosines, distance(hashes[row], hashes[rest]), hashed[row] & hashed[rest])
        same |= (np.abs(taken[rest] - taken[row]) <= SPAN) & (cosines >= BURST)
        stands[rest[same]] = row
    return stands


def mmr(
    relevance: NDArray[np.floating], vectors: Vectors, k: int, weight: float = 0.7, chosen: Ids | None = None
) -> Ids:
    """Rows of the ``k`` pictures that are relevant and unlike each other, in the order they are chosen; all if fewer.

    Maximal marginal relevance (Carbonell and Goldstein 1998): the next is that with the largest ``weight * relevance -
    (1 - weight) * its largest cosine with those chosen``; of equals the first.  ``relevance`` is (n,), on the scale of
    the cosines, such as a probability: much smaller values would leave all to variety.  ``vectors`` is (n, dim) with
    unit rows.  With ``weight`` 1 it is the order of relevance.  The rows that are ``chosen`` already, if any, are not
    chosen again, and the others are to be unlike them too.
    """
    before = np.zeros(0, np.int64) if chosen is None else chosen
    left = np.ones(len(relevance), np.bool_)
    left[before] = False
    gain = weight * np.asarray(relevance, np.float64)
    nearest = np.full(len(relevance), -np.inf)  # the largest cosine with those chosen
    if len(before):
        nearest = (vectors @ vectors[before].T).max(axis=1)  # (n, d) x (d, c) -> (n,)
    rows = np.empty(min(k, int(left.sum())), np.int64)
    for turn in range(len(rows)):
        by_variety = weight < 1 and (turn or len(before))
        worth = gain - (1 - weight) * nearest if by_variety else gain
        rows[turn] = best = int(np.argmax(np.where(left, worth, -np.inf)))
        left[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return rows
