"""What words that are written about a picture add to its score.

The score is on the scale of cosines: ``docs/search.md`` has the measurement.

How rare words are is their evidence, the sum of the logarithms of how many pictures there are for each that has them,
with what is known of words from elsewhere.  So it means the same in a library of ten pictures and of a million.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmsearch.store.types import WordHit

ALL_WORDS = 1.0  # all words of the query are there, and they tell enough: no look-alike is so near
SOME_WORDS = 0.3  # for the share of them that is there
WHOLE = 0.999  # share from which on all words are there
# Evidence from which on a picture that has all words is what was asked for.  One unit below it is not at all.
SAID = 1.0  # of descriptions and keywords, which people wrote about this picture: one picture in three has the word
READ = 3.0  # of read text and names, which may be about something else: one in twenty


@dataclass(frozen=True)
class TextBoost:
    """What one picture gets."""

    added: float  # to its score, in [0, ALL_WORDS]
    word_share: float  # its relevance is at least this: how far the words that are there decide, in [0, 1]


def text_boosts(hits: Iterable[WordHit]) -> dict[int, TextBoost]:
    """What each picture gets that has words of the query, by the id of its vector."""
    boosts = {}
    for hit in hits:
        decides = hit.score * _certainty(hit)
        boosts[hit.number] = TextBoost(SOME_WORDS * hit.score + (ALL_WORDS - SOME_WORDS) * decides, decides)
    return boosts


def _certainty(hit: WordHit) -> float:
    """How far words decide that a picture is what was asked for, in [0, 1]; 0 where one of them is missing."""
    if hit.written < WHOLE:
        return 0.0
    evidence = hit.evidence / hit.score  # of the words, wherever they stand
    return min(max(evidence - (SAID if hit.said >= WHOLE else READ) + 1, 0.0), 1.0)


def is_excluded(hit: WordHit) -> bool:
    """Whether a picture that was looked for by words to be left out is left out.

    It has all of the words, not only in captions and tags, which a model guessed.
    """
    return hit.written >= WHOLE
