"""Hubness correction: a photo that is near to every text is no good answer to this one.

In spaces that are learned from pictures and texts some photos are among the nearest of very many queries ("hubs").  How
near a photo is to texts that nobody asked for, its hubness, is taken off its scores:

    score(query, photo) = cosine(query, photo) - beta * hubness(photo)

The hubness is the mean similarity of the photo to its nearest texts in a querybank.  With beta 0.5 the order of the
photos is that of CSLS (Conneau et al. 2018, Word translation without parallel data), 2 cos - r(query) - r(photo),
because r(query) is the same for all photos.  That a bank of other texts serves as well as the queries themselves was
shown by QB-Norm (Bogolin et al. 2022, Cross modal retrieval with querybank normalisation), which divides instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmsearch.types import Vectors

NEAREST = 20  # texts of the querybank that make a photo's hubness
BETA = 0.5  # share of the hubness that is taken off; that of CSLS
BLOCK = 1024  # photos compared with the querybank at once


def hubness_penalty(
    photos: Vectors, querybank: Vectors, beta: float = BETA, nearest: int = NEAREST
) -> NDArray[np.float32]:
    """What is taken off every score of each photo: ``beta`` times its hubness, (n,).

    ``photos`` (n, dim) and ``querybank`` (m, dim) have unit rows; m and ``nearest`` are at least 1.  The hubness is the
    mean similarity of the photo to its ``nearest`` texts of the querybank, or to all where it has fewer.
    """
    nearest = min(nearest, len(querybank))
    hubness = np.empty(len(photos), np.float32)
    for start in range(0, len(photos), BLOCK):
        scores = photos[start : start + BLOCK] @ querybank.T  # (p, d) x (d, m) -> (p, m)
        hubness[start : start + BLOCK] = np.partition(scores, -nearest, axis=1)[:, -nearest:].mean(axis=1)
    return np.float32(beta) * hubness
