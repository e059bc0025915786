"""Which kind of index suits so many vectors, and how it is built.  ``docs/performance.md`` has the measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mmsearch.indexes.hnsw import LINKS
from mmsearch.indexes.index import FEW

Kind = Literal["exact", "ivf-rabitq", "ivf-rabitq4", "ivf-sq8", "hnsw", "gpu"]

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
    """The first of ``choices``.  On a GPU all vectors are compared, where its ``memory`` holds them in float16."""
    if device == "cuda" and count > FEW and (memory is None or 2 * dim * count <= memory):
        return Choice("gpu", 0, 2 * dim * count)
    return choices(count, dim, memory, recall)[0]


def choices(count: int, dim: int, memory: int | None = None, recall: float = 0.95) -> list[Choice]:
    """Kinds for ``count`` vectors (dim) and searches that find the share ``recall`` of the nearest ones, best first.

    ``memory`` is how many bytes the index may take; None for no limit.  Where the rows themselves take more, each that
    is looked at may be a read from the disk, and the kind comes first that needs fewest of them.  A later one is for
    vectors of which an earlier one finds too few.  Where none fits, all rows are compared, from the disk.
    """
    if count <= FEW or recall >= 1:
        return [Choice("exact", 0, 0)]
    lists = min(int(LISTS * math.sqrt(count)), MOST_LISTS)
    kinds: list[Kind] = ["ivf-rabitq", "ivf-rabitq4", "ivf-sq8"]
    if recall > COARSE:
        kinds = ["ivf-sq8", "ivf-rabitq4", "ivf-rabitq"]
    elif memory is not None and 2 * dim * count > memory:
        kinds = ["ivf-rabitq4", "ivf-rabitq", "ivf-sq8"]
    sized = [Choice(kind, lists, estimated(kind, count, dim, lists)) for kind in kinds]
    return [one for one in sized if memory is None or one.bytes <= memory] or [Choice("exact", 0, 0)]


def estimated(kind: Kind, count: int, dim: int, lists: int) -> int:
    """Bytes that an index of a kind takes in memory beside its rows."""
    a_row = {
        "exact": 0,
        "gpu": 2 * dim,
        "ivf-rabitq": math.ceil(dim / 8) + 17,  # a bit a dimension, factors, the position
        "ivf-rabitq4": math.ceil(dim / 2) + 28,
        "ivf-sq8": dim + 8,
        "hnsw": dim + 8 * LINKS + 20,
    }[kind]
    return count * a_row + 4 * dim * lists
