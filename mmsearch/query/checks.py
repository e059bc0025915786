"""What values of a query must be."""

from __future__ import annotations

import math
from typing import Any

from mmsearch.errors import QueryError
from mmsearch.media import in_memory


def all_are(values: object, kind: Any, what: str) -> None:
    """Raises QueryError where the values are no tuple of this kind, ``what`` in words."""
    if not isinstance(values, (tuple, list)) or not all(isinstance(one, kind) for one in values):
        names = " or ".join(one.__name__ for one in getattr(kind, "__args__", (kind,)))
        raise QueryError(f"{what} are a tuple of {names}, not {in_memory.described(values)}")


def not_blank(text: str, what: str) -> None:
    """Raises QueryError for a text that says nothing."""
    if not isinstance(text, str):
        raise QueryError(f"{what} must be a text, not {in_memory.described(text)}")
    if not text.strip():
        raise QueryError(f"{what} is empty")


def weighs(weight: float) -> None:
    """Raises QueryError for a weight that is none."""
    if not 0 < weight < math.inf:
        raise QueryError(f"a weight must be above 0, not {weight:g}; to leave out what matches, write -term")


def finite(number: float) -> None:
    """Raises QueryError for no number, and for an infinite one."""
    if not math.isfinite(number):
        raise QueryError(f"a number is wanted, not {number}")
