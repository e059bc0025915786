"""Relevance for a model that brings no calibration: how the best picture stands to texts that nobody asked for.

Cosines of one model say nothing about those of another.  Compared with the cosines that the same picture has with the
texts of a querybank they do: how many spreads above their mean the query is, and how far above the nearest ten.  Both
are numbers without a scale, and need nothing of the library but the one picture.  The maps were fitted on several
encoders; on an encoder and a kind of photos that were left out they do about as well as the calibration that a model
brings (``python -m benchmarks.relevance``, ``docs/search.md``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.search.calibration import Logistic
from mmsearch.search.querybank import NEAREST
from mmsearch.types import Vectors

SHORT = 2  # words up to which a text names a thing; longer ones are captions


@dataclass(frozen=True)
class Map:
    """Log-odds that a library has what is asked for: spreads * spreads above mean + margin * above nearest + offset."""

    spreads: float
    margin: float
    offset: float


# Fitted by ``python -m benchmarks.relevance``.
OF_CAPTIONS = Map(0.731, 0.395, -3.051)
OF_THINGS = Map(0.262, 0.267, -1.048)


def is_short(text: str) -> bool:
    """Whether a text names a thing, rather than telling of a picture."""
    return len(text.split()) <= SHORT


def above_querybank(cosine: float, picture: Vectors, querybank: Vectors) -> tuple[float, float, float]:
    """How a text stands to a querybank (m, dim) before one picture (dim,), from its cosine with it.

    Returns how far its cosine is above the mean of the querybank's, and above the mean of the nearest texts, both in
    spreads; and how large a spread is, as a cosine.
    """
    cosines: NDArray[np.float32] = querybank @ picture
    mean, spread = float(cosines.mean()), max(float(cosines.std()), 1e-6)
    count = min(NEAREST, len(cosines))
    nearest = float(np.partition(cosines, -count)[-count:].mean())
    return (cosine - mean) / spread, (cosine - nearest) / spread, spread


def logistic(text: str, best: float, cosine: float, picture: Vectors, querybank: Vectors) -> Logistic:
    """What makes relevances of the scores of one query.

    ``best`` is the score of its best picture, ``cosine`` the text's cosine with it, ``picture`` its vector (dim,).
    A picture that scores less is judged as if its cosine were less by as much.
    """
    fitted = OF_THINGS if is_short(text) else OF_CAPTIONS
    spreads, margin, spread = above_querybank(cosine, picture, querybank)
    slope = (fitted.spreads + fitted.margin) / spread
    odds = fitted.spreads * spreads + fitted.margin * margin + fitted.offset
    return Logistic(slope, 0.0, 0.0, odds - slope * best)
