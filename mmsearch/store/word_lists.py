"""Which photos have a word in which column, and how rare it is: what ``words.py`` asks of FTS5."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from mmsearch.records import Ids
from mmsearch.store.tables import WORDS

# What a word counts for by where it is.  People wrote names, descriptions and what can be read in a picture; tags and
# captions are guesses of a model.
WEIGHTS = {"name": 1.0, "description": 1.0, "ocr": 1.0, "tags": 0.7, "caption": 0.4}
FEW = 20  # photos; in a larger library a word that more than half of the photos have says nothing
LONG = 10_000  # photos with a word in one column, above which not all of them are listed where that can be avoided
_WINDOWS, _SHARE = 16, 16  # to estimate how many have a common word: so many stretches of the table, 1/16 of it in all
_STRONG = "name description ocr"


@dataclass(frozen=True)
class Form:
    """One way in which a unit of a query is written: all that stands between two spaces, a word or IMG_2041."""

    unit: int
    expression: str  # of FTS5: a word or a phrase, perhaps only its beginning
    share: float  # of the unit's weight
    adds: bool = False  # the shares of such forms add up; of the others the best one counts


class Rarity:
    """How rare words are among the photos of a library."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.photos = int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM photos").scalar_one())

    def of(self, expression: str) -> float:
        """The weight of a word or phrase; 0 where it says nothing, because most photos have it."""
        have = self._frequency(expression)
        return 0.0 if self.photos >= FEW and have > self.photos / 2 else self.of_count(have)

    def above_zero(self, expression: str) -> float:
        """The same, but above 0."""
        return self.of_count(self._frequency(expression))

    def of_count(self, have: int) -> float:
        """The logarithm of how many photos there are for each that has it: idf of BM25, in Lucene's form, above 0."""
        return math.log(1 + (max(self.photos - have, 0) + 0.5) / (have + 0.5))

    def _frequency(self, expression: str) -> int:
        """How many photos have it: counted up to ``LONG``, above estimated to a few percent."""
        count = "SELECT count(*) FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?"
        capped = f"SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT {LONG + 1})"
        have = int(self._connection.exec_driver_sql(capped, (expression,)).scalar_one())
        if have <= LONG:
            return have
        step = max(self.photos // _WINDOWS, 1)
        seen = sum(
            int(
                self._connection.exec_driver_sql(
                    count, (expression, start + 1, start + max(step // _SHARE, 1))
                ).scalar_one()
            )
            for start in range(0, step * _WINDOWS, step)
        )
        return min(max(seen * _SHARE, have), self.photos)


class Lists:
    """The lists of FTS5: which photos have what."""

    def __init__(self, connection: Connection | sqlite3.Connection) -> None:
        self._execute: Callable[[str, tuple[Any, ...]], Any] = (
            connection.execute if isinstance(connection, sqlite3.Connection) else connection.exec_driver_sql
        )

    def of(self, forms: Sequence[Form], limit: int | None = None) -> dict[tuple[int, str], Ids]:
        """(form, column) -> the photos that have it there, ascending; without ``limit``, all of them.

        With ``limit``, lists longer than LONG are cut to the photos in any of the shorter lists, and where those are
        fewer than ``limit``, some that have several of the common words, then some that have one.
        """
        found: dict[tuple[int, str], Ids] = {}
        long: list[tuple[int, str]] = []
        for number, form in enumerate(forms):
            strong = len(self._ids(f"{{{_STRONG}}} : {form.expression}", 1)) > 0
            for column in WORDS:
                if not strong and column in _STRONG.split():
                    continue
                ids = self._ids(_in(column, form), None if limit is None else LONG + 1)
                if limit is not None and len(ids) > LONG:
                    long.append((number, column))
                elif len(ids):
                    found[number, column] = ids
        if limit is None or not long:
            return found
        have = len(merged(found.values()))
        scopes = {(number, column): _in(column, forms[number]) for number, column in [*found, *long]}
        short = " OR ".join(scopes[key] for key in found)
        units: dict[int, list[str]] = {}
        for number, column in long:
            units.setdefault(forms[number].unit, []).append(scopes[number, column])
        sources = [" AND ".join(f"({' OR '.join(own)})" for own in units.values())] if len(units) > 1 else []
        sources += [scopes[key] for key in sorted(long, key=lambda key: -forms[key[0]].share * WEIGHTS[key[1]])]
        if short:
            self._complete(found, long, scopes, short, None)
        for source in sources:
            if have >= limit:
                break
            some = self._ids(source, limit)
            if len(some):
                self._complete(found, long, scopes, source, int(some[-1]))
                have = len(merged(found.values()))
        return found

    def _complete(
        self,
        found: dict[tuple[int, str], Ids],
        long: Sequence[tuple[int, str]],
        scopes: Mapping[tuple[int, str], str],
        source: str,
        last: int | None,
    ) -> None:
        """Which of the photos that have ``source`` are in the long lists."""
        for key in long:
            some = self._ids(f"({scopes[key]}) AND ({source})", None, last)
            found[key] = merged([found[key], some]) if key in found else some

    def _ids(self, expression: str, limit: int | None = None, last: int | None = None) -> Ids:
        """The photos that have it, ascending; the first ``limit`` of them, or those up to ``last``."""
        # One string instead of a row each: several times faster.
        [joined] = self._execute(
            "SELECT group_concat(rowid) FROM (SELECT rowid FROM words WHERE words MATCH ? AND rowid <= ? LIMIT ?)",
            (expression, 2**62 if last is None else last, -1 if limit is None else limit),
        ).fetchone()
        return np.fromstring(joined, np.int64, sep=",") if joined else np.zeros(0, np.int64)


@contextmanager
def copied(connection: Connection, numbers: Ids) -> Iterator[sqlite3.Connection]:
    """A table ``words`` in memory, of the photos with these vectors only.

    For a few photos it is far quicker to ask this one than that of all: to look for a word in one column of one row
    FTS5 goes through the rows that follow, and for the beginning of a word it lists all that begin so.
    """
    chosen = connection.exec_driver_sql(
        f"SELECT rowid, {', '.join(WORDS)} FROM words WHERE rowid IN (SELECT photos.id FROM json_each(?) "
        "CROSS JOIN embeddings ON embeddings.id = value "
        "CROSS JOIN photos ON photos.content_id = embeddings.content_id)",
        (json.dumps(numbers.tolist()),),
    )
    made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'words'").scalar_one()
    with closing(sqlite3.connect(":memory:")) as copy:
        copy.execute(made)
        columns = ", ".join(WORDS)
        copy.executemany(f"INSERT INTO words (rowid, {columns}) VALUES (?, ?, ?, ?, ?, ?)", map(tuple, chosen))
        yield copy


def merged(lists: Iterable[Ids]) -> Ids:
    """All that is in any of the lists, once, ascending.  (np.unique is ten times slower on lists that are in order.)"""
    joined = np.concatenate([np.zeros(0, np.int64), *lists])
    joined.sort(kind="stable")
    found: Ids = joined[np.concatenate([[True], joined[1:] != joined[:-1]])[: len(joined)]]
    return found


def _in(column: str, form: Form) -> str:
    return f"{{{column}}} : {form.expression}"
