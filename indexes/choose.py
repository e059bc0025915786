"""Which kind of index suits so many vectors, and how it is built.  ``docs/performance.md`` has the measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mmsearch.indexes.hnsw import LINKS
from mmsearch.indexes.stored import FEW

Kind = Literal["exact", "ivf-rabitq", "ivf-sq8", "hnsw"]

LISTS = 2.0  # lists for each square root of the number of rows
MOST_LISTS = 8192  # more take hours to learn on few cores, and find no quicker
COARSE = 0.99  # recall up to which one bit a dimension is enough; beyond it, too many rows have to be looked at


@dataclass(frozen=True)
class Choice:
    """A kind of index and its parameters."""

    kind: Kind
    lists: int  # of an IVF; 0 for other kinds
    bytes: int  # of memory that it takes beside the rows, which the system may drop


def choose(
    count: int, dim: int, memory: int | None = None, device: Literal["cpu", "cuda"] = "cpu", recall: float = 0.95
) -> Choice:
    """The kind for ``count`` vectors (dim) and searches that find the share ``recall`` of the nearest ones.

    ``memory`` is how many bytes it may take; None for no limit.  The kind that fits and is quickest is taken; where
    none fits, the rows are read from the disk, which takes seconds for millions.
    """
    if count <= FEW or recall >= 1:
        return Choice("exact", 0, 0)
    lists = min(int(LISTS * math.sqrt(count)), MOST_LISTS)
    kinds: list[Kind] = ["ivf-rabitq", "ivf-sq8"] if recall <= COARSE else ["ivf-sq8", "ivf-rabitq"]
    for kind in kinds:
        size = estimated(kind, count, dim, lists)
        if memory is None or size <= memory:
            return Choice(kind, lists, size)
    return Choice("exact", 0, 0)


def estimated(kind: Kind, count: int, dim: int, lists: int) -> int:
    """Bytes that an index of a kind takes in memory beside its rows."""
    a_row = {
        "exact": 0,
        "ivf-rabitq": math.ceil(dim / 8) + 17,  # a bit a dimension, factors, the place
        "ivf-sq8": dim + 8,
        "hnsw": dim + 8 * LINKS + 20,
    }[kind]
    return count * a_row + 4 * dim * lists
