"""The words of texts as they are looked up: what the embedded library's FTS5 makes of them.

It is asked itself, on a table in memory, so that both kinds of libraries find the same.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence

from mmsearch.store.sql.tables import WORDS

LONGEST = 400  # characters of a word in the index of PostgreSQL, which takes 2046 bytes; a query has shorter ones
MOST_BYTES = 900_000  # of the different words of a photo there: it takes 1 MiB
# As the last migration of SQLite has it.
_TOKENS = "tokenize = \"porter unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'\""
_EXPRESSION = re.compile(r'"([^"]*)"( \*)?')
LETTERS = dict(zip(WORDS, "ndcot", strict=True))  # before the words of a column, where all columns stand together


class Terms:
    """Takes texts apart.  Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        columns = ", ".join(WORDS)
        self._base.execute(f"CREATE VIRTUAL TABLE texts USING fts5({columns}, content = '', {_TOKENS})")
        self._base.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(texts, instance)")
        self._base.execute(f"CREATE VIRTUAL TABLE words USING fts5({columns}, {_TOKENS})")

    def of(self, rows: Sequence[Sequence[str]]) -> list[dict[str, list[str]]]:
        """Of rows with a stored text for each of ``WORDS`` the words in their order, by column."""
        marks = ", ".join("?" for _ in WORDS)
        found: list[dict[str, list[str]]] = [{name: [] for name in WORDS} for _ in rows]
        with self._lock, self._undone():
            self._base.executemany(
                f"INSERT INTO texts (rowid, {', '.join(WORDS)}) VALUES (?, {marks})",
                [(number, *row) for number, row in enumerate(rows)],
            )
            for row, column, term in self._base.execute("SELECT doc, col, term FROM terms ORDER BY doc, col, offset"):
                found[row][column].append(term)
        return found

    @functools.lru_cache(2048)  # noqa: B019  # one is made for each store, and lives as long
    def phrase(self, expression: str) -> tuple[tuple[str, ...], bool]:
        """The words of an expression of ``words/spelling.py``, and whether the last one may only begin so."""
        found = _EXPRESSION.fullmatch(expression)
        assert found is not None
        first = WORDS[0]
        words = self.of([[found.group(1) if name == first else "" for name in WORDS]])[0][first]
        return tuple(words), found.group(2) is not None

    @contextlib.contextmanager
    def copied(self, rows: Sequence[tuple[int, Sequence[str]]]) -> Iterator[sqlite3.Connection]:
        """A table ``words`` of FTS5 with these photos and their stored texts."""
        marks = ", ".join("?" for _ in WORDS)
        with self._lock, self._undone():
            self._base.executemany(
                f"INSERT INTO words (rowid, {', '.join(WORDS)}) VALUES (?, {marks})",
                [(number, *texts) for number, texts in rows],
            )
            yield self._base

    @contextlib.contextmanager
    def _undone(self) -> Iterator[None]:
        self._base.execute("BEGIN")
        try:
            yield
        finally:
            self._base.rollback()

    def close(self) -> None:
        with self._lock:
            self._base.close()


def lexemes(words: dict[str, list[str]]) -> list[str]:
    """The different words of a photo, each with the letter of its column before it."""
    found = dict.fromkeys(LETTERS[name] + word[:LONGEST] for name, own in words.items() for word in own)
    room = MOST_BYTES
    kept = []
    for one in found:
        room -= len(one.encode()) + 4
        if room < 0:
            break
        kept.append(one)
    return kept


def matching(words: Sequence[str], begins: bool, column: str) -> str:
    """What PostgreSQL is asked of its index: all these words in a column."""
    letter = LETTERS[column]
    return " & ".join(f"'{letter}{word[:LONGEST]}'{':*' if begins and word is words[-1] else ''}" for word in words)


def in_order(words: Sequence[str], begins: bool) -> str:
    """The pattern of LIKE for words beside each other in a column."""
    return f"% {' '.join(words)}{'%' if begins else ' %'}"
