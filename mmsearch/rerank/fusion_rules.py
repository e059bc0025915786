"""One score of two: how near the first stage finds a photo, and how well the reranker finds that it matches.

Which rule is used is a choice to be measured (``docs/reranker.md`` has the table): ALBEF takes the match alone, BLIP
adds both, others mix ranks.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import ConfigError

Rule = Literal["match", "sum", "weighted", "ranks"]
RULES: tuple[Rule, ...] = ("match", "sum", "weighted", "ranks")
# What the match counts for beside a first stage that it was not measured with, in spreads: of those tried the one that
# costs least where it costs something (python -m benchmarks.other_first_stage).
MATCH_SHARE = 0.25
SMOOTH = 60  # of reciprocal ranks, as in the paper


def combine(
    first: NDArray[np.float32], match: NDArray[np.float32], rule: Rule, weight: float = 1.0
) -> NDArray[np.float32]:
    """Final scores (n,) of one query's n candidates from first-stage scores (n,) and match logits (n,).

    - ``match``: the match logit alone (ALBEF, Li et al. 2021).
    - ``sum``: both, each scaled to mean 0 and spread 1 over the candidates.
    - ``weighted``: first + weight * match; ``weight`` is chosen on dev photos.
    - ``ranks``: the sum of 1 / (60 + rank) (reciprocal rank fusion, Cormack et al. 2009).

    Raises ConfigError for another rule.
    """
    if rule == "match":
        return match.astype(np.float32)
    if rule == "sum":
        return _standard(first) + _standard(match)
    if rule == "weighted":
        return (first + weight * match).astype(np.float32)
    if rule == "ranks":
        return (1 / (SMOOTH + _ranks(first)) + 1 / (SMOOTH + _ranks(match))).astype(np.float32)
    raise ConfigError(f"there is no rule {rule!r} to combine scores; there are: {', '.join(RULES)}")


def in_spreads(
    first: NDArray[np.float32], match: NDArray[np.float32], share: float = MATCH_SHARE
) -> NDArray[np.float32]:
    """First-stage scores (n,) of any model, and a share of the match logits (n,) in spreads of the candidates.

    A weight is of one model's scale of cosines.
    """
    spread: float = float(first.std()) if len(first) else 0.0
    return (first + share * spread * _standard(match)).astype(np.float32)


def _standard(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(values):
        return values.astype(np.float32)
    scaled: NDArray[np.float32] = ((values - values.mean()) / max(float(values.std()), 1e-6)).astype(np.float32)
    return scaled


def _ranks(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """1 for the largest; of equal values the earlier one comes first."""
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ranks
