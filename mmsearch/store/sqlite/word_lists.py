"""The lists of FTS5 in one state of a database: which photos have what."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from mmsearch.store.snapshot import Snapshot
from mmsearch.store.sql.photo_rows import IS_FIRST
from mmsearch.store.sql.tables import WORDS
from mmsearch.store.sqlite.fulltext import SAID
from mmsearch.store.words.ranking import Rows, RowSet, WordLists
from mmsearch.types import Ids

LONG = 10_000  # photos up to which those with a word are counted one by one
_WINDOWS, _SHARE = 16, 16  # to estimate how many have a common word: so many stretches of the table, 1/16 of it in all
_STRONG = ("name", "description", "ocr")

_FILES = (
    "SELECT photos.id, embeddings.id FROM json_each(?) CROSS JOIN embeddings ON embeddings.id = value "
    "AND embeddings.model_id = ? CROSS JOIN items ON items.id = embeddings.item_id "
    "CROSS JOIN photos ON photos.content_id = items.content_id "
    # The plus keeps SQLite from taking the index on states.
    f"WHERE {IS_FIRST} AND +photos.state = 'ok' ORDER BY photos.id"
)
_VECTORS = (
    "SELECT photos.id, embeddings.id FROM json_each(?) CROSS JOIN photos ON photos.id = value "
    "CROSS JOIN items ON items.content_id = photos.content_id "
    "CROSS JOIN embeddings ON embeddings.item_id = items.id AND embeddings.model_id = ? "
    f"WHERE {IS_FIRST} AND photos.state = 'ok'"
)
_PATHS = "SELECT photos.id, photos.path FROM json_each(?) CROSS JOIN photos ON photos.id = value"
_PAGES = (
    "SELECT embeddings.id, photos.id, photos.path FROM json_each(?) "
    "CROSS JOIN embeddings ON embeddings.id = value AND embeddings.model_id = ? "
    "CROSS JOIN items ON items.id = embeddings.item_id "
    "CROSS JOIN photos ON photos.content_id = items.content_id "
    "WHERE +photos.state = 'ok' ORDER BY photos.path"  # the plus keeps SQLite from taking the index on states
)


class _Copy(sqlite3.Connection):
    """A database in memory that is closed when a cache forgets it: from Python 3.13 on others are warned of."""

    def __del__(self) -> None:
        self.close()


class Lists(WordLists):
    """Those of a connection."""

    def __init__(self, connection: sqlite3.Connection, cached: Snapshot) -> None:
        super().__init__(cached)
        self.connection = connection
        self.photos = cached.of("photos", lambda: self._number("SELECT coalesce(max(id), 0) FROM photos"))
        self.count = cached.of("files", lambda: self._number("SELECT count(*) FROM photos"))

    def files_of(self, vectors: Ids, model: int) -> Ids:
        pairs = self.connection.execute(_FILES, (json.dumps(vectors.tolist()), model)).fetchall()
        return np.array(pairs, np.int64).reshape(-1, 2)

    def vectors_of(self, rows: Rows, model: int) -> Ids:
        pairs = dict(self.connection.execute(_VECTORS, (json.dumps(rows.tolist()), model)).fetchall())
        return np.array([pairs.get(row, -1) for row in rows.tolist()], np.int64)

    def paths(self, rows: Rows) -> dict[int, bytes]:
        return dict(self.connection.execute(_PATHS, (json.dumps(rows.tolist()),)).fetchall())

    def pages(self, vectors: Sequence[int], model: int) -> list[tuple[int, int, bytes]]:
        asked = json.dumps([int(number) for number in vectors])
        return self.connection.execute(_PAGES, (asked, model)).fetchall()

    def said(self, rows: Sequence[int]) -> dict[int, Sequence[str]]:
        chosen = f"{SAID} WHERE photos.id IN (SELECT value FROM json_each(?))"
        return {row: own for row, _, _, *own in self.connection.execute(chosen, (json.dumps(list(rows)),))}

    @contextmanager
    def copied(self, rows: Sequence[int]) -> Iterator[sqlite3.Connection]:
        """A table ``words`` in memory, of these photos only.

        For a few photos it is far quicker to ask this one than that of all: to look for a word in one column of one row
        FTS5 goes through the rows that follow, and for the beginning of a word it lists all that begin so.
        """
        copy = self.cached.of("copy", self._empty)
        columns = ", ".join(WORDS)
        chosen = f"SELECT rowid, {columns} FROM words WHERE rowid IN (SELECT value FROM json_each(?))"
        copy.execute("BEGIN")
        try:
            copy.executemany(
                f"INSERT INTO words (rowid, {columns}) VALUES (?, ?, ?, ?, ?, ?)",
                self.connection.execute(chosen, (json.dumps(list(rows)),)),
            )
            yield copy
        finally:
            copy.rollback()

    def _empty(self) -> sqlite3.Connection:
        """To make the table takes longer than all that is done with it, so it is made once."""
        [made] = self.connection.execute("SELECT sql FROM sqlite_master WHERE name = 'words'").fetchone()
        copy = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, factory=_Copy)
        copy.execute(made)
        return copy

    def _counted(self, expression: str) -> int:
        capped = f"SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT {LONG + 1})"
        have = self._number(capped, expression)
        if have <= LONG:
            return have
        step = max(self.photos // _WINDOWS, 1)
        count = "SELECT count(*) FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?"
        seen = sum(
            self._number(count, expression, start + 1, start + max(step // _SHARE, 1))
            for start in range(0, step * _WINDOWS, step)
        )
        return min(max(seen * _SHARE, have), self.photos)

    def _read(self, expression: str) -> dict[str, RowSet]:
        strong = len(self._ids(f"{{{' '.join(_STRONG)}}} : {expression}", 1)) > 0
        asked = [column for column in WORDS if strong or column not in _STRONG]
        lists = ((column, self._ids(f"{{{column}}} : {expression}")) for column in asked)
        return {column: RowSet(rows, self.photos) for column, rows in lists if len(rows)}

    def _ids(self, expression: str, limit: int = -1) -> Rows:
        """The photos that have it, ascending; the first ``limit`` of them, or all."""
        # One string instead of a row each: several times faster.
        [joined] = self.connection.execute(
            "SELECT group_concat(rowid) FROM (SELECT rowid FROM words WHERE words MATCH ? LIMIT ?)", (expression, limit)
        ).fetchone()
        return np.fromstring(joined, np.int32, sep=",") if joined else np.zeros(0, np.int32)

    def _number(self, query: str, *values: object) -> int:
        return int(self.connection.execute(query, values).fetchone()[0])
