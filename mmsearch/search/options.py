"""How to search."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from mmsearch.errors import QueryError
from mmsearch.query.model import Shown


@dataclass(frozen=True)
class Options:
    """How to search.

    Raises QueryError for numbers that make no sense.
    """

    k: int = 10  # hits at most
    offset: int = 0  # best hits that are left out: those of earlier pages
    within: Sequence[str] = ()  # only in or below these paths
    min_relevance: float | None = None  # hits below it are left out …
    usual_relevance: float = 0.0  # … and below this where none is given and relevance is known
    diverse: bool = False  # near-duplicates and bursts become one hit, and hits differ from each other
    like: Sequence[Shown] = ()  # pictures that the wanted ones are like, whatever their weight …
    unlike: Sequence[Shown] = ()  # … and unlike
    imagine: bool = False  # pictures that the words make a generator imagine are looked for beside the words

    def __post_init__(self) -> None:
        _check_whole("k", self.k, 1)
        _check_whole("the offset", self.offset, 0)
        if self.min_relevance is not None and not 0 <= self.min_relevance <= 1:
            raise QueryError(f"the least relevance must be between 0 and 1, not {self.min_relevance}")

    @property
    def end(self) -> int:
        """The rank of the last hit that is asked for."""
        return self.offset + self.k

    @property
    def least_relevance(self) -> float:
        """Hits below it are left out, where relevance is known; in [0, 1]."""
        return self.usual_relevance if self.min_relevance is None else self.min_relevance


def _check_whole(name: str, value: object, least: int) -> None:
    """Raises QueryError for what is no whole number, or below ``least``."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # NumPy's integers are whole numbers too
    except TypeError:
        raise QueryError(f"{name} must be a whole number, not {value!r}") from None
    if number < least:
        raise QueryError(f"{name} must be at least {least}, not {number}")
