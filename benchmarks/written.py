"""Names and captions as photos have them, for libraries that are made up.

Captions are six words that follow a law of Zipf and Mandelbrot, one in (rank + 3).  In the 35,000 captions of Flickr8k
the commonest word is in 19 % of the captions, the tenth in 7 %, the 100th in 1.1 %, the 1000th in 0.06 %, in six words
each that are no articles and the like; here it is 17, 6, 0.8 and 0.09 %.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter

import numpy as np

from mmsearch.language.nouns import nouns, word_set
from mmsearch.language.prompts import scenes
from mmsearch.language.stop_words import STOP_WORDS

CAPTION = 6  # words
OFFSET = 3
TRIP = 80  # photos of a folder, on average
YEARS = (2004, 2025)
CAMERA = ("IMG_{:04d}.JPG", "DSC_{:04d}.JPG", "DSC0{:04d}.jpg", "P101{:04d}.JPG", "photo {:04d}.jpg")


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Words of ``language/prompts.py``, the most frequent first, then all other nouns."""
    counts = Counter(word for text in scenes() for word in sorted(word_set(text)) if word not in STOP_WORDS)
    return tuple(dict.fromkeys([word for word, _ in counts.most_common()] + sorted(nouns())))


@functools.cache
def _sums() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    chances = 1 / (np.arange(1, len(vocabulary()) + 1) + OFFSET)
    return np.cumsum(chances / chances.sum())


def drawn(rng: np.random.Generator, count: int) -> list[str]:
    """Words by their frequency."""
    known = vocabulary()
    return [known[min(place, len(known) - 1)] for place in np.searchsorted(_sums(), rng.random(count)).tolist()]


def caption(rng: np.random.Generator) -> str:
    one = drawn(rng, CAPTION)
    return " ".join(("a", *itertools.chain(*zip(one[::2], one[1::2], itertools.repeat("in the"), strict=False))))


class Trips:
    """Paths one after the other: folders of years, in them folders of trips, in them photos as a camera names them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._left, self._trips = rng, 0, 0

    def path(self) -> str:
        if not self._left:
            rng = self._rng
            self._left, self._trips = 1 + int(rng.exponential(TRIP)), self._trips + 1
            self._next, self._camera = int(rng.integers(10_000)), CAMERA[int(rng.integers(len(CAMERA)))]
            year, month, day = (int(rng.integers(*between)) for between in (YEARS, (1, 13), (1, 29)))
            words = " ".join(drawn(rng, 1 + int(rng.integers(2))))
            self._folder = f"/photos/{year}/{year}-{month:02d}-{day:02d} {words} {self._trips}"
        self._left, self._next = self._left - 1, (self._next + 1) % 10_000
        return f"{self._folder}/{self._camera.format(self._next)}"
