"""Rows of a library's tables, read from and written to PostgreSQL as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import Boolean, Column, Connection, Float, LargeBinary, String, Table
from sqlalchemy.exc import DataError, IntegrityError

from mmsearch.errors import LibraryError
from mmsearch.store.blob_store import BlobTaker
from mmsearch.store.moving import TABLES, Row
from mmsearch.store.postgres import fulltext
from mmsearch.store.postgres.terms import Terms
from mmsearch.store.postgres.writer import WIDEST, grow
from mmsearch.store.sql.dialect import Float16Vector
from mmsearch.store.sql.table_copy import MOVING, NUMBERED, TableAdder, TableRows, columns_of

_SEQUENCE = "SELECT pg_get_serial_sequence(quote_ident(%s), 'id')"


class Rows(TableRows):
    """A ``RowSource``."""

    def numbers(self) -> Mapping[str, int]:
        run, found = self._connection.exec_driver_sql, {}
        for table in NUMBERED:
            sequence = run(_SEQUENCE, (table,)).scalar_one()
            last = run(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}").scalar_one()
            found[table] = int(last)
        return found

    def _count_of_words(self) -> int:
        return int(self._connection.exec_driver_sql("SELECT count(*) FROM words").scalar_one())

    def _words(self, after: int, most: int) -> list[int]:
        query = "SELECT photo_id FROM words WHERE photo_id > %s ORDER BY photo_id LIMIT %s"
        return list(self._connection.exec_driver_sql(query, (after, most)).scalars())


class Adder(TableAdder):
    """A ``RowTarget``."""

    def __init__(self, connection: Connection, blobs: BlobTaker, place: str, terms: Terms) -> None:
        super().__init__(connection, blobs, place)
        self._terms = terms

    def clear(self) -> None:
        places = self._connection.exec_driver_sql("SELECT to_regclass('blob_places')::text").scalar()
        self._connection.exec_driver_sql(f"TRUNCATE {', '.join([*TABLES, *([places] if places else [])])}")
        self._connection.exec_driver_sql("DELETE FROM properties WHERE name = %s", (MOVING,))

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        if table.name == "models":
            widest = max(row[columns_of(table).index("dim")] for row in rows)
            if widest > WIDEST:
                raise LibraryError(
                    f"the library has vectors of {widest} dimensions; a library in PostgreSQL takes {WIDEST}"
                )
        names = ", ".join(f'"{name}"' for name in columns_of(table))
        ways = [_way(column) for column in table.columns]
        statement = f"COPY {table.name} ({names}) FROM STDIN WITH (FORMAT BINARY)"
        try:
            with self._connection.connection.cursor().copy(statement) as copy:
                copy.set_types([kind for kind, _ in ways])
                for row in rows:
                    given = zip(row, ways, strict=True)
                    copy.write_row([None if value is None else made(value) for value, (_, made) in given])
        except psycopg.IntegrityError as error:
            raise IntegrityError(statement, None, error) from error
        except psycopg.DataError as error:
            raise DataError(statement, None, error) from error

    def _write_words(self, photos: list[int]) -> None:
        fulltext.rebuild(self._connection, self._terms, photos, (), ())

    def _hand_out_behind(self, table: str, number: int) -> None:
        self._connection.exec_driver_sql(f"SELECT setval(({_SEQUENCE}), %s)", (table, number))

    def _grow(self, names: Sequence[str]) -> None:
        grow(self._connection, names)


def _way(column: Column[Any]) -> tuple[str, Callable[[Any], Any]]:
    """The server's type of a column, and what makes a value of it: SQLite takes any value in any column."""
    if column.type is Float16Vector:
        return "halfvec", _half
    for kind, name, made in _WAYS:
        if isinstance(column.type, kind):
            return name, made
    return "int8", int


def _half(vector: bytes) -> Any:
    from pgvector import HalfVector

    return HalfVector(np.frombuffer(vector, "<f2")) if vector else None  # of sound there is none


def _text(value: Any) -> str:
    return str(value).replace("\0", "")  # which PostgreSQL does not store


_WAYS: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (LargeBinary, "bytea", bytes),
    (String, "text", _text),
    (Float, "float8", float),
    (Boolean, "bool", bool),
)
