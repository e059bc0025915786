"""Conditions about where in a film something is: they choose among its moments, and films by them."""

from __future__ import annotations

import math
from typing import Any

from mmsearch.query.model import AnyOf, Between, Compare, Condition


def is_of_moments(condition: Condition) -> bool:
    """Whether a condition is about where in a film something is."""
    all_of_it = condition.fits.fits if isinstance(condition.fits, AnyOf) else (condition.fits,)
    return bool(all_of_it) and all(isinstance(one, (Compare, Between)) and one.fact == "at" for one in all_of_it)


def span(fits: Any) -> tuple[float, float]:
    """From when to when, in seconds."""
    if isinstance(fits, Between):
        return fits.least, fits.most
    if fits.operator == "=":
        return fits.value, fits.value
    return (-math.inf, fits.value) if fits.operator in ("<", "<=") else (fits.value, math.inf)
