"""The phrases that captions hold, and which photos they are said of.

A phrase is one to four words that follow each other in a caption, the first and the last of which are no stop words.
Captions do not say all that a photo shows: a photo whose captions have a word of a phrase, and not the phrase, is no
clear counterexample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.language.stop_words import STOP_WORDS
from mmsearch.search.text_adapter import words_in

LONGEST = 4  # words of a phrase
LEAST, MOST = 6, 3000  # photos that a phrase is said of; what nearly all show tells nothing


def often(captions: Sequence[Sequence[str]], least: int) -> frozenset[str]:
    """The words that the captions of at least so many photos have; no stop words."""
    count = Counter(word for own in captions for word in {word for text in own for word in words_in(text)})
    return frozenset(word for word, photos in count.items() if photos >= least and word not in STOP_WORDS)


def phrases_in(caption: str) -> set[str]:
    """The phrases of a caption."""
    words = words_in(caption)
    ends = [place for place, word in enumerate(words) if word not in STOP_WORDS]
    return {" ".join(words[first : last + 1]) for first in ends for last in ends if first <= last < first + LONGEST}


@dataclass(frozen=True)
class Phrases:
    """Some phrases, and the photos whose captions have them."""

    texts: tuple[str, ...]
    shown: NDArray[np.bool_]  # (phrases, photos): a caption of the photo has the phrase
    words: tuple[NDArray[np.int64], ...]  # of each phrase its words, rows of ``mentioned``
    mentioned: NDArray[np.bool_]  # (words, photos): a caption of the photo has the word

    @classmethod
    def of(cls, captions: Sequence[Sequence[str]], least: int = LEAST) -> Phrases:
        """Those of the captions of photos that at least ``least`` photos have, in alphabetical order."""
        of_photos = [set[str]().union(*map(phrases_in, own)) for own in captions]
        count = Counter(phrase for own in of_photos for phrase in own)
        texts = sorted(phrase for phrase, photos in count.items() if least <= photos <= MOST)
        parts = [[word for word in text.split() if word not in STOP_WORDS] for text in texts]
        known = sorted({word for own in parts for word in own})
        words_of_photos = [{word for caption in own for word in words_in(caption)} for own in captions]
        rows = {word: row for row, word in enumerate(known)}
        return cls(
            tuple(texts),
            _table({text: row for row, text in enumerate(texts)}, of_photos),
            tuple(np.array([rows[word] for word in own], np.int64) for own in parts),
            _table(rows, words_of_photos),
        )

    def near(self, phrases: NDArray[np.int64], photos: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(phrases, photos): whether a caption of the photo has a word of the phrase."""
        seen = self.mentioned[:, photos]
        return np.stack([seen[self.words[phrase]].any(axis=0) for phrase in phrases])


def _table(rows: dict[str, int], of_photos: Sequence[set[str]]) -> NDArray[np.bool_]:
    """Which of the rows each photo has, (rows, photos)."""
    table = np.zeros((len(rows), len(of_photos)), np.bool_)
    for photo, own in enumerate(of_photos):
        table[[rows[one] for one in own if one in rows], photo] = True
    return table
