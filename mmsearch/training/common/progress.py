"""How far a training run is, for whoever shows it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainProgress:
    """How far a run is."""

    phase: str  # "photos", "dev photos", "views", "captions", "dev", "training", "writing", or "relevance"
    done: int
    total: int
    epoch: int = 0
    epochs: int = 0
    loss: float = math.nan
    rate: float = math.nan  # learning rate of the pooling
    pairs_per_second: float = math.nan
    seconds_left: float = math.nan


Reporter = Callable[[TrainProgress], None]
Counter = Callable[[int, int], None]  # done, total


def counter(progress: Reporter | None, phase: str) -> Counter | None:
    """What a phase calls with (done, total); None where nobody listens."""
    if progress is None:
        return None
    return lambda done, total: progress(TrainProgress(phase, done, total))
