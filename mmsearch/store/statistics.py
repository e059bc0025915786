"""A library in figures, as every store counts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mmsearch.store.types import Counts, Losses, StoredModel, Summary


class Statistics(Protocol):
    """A library in figures."""

    def counts(self) -> Counts:
        """How many files are in each state."""
        ...

    def summary(self) -> Summary:
        """The library in figures."""
        ...

    def losses(self, paths: Sequence[str]) -> Losses:
        """What would be lost with the files at or below these paths."""
        ...

    def with_regions(self, model: StoredModel) -> int:
        """How many pictures that can be found have region tokens of this model, of whatever card."""
        ...

    def with_captions(self) -> int:
        """How many pictures that can be found have a caption, of whatever reranker."""
        ...

    def tag_counts(self, within: Sequence[str] = ()) -> dict[str, int]:
        """How many files that can be found have each tag, the most frequent first; in or below these paths, if any.

        Tags of people and of models count alike; one of people gives the spelling where both have it.
        """
        ...
