"""What words that are written about a picture add to its score.

The score is on the scale of cosines: ``docs/search.md`` has the measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmsearch.store.types import WordHit

ALL_WORDS = 1.0  # all words of the query are there, and they are rare: such a picture comes first
SOME_WORDS = 0.3  # for the share of them that is there
WHOLE = 0.999  # share from which on all words are there
WRITTEN = ("name", "description", "ocr")  # by people, not guessed by a model
RARE = 3.0  # evidence (``WordHit.evidence``) from which on words are rare: one picture in twenty has the word


@dataclass(frozen=True)
class TextBoost:
    """What one picture gets."""

    added: float  # to its score, in [0, ALL_WORDS]
    word_share: float  # of the query's words, in [0, 1], where all are there and rare: its relevance is at least this


def text_boosts(hits: Iterable[WordHit]) -> dict[int, TextBoost]:
    """What each picture gets that has words of the query, by the id of its vector."""
    boosts = {}
    for hit in hits:
        decides = has_all(hit) and hit.evidence >= RARE and any(column in WRITTEN for column in hit.columns)
        boosts[hit.number] = TextBoost(ALL_WORDS, hit.score) if decides else TextBoost(SOME_WORDS * hit.score, 0.0)
    return boosts


def has_all(hit: WordHit) -> bool:
    """Whether the picture has all words of the query."""
    return hit.score >= WHOLE


def is_excluded(hit: WordHit) -> bool:
    """Whether a picture that was looked for by words to be left out is left out.

    It has all of the words, and not only in a caption, which a model guessed.
    """
    return has_all(hit) and hit.columns != ("caption",)
