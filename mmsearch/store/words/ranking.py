"""Which photos have a word in which column, and how rare it is: what finding words asks of a driver.

Its lists are kept in memory as long as nobody writes to the database (``store/snapshot.py``): to read the list of a
word that a tenth of a million photos has takes some hundredths of a second, to look at it again some ten thousandths.
"""

from __future__ import annotations

import math
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.store.snapshot import Snapshot
from mmsearch.store.sql.tables import WORDS
from mmsearch.types import Ids

# What a word counts for by where it is.  People wrote names, descriptions and what can be read in a picture; tags and
# captions are guesses of a model.
WEIGHTS = {"name": 1.0, "description": 1.0, "ocr": 1.0, "tags": 0.7, "caption": 0.4}
PRIOR = 100  # photos: what is known of words from elsewhere (``language/word_rates.py``) counts as much as so many here
FEW = 20  # photos; in a larger library a word that more than half of the photos have says nothing
_DENSE = 32  # where more than one in so many photos has a word, a bit for each photo takes less than the ids
_CHUNK = 4096  # rows of a list that are looked at together; twice as many each time
_EQUAL = 1e-9  # sums that differ by less are taken for equal

Mask = NDArray[np.bool_]
Rows = NDArray[np.int32]  # ids of photos


@dataclass(frozen=True)
class Form:
    """One way in which a unit of a query is written: all that stands between two spaces, a word or IMG_2041."""

    unit: int
    expression: str  # of FTS5: a word or a phrase, perhaps only its beginning
    share: float  # of the unit's weight
    adds: bool = False  # the shares of such forms add up; of the others the best one counts


