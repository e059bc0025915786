"""Rows of a library's tables read and written as they are, for ``store/moving.py``; engines add how they write quickly.

Region tokens go through the ``BlobStore``, so that it does not matter where that keeps them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, Table, delete, func, select, tuple_, update
from sqlalchemy.exc import DataError, IntegrityError

from mmsearch.errors import LibraryError
from mmsearch.store.moving import TABLES, CopyState, Key, Row
from mmsearch.store.sql.tables import embeddings, metadata, models, properties, regions
from mmsearch.store.types import TOKENS, BlobKind, chunks

if TYPE_CHECKING:
    from mmsearch.store.blob_store import BlobStore, BlobTaker

MOVING = "moving"  # the property that says how far a copy is
NUMBERED = ("roots", "models", "contents", "photos", "items", "embeddings")  # tables whose ids are handed out
_STAMPED = ("identity", "generation", "noted", "changes")
# A row of region tokens, with what the blob store calls them by in place of the column.
_TOKENS = (
    select(regions.c.item_id, regions.c.model_id, regions.c.fingerprint, models.c.fingerprint, embeddings.c.id)
    .join(models, models.c.id == regions.c.model_id)
    .join(embeddings, (embeddings.c.item_id == regions.c.item_id) & (embeddings.c.model_id == regions.c.model_id))
)
# What the blob store calls the tokens of an item and model by.
_VECTORS = select(embeddings.c.item_id, embeddings.c.model_id, models.c.fingerprint, embeddings.c.id).join(
    models, models.c.id == embeddings.c.model_id
)


def columns_of(table: Table) -> list[str]:
    """The names of the values of a row, in their order."""
    return [column.name for column in table.columns]


def _keys(table: Table) -> list[int]:
    """Where in a row the values of the key stand."""
    return [place for place, column in enumerate(table.columns) if column.primary_key]


class TableRows(ABC):
    """A ``RowSource`` on a connection that sees one state."""

    def __init__(self, connection: Connection, blobs: BlobStore, place: str) -> None:
        """``place`` is where the library is, for errors."""
        self._connection, self._blobs, self._place = connection, blobs, place

    def state(self) -> CopyState | None:
        return _state(self._connection, self._place)

    def stamp(self) -> str:
        rows = self._connection.execute(select(properties.c.name, properties.c.value)).all()
        known = {name: value for name, value in rows}  # noqa: C416  # rows are no pairs for ``dict``
        version = self._connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return json.dumps([version, *(known.get(name, "") for name in _STAMPED)])

    def count(self, table: str) -> int:
        if table == "words":
            return self._count_of_words()
        rows = _TOKENS.subquery() if table == "regions" else metadata.tables[table]
        return int(self._connection.execute(select(func.count()).select_from(rows)).scalar_one())

    def page(self, table: str, after: Key | None, most: int) -> tuple[list[Row], Key | None]:
        if table == "words":
            ids = self._words(-(2**63) if after is None else after[0], most)
            return [(number,) for number in ids], (ids[-1],) if ids else None
        own = metadata.tables[table]
        query = _TOKENS if table == "regions" else select(own)
        found = [tuple(row) for row in self._connection.execute(_behind(query, own, after, most))]
        key = tuple(found[-1][place] for place in _keys(own)) if found else None
        return (self._with_tokens(found) if table == "regions" else found), key

    def _with_tokens(self, found: list[Row]) -> list[Row]:
        """The rows of ``regions`` with their bytes; those whose blob is lost are left out."""
        rows = []
        for kind, own in _by_kind(found).items():
            blobs = self._blobs.get(kind, [row[4] for row in own])
            rows += [(*row[:3], blobs[row[4]]) for row in own if row[4] in blobs]
        return sorted(rows, key=lambda row: row[:2])

    def active(self) -> int | None:
        number: int | None = self._connection.execute(select(models.c.id).where(models.c.active)).scalar()
        return number

    @abstractmethod
    def numbers(self) -> Mapping[str, int]: ...

    @abstractmethod
    def _count_of_words(self) -> int: ...

    @abstractmethod
    def _words(self, after: int, most: int) -> list[int]:
        """The ids of the photos that full-text search has a row of."""


def _behind(query: Select[Any], table: Table, after: Key | None, most: int) -> Select[Any]:
    key = list(table.primary_key.columns)
    if after is not None and len(key) == 1:
        query = query.where(key[0] > after[0])
    elif after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    return query.order_by(*key).limit(most)


def _by_kind(found: Iterable[Row]) -> dict[BlobKind, list[Row]]:
    """Rows of ``_TOKENS`` by the kind of their blobs."""
    kinds: dict[BlobKind, list[Row]] = {}
    for row in found:
        kinds.setdefault(BlobKind(TOKENS, row[3], row[2]), []).append(row)
    return kinds


def _state(connection: Connection, place: str) -> CopyState | None:
    """Raises LibraryError for what cannot be read."""
    text = connection.execute(select(properties.c.value).where(properties.c.name == MOVING)).scalar()
    try:
        return None if text is None else CopyState.of_json(text)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise LibraryError(
            f"the library {place} does not say how far the copy is that was begun in it; copy into an empty one",
            code="bad-copy",
        ) from error


class TableAdder(ABC):
    """A ``RowTarget`` on the connection of a transaction."""

    def __init__(self, connection: Connection, blobs: BlobTaker, place: str) -> None:
        """``place`` is where the library is, for errors."""
        self._connection, self._blobs, self._place = connection, blobs, place

    def state(self) -> CopyState | None:
        return _state(self._connection, self._place)

    def changes(self) -> int:
        query = select(properties.c.value).where(properties.c.name == "changes")
        return int(self._connection.execute(query).scalar() or 0)

    def is_empty(self) -> bool:
        tables = [metadata.tables[name] for name in TABLES if name != "words"]
        return all(self._connection.execute(select(one).limit(1)).first() is None for one in tables)

    def add(self, table: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        try:
            if table == "words":
                self._write_words([row[0] for row in rows])
            elif table == "regions":
                self._add_tokens(rows)
            else:
                own = metadata.tables[table]
                if table == "models":  # none is searched with before all is there
                    place = columns_of(own).index("active")
                    rows = [(*row[:place], False, *row[place + 1 :]) for row in rows]
                self._insert(own, rows)
        except (IntegrityError, DataError, KeyError) as error:
            reason = str(error if isinstance(error, KeyError) else error.orig).partition("\n")[0]
            raise LibraryError(
                f"rows of the table {table!r} do not fit into the library {self._place}: {reason}; verify the library "
                "that is copied, and repair it",
                code="unfit-rows",
            ) from error

    def _add_tokens(self, rows: Sequence[Row]) -> None:
        names: dict[Key, tuple[str, int]] = {}
        for some in chunks(sorted({row[0] for row in rows})):
            known = self._connection.execute(_VECTORS.where(embeddings.c.item_id.in_(some)))
            names.update(((item, model), (fingerprint, number)) for item, model, fingerprint, number in known)
        named = [(*row, *names[row[0], row[1]]) for row in rows]  # item, model, version, data, fingerprint, vector
        for kind, own in _by_kind((*row[:3], row[4], row[5], row[3]) for row in named).items():
            self._blobs.put(kind, {row[4]: row[5] for row in own})

    def finish(self, active: int | None, numbers: Mapping[str, int]) -> None:
        self._connection.execute(update(models).values(active=models.c.id == (-1 if active is None else active)))
        for table, number in numbers.items():
            if number > 0:
                self._hand_out_behind(table, number)

    def note(self, state: CopyState) -> None:
        self._grow(("changes", "generation", "noted"))
        noted = CopyState(**{**vars(state), "changes": self.changes()})
        self._connection.execute(delete(properties).where(properties.c.name == MOVING))
        self._connection.execute(properties.insert(), {"name": MOVING, "value": noted.to_json()})

    @abstractmethod
    def clear(self) -> None: ...

    @abstractmethod
    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Raises IntegrityError or DataError of SQLAlchemy."""

    @abstractmethod
    def _write_words(self, photos: list[int]) -> None: ...

    @abstractmethod
    def _hand_out_behind(self, table: str, number: int) -> None:
        """The next id of this table is a later one."""

    @abstractmethod
    def _grow(self, names: Sequence[str]) -> None:
        """Count up these properties."""


def largest_id(connection: Connection, table: str) -> int:
    """The largest id that a row has; 0 where there is none."""
    largest = func.coalesce(func.max(metadata.tables[table].c.id), 0)
    return int(connection.execute(select(largest)).scalar_one())
