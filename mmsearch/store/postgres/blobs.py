"""Blobs in a table of PostgreSQL: region tokens, in ``regions``, a row an item and model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from mmsearch.store.types import TOKENS, BlobKind

_MODEL = "(SELECT id FROM models WHERE fingerprint = %s)"
_GET = (
    "SELECT embeddings.id, regions.data FROM embeddings "
    "JOIN regions ON regions.item_id = embeddings.item_id AND regions.model_id = embeddings.model_id "
    f"WHERE embeddings.id = ANY(%s::bigint[]) AND embeddings.model_id = {_MODEL} AND regions.fingerprint = %s"
)
PUT = (
    "INSERT INTO regions (item_id, model_id, fingerprint, data) SELECT item_id, model_id, %s, new.data "
    "FROM unnest(%s::bigint[], %s::bytea[]) AS new (id, data) JOIN embeddings ON embeddings.id = new.id "
    f"WHERE model_id = {_MODEL} "
    "ON CONFLICT (item_id, model_id) DO UPDATE SET fingerprint = excluded.fingerprint, data = excluded.data"
)
_DELETE = (
    "DELETE FROM regions USING embeddings WHERE regions.item_id = embeddings.item_id "
    "AND regions.model_id = embeddings.model_id AND regions.fingerprint = %s "
    f"AND embeddings.id = ANY(%s::bigint[]) AND embeddings.model_id = {_MODEL}"
)


class TableBlobs:
    """A ``BlobStore``; its blobs go with their items and models, by the foreign keys of the table."""

    def __init__(self, transaction: Callable[[bool], AbstractContextManager[Connection]]) -> None:
        """``transaction`` gives a connection, to write with where it is called with True."""
        self._transaction = transaction

    def get(self, kind: BlobKind, ids: Sequence[int]) -> dict[int, bytes]:
        check(kind)
        with self._transaction(False) as connection:
            rows = connection.exec_driver_sql(_GET, (list(map(int, ids)), kind.model, kind.version)).all()
        return {number: data for number, data in rows}  # noqa: C416  # rows are no pairs for ``dict``

    def put(self, kind: BlobKind, blobs: Mapping[int, bytes]) -> None:
        """Raises KeyError for an id that there is no vector of."""
        check(kind)
        if not blobs:
            return
        with self._transaction(True) as connection:
            values = (kind.version, list(map(int, blobs)), list(blobs.values()), kind.model)
            stored = connection.exec_driver_sql(PUT, values).rowcount
            if stored != len(blobs):
                raise KeyError(f"{len(blobs) - stored} of these ids are of no vector of the model {kind.model}")

    def delete(self, kind: BlobKind, ids: Sequence[int]) -> None:
        check(kind)
        with self._transaction(True) as connection:
            connection.exec_driver_sql(_DELETE, (kind.version, list(map(int, ids)), kind.model))


def check(kind: BlobKind) -> None:
    """Raises ValueError for a kind that is not stored."""
    if kind.name != TOKENS:
        raise ValueError(f"there is no table for blobs of the kind {kind.name!r}")
