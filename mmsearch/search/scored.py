"""A candidate on its way through a search, and what is shown of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Scored(NamedTuple):
    """A found vector, and what the steps of a search have said of it so far.

    Each search makes hundreds: tuples are made and replaced several times as quickly as dataclasses.
    """

    id: int  # of the vector
    score: float  # what it is ranked by, see ``Hit.score``
    cosine: float = 0.0  # with the query, in [-1, 1]
    boost: float = 0.0  # what words that are written about it add to its score
    word_share: float = 0.0  # share of the query's words that are written about it, where these decide; else 0
    reranked: bool = False
    answer: str | None = None  # to a question
    confidence: float | None = None  # of the answer, in [0, 1]
    relevance: float | None = None  # in [0, 1]; None where nobody knows


class Folded(NamedTuple):
    """A candidate that is shown, once for each of its files, and the near-duplicates that it stands for."""

    best: Scored
    ids: tuple[int, ...] = ()  # of their vectors, its own too; none where nothing is folded


@dataclass(frozen=True)
class Block(Generic[Item]):
    """Candidates, best first, that were computed together: to have those that follow takes work again."""

    items: Sequence[Item]
    last: bool  # nothing follows
