"""What SQLite does its own way when a library changes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Connection, CursorResult, text
from sqlalchemy.dialects.sqlite import insert

from mmsearch.encoders.protocol import RegionCard
from mmsearch.store.sql.tables import properties
from mmsearch.store.sql.upserts import Upserts
from mmsearch.store.sql.writer import RowWriter
from mmsearch.store.sqlite import fulltext
from mmsearch.store.sqlite.blobs import TableBlobs
from mmsearch.store.types import StoredModel

_UPSERTS = Upserts(insert)
_GROWN = insert(properties).on_conflict_do_update(
    index_elements=["name"], set_={"value": text("CAST(CAST(properties.value AS INTEGER) + 1 AS TEXT)")}
)


def grow(connection: Connection, names: Iterable[str]) -> None:
    """Count up these properties; one that is not there begins with 1."""
    for name in names:
        connection.execute(_GROWN, {"name": name, "value": "1"})


class Writer(RowWriter):
    """The changes of one transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, _UPSERTS, TableBlobs(lambda _: nullcontext(connection)))

    def mend(self, card: RegionCard | None) -> None:
        """Mend what ``integrity.found`` finds."""
        from mmsearch.store.sqlite import integrity

        integrity.mend(self._connection, card)
        self.changed = True

    def _added(self, added: CursorResult[Any], item: int, model: StoredModel) -> int:
        number: int = added.lastrowid if added.rowcount else self._vector(item, model)
        return number

    def _rebuild_words(self, photos: set[int], contents: set[int], items: set[int]) -> None:
        fulltext.rebuild(self._connection, photos, contents, items)
