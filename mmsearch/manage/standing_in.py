"""Which of several files stand for the others: groups without chains, around the best one of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from mmsearch.types import Ids


class _Row(Protocol):
    @property
    def row(self) -> int: ...


One = TypeVar("One", bound=_Row)


def stand_ins(rows: Sequence[int], best_first: Sequence[One], shows: Callable[[One, One], bool]) -> Ids:
    """For each of ``rows`` the row of the one that stands for it, or its own; (n,).

    ``best_first`` are those of them that may be compared.  Each is compared with those before it that stand for
    themselves, and goes to the first one that ``shows`` it.
    """
    stands = {row: row for row in rows}
    heads: list[One] = []
    for one in best_first:
        head = next((best for best in heads if shows(best, one)), None)
        if head is None:
            heads.append(one)
        else:
            stands[one.row] = head.row
    return np.array([stands[row] for row in rows], np.int64)
