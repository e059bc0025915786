"""What PostgreSQL does its own way when a library changes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from mmsearch.errors import LibraryError
from mmsearch.store.postgres import fulltext
from mmsearch.store.postgres.blobs import TableBlobs
from mmsearch.store.postgres.packs import PackWriter
from mmsearch.store.postgres.terms import Terms
from mmsearch.store.sql.upserts import Upserts
from mmsearch.store.sql.writer import RowWriter
from mmsearch.store.types import StoredModel

WIDEST = 16_000  # dimensions of pgvector's halfvec
_UPSERTS = Upserts(insert)
_GROWN = (
    "INSERT INTO properties (name, value) SELECT unnest(%s::text[]), '1' "
    "ON CONFLICT (name) DO UPDATE SET value = (properties.value::bigint + 1)::text"
)


def grow(connection: Connection, names: Iterable[str]) -> None:
    """Count up these properties; one that is not there begins with 1."""
    connection.exec_driver_sql(_GROWN, (list(names),))


class Writer(RowWriter):
    """The changes of one transaction."""

    def __init__(self, connection: Connection, terms: Terms, packs: PackWriter | None = None) -> None:
        """``packs`` take the region tokens, if they are not in a table."""
        super().__init__(connection, _UPSERTS, packs or TableBlobs(lambda _: nullcontext(connection)))
        self._terms, self._packs = terms, packs

    def upload(self) -> None:
        """Bring the region tokens to where they belong, as the last that is done before the commit."""
        if self._packs is not None:
            self._packs.finish()

    def add_model(self, name: str, fingerprint: str, dim: int, active: bool) -> StoredModel:
        """Raises LibraryError for more dimensions than pgvector has."""
        if dim > WIDEST:
            raise LibraryError(f"{name} makes vectors of {dim} dimensions; a library in PostgreSQL takes {WIDEST}")
        return super().add_model(name, fingerprint, dim, active)

    def _rebuild_words(self, photos: set[int], contents: set[int], items: set[int]) -> None:
        fulltext.rebuild(self._connection, self._terms, photos, contents, items)