class RowSet:
    """A set of photos: their ids in ascending order, or where these are many a bit for each photo."""

    def __init__(self, rows: Rows, photos: int) -> None:
        """``rows`` ascend; ``photos`` is the largest id that will be asked for."""
        self._count, self._rows, self._bits = len(rows), rows, np.zeros(0, np.uint8)
        if _DENSE * len(rows) > photos:
            there = np.zeros(photos + 1, np.bool_)
            there[rows] = True
            self._rows, self._bits = rows[:0], np.packbits(there, bitorder="little")

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._bits.nbytes

    def has(self, rows: Rows) -> Mask:
        """Which of these photos, in ascending order, are in it."""
        if len(self._bits):
            found: Mask = (self._bits.take(rows >> 3) >> (rows & 7) & 1).astype(np.bool_)
        elif len(self._rows) < len(rows):
            found = np.zeros(len(rows), np.bool_)
            found[_positions(rows, self._rows)[1]] = True
        else:
            found = _positions(self._rows, rows)[0]
        return found

    def after(self, position: int, count: int) -> tuple[Rows, int]:
        """About the next ``count`` rows, none at the end, and the position to go on from; the first position is 0."""
        if not len(self._bits):
            return self._rows[position : position + count], position + count
        step = max(1, count * len(self._bits) // self._count)
        while position < len(self._bits):
            some = np.flatnonzero(np.unpackbits(self._bits[position : position + step], bitorder="little"))
            if len(some):
                return (some + 8 * position).astype(np.int32), position + step
            position += step
        return self._rows, position


Having = Mapping[tuple[int, str], RowSet]  # (number of a form, column) -> the photos that have it there


def _positions(among: Rows, rows: Rows) -> tuple[Mask, NDArray[np.intp]]:
    """Which of these rows are among others, which ascend, and where those that are stand there."""
    if not len(among):
        return np.zeros(len(rows), np.bool_), np.zeros(0, np.intp)
    positions = np.minimum(among.searchsorted(rows), len(among) - 1)
    there: Mask = among[positions] == rows
    return there, positions[there]


class WordLists(ABC):
    """Which photos have what, in one state of a library; what of it was asked for is kept."""

    photos: int  # the largest id of a photo
    count: int  # of photos, whatever their state

    def __init__(self, cached: Snapshot) -> None:
        self.cached = cached

    def of(self, forms: Sequence[Form]) -> Having:
        """All photos that have them."""
        each = ((number, self._of(form.expression)) for number, form in enumerate(forms))
        return {(number, column): rows for number, lists in each for column, rows in lists.items()}

    def _of(self, expression: str) -> dict[str, RowSet]:
        return self.cached.of(("rows", expression), lambda: self._read(expression), _size)

    def weight(self, expression: str, rate: float = 0.0) -> float:
        """How rare a word or phrase is; 0 where it says nothing, because most photos have it.

        ``rate`` is the share of texts that have it elsewhere, see ``weight_of``.
        """
        have = self.frequency(expression)
        return 0.0 if self.count >= FEW and have > self.count / 2 else self.weight_of(have, rate)

    def weight_above_zero(self, expression: str) -> float:
        return self.weight_of(self.frequency(expression), 0.0)

    def weight_of(self, have: int, rate: float) -> float:
        """The logarithm of how many photos there are for each that has it, in [0, inf).

        That is the idf of BM25 in Lucene's form, with ``PRIOR`` photos beside those of the library, of which a share of
        ``rate`` has it: so one of 17 photos does not make a common word rare, nor a name common.
        """
        return max(math.log((self.count + PRIOR) / (have + 0.5 + PRIOR * rate)), 0.0)

    def frequency(self, expression: str) -> int:
        """How many photos have it; of very common ones a driver may estimate it."""
        return self.cached.of(("count", expression), lambda: self._counted(expression))

    @abstractmethod
    def _counted(self, expression: str) -> int: ...

    @abstractmethod
    def _read(self, expression: str) -> dict[str, RowSet]:
        """By column the photos that have a word or phrase there."""

    @abstractmethod
    def files_of(self, vectors: Ids, model: int) -> Ids:
        """Pairs (n, 2) of a photo that can be found and its vector, of these vectors; photos ascend."""

    @abstractmethod
    def vectors_of(self, rows: Rows, model: int) -> Ids:
        """The ids of the vectors of photos that can be found, (n,); -1 for the others."""

    @abstractmethod
    def paths(self, rows: Rows) -> dict[int, bytes]:
        """Where these photos are."""

    @abstractmethod
    def pages(self, vectors: Sequence[int], model: int) -> list[tuple[int, int, bytes]]:
        """Vector, photo and path of the photos that can be found and have one of these vectors, by path."""

    @abstractmethod
    def said(self, rows: Sequence[int]) -> dict[int, Sequence[str]]:
        """What is written about these photos, by column, in the words of those who wrote it."""

    @abstractmethod
    def copied(self, rows: Sequence[int]) -> AbstractContextManager[sqlite3.Connection]:
        """A table ``words`` of FTS5 in memory, of these photos only."""


def _size(lists: Mapping[str, RowSet]) -> int:
    return sum(rows.nbytes for rows in lists.values())


def sums(
    rows: Rows, forms: Sequence[Form], lists: Having, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each row the sum of the weights of what it has, and a bit for each column where it has any; both (n,).

    ``rows`` ascend; ``weights`` are those of the units.
    """
    columns = np.zeros(len(rows), np.int64)
    missing = np.ones((len(weights), len(rows)))  # of each unit, after the columns so far
    for bit, column in enumerate(WORDS):
        own = shares(rows, forms, lists, column, len(weights))
        columns |= (own > 0).any(axis=0).astype(np.int64) << bit
        missing *= 1 - WEIGHTS[column] * own
    return weights @ (1 - missing), columns


def shares(rows: Rows, forms: Sequence[Form], lists: Having, column: str, units: int) -> NDArray[np.float64]:
    """How much of each unit each row, of some that ascend, has in one column: (units, n) in [0, 1]."""
    best, added = np.zeros((units, len(rows))), np.zeros((units, len(rows)))
    for number, form in enumerate(forms):
        if (number, column) in lists:
            [there] = lists[number, column].has(rows).nonzero()
            if form.adds:
                added[form.unit, there] += form.share
            else:
                best[form.unit, there] = np.maximum(best[form.unit, there], form.share)
    return np.maximum(best, added)


def best(forms: Sequence[Form], lists: Having, weights: NDArray[np.float64], count: int) -> Rows:
    """The ``count`` photos with the largest ``sums``, of equal ones the first; all where there are fewer.  Ascending.

    Lists are looked at one after the other, those of the rarest word first, until photos that are in none of them can
    reach no sum that is large enough (Turtle and Flood 1995, Query evaluation: strategies and optimizations: MaxScore).
    """

    def heaviest_first(key: tuple[int, str]) -> tuple[float, int, float]:
        form = forms[key[0]]
        return -float(weights[form.unit]), form.unit, -form.share * WEIGHTS[key[1]]

    order = sorted(lists, key=heaviest_first)
    found, reached = np.zeros(0, np.int32), np.zeros(0)
    least, last = -math.inf, 0
    for turn, key in enumerate(order):
        units = _units(forms, order[turn:], weights)
        most = sum(unit.most for unit in units)
        if len(found) == count and most < least - _EQUAL:
            break
        position, size = 0, max(_CHUNK, count)
        while len(found) < count or most >= least - _EQUAL:
            rows, position = lists[key].after(position, size)
            if not len(rows) or (len(found) == count and most <= least + _EQUAL and rows[0] > last):
                break
            rows, own = _reaching(rows, units, forms, lists, least if len(found) == count else -math.inf)
            new = ~_positions(np.sort(found), rows)[0]  # what is in the lists before this one was looked at with them
            found, reached = np.concatenate([found, rows[new]]), np.concatenate([reached, own[new]])
            if len(found) >= count:
                chosen = np.lexsort((found, -reached))[:count]
                found, reached = found[chosen], reached[chosen]
                least, last = float(reached[-1]), int(found[-1])
            size *= 2
    found.sort()
    return found


@dataclass(frozen=True)
class _Unit:
    """The lists of one unit that are still to be looked at."""

    weight: float
    most: float  # that it adds to a sum
    keys: Mapping[str, Sequence[tuple[int, str]]]  # of a column: its lists


def _units(forms: Sequence[Form], keys: Sequence[tuple[int, str]], weights: NDArray[np.float64]) -> list[_Unit]:
    """Those of these lists, in their order."""
    own: dict[int, dict[str, list[tuple[int, str]]]] = {}
    for key in keys:
        own.setdefault(forms[key[0]].unit, {}).setdefault(key[1], []).append(key)
    units = []
    for unit, of_column in own.items():
        missing = 1.0
        for column, lists in of_column.items():
            added = sum(forms[number].share for number, _ in lists if forms[number].adds)
            missing *= 1 - WEIGHTS[column] * max(added, *(forms[number].share for number, _ in lists))
        units.append(_Unit(float(weights[unit]), float(weights[unit]) * (1 - missing), of_column))
    return units


def _reaching(
    rows: Rows, units: Sequence[_Unit], forms: Sequence[Form], lists: Having, least: float
) -> tuple[Rows, NDArray[np.float64]]:
    """Those of these photos whose sums may reach ``least``, and their sums, rounded, from the lists of these units."""
    total, left = np.zeros(len(rows)), sum(unit.most for unit in units)
    for unit in units:
        missing = np.ones(len(rows))
        for column, keys in unit.keys.items():
            best, added = np.zeros(len(rows)), np.zeros(len(rows))
            for key in keys:
                form, there = forms[key[0]], lists[key].has(rows)
                if form.adds:
                    added[there] += form.share
                else:
                    best[there] = np.maximum(best[there], form.share)
            missing *= 1 - WEIGHTS[column] * np.maximum(best, added)
        total += unit.weight * (1 - missing)
        left -= unit.most
        enough = total + left >= least - _EQUAL
        if not enough.all():
            rows, total = rows[enough], total[enough]
    return rows, np.round(total, 9)
