"""Scores of hits that something ranked."""

from __future__ import annotations

from mmsearch.types import Hit


def score(hit: Hit) -> float:
    """Fails for a hit of conditions alone, which has none."""
    assert hit.score is not None
    return hit.score
