"""Rows of a library's tables, read from and written to SQLite as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Table, delete

from mmsearch.store.moving import TABLES, Row
from mmsearch.store.sql.table_copy import MOVING, NUMBERED, TableAdder, TableRows, columns_of, largest_id
from mmsearch.store.sql.tables import metadata, properties
from mmsearch.store.sqlite import fulltext
from mmsearch.store.sqlite.writer import grow

_LAST = "SELECT seq FROM sqlite_sequence WHERE name = ?"


class Rows(TableRows):
    """A ``RowSource``."""

    def numbers(self) -> Mapping[str, int]:
        found = {}
        for table in NUMBERED:
            last = self._connection.exec_driver_sql(_LAST, (table,)).scalar()
            found[table] = max(int(last or 0), largest_id(self._connection, table))
        return found

    def _count_of_words(self) -> int:
        return int(self._connection.exec_driver_sql("SELECT count(*) FROM words").scalar_one())

    def _words(self, after: int, most: int) -> list[int]:
        query = "SELECT rowid FROM words WHERE rowid > ? ORDER BY rowid LIMIT ?"
        return list(self._connection.exec_driver_sql(query, (after, most)).scalars())


class Adder(TableAdder):
    """A ``RowTarget``."""

    def clear(self) -> None:
        for table in reversed(TABLES):
            if table != "words":  # rows of it go with those of ``photos``
                self._connection.execute(delete(metadata.tables[table]))
        self._connection.execute(delete(properties).where(properties.c.name == MOVING))

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        names = columns_of(table)
        self._connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows])

    def _write_words(self, photos: list[int]) -> None:
        fulltext.rebuild(self._connection, photos, (), ())

    def _hand_out_behind(self, table: str, number: int) -> None:
        run = self._connection.exec_driver_sql
        if table not in _NEVER_TWICE:  # of the others it is the largest of the table
            return
        if not run("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (number, table)).rowcount:
            run("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))

    def _grow(self, names: Sequence[str]) -> None:
        grow(self._connection, names)


_NEVER_TWICE = [name for name in NUMBERED if metadata.tables[name].dialect_options["sqlite"]["autoincrement"]]
