"""Blobs in the tables of a library's SQLite file: region tokens, in ``regions``, a row an item and model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from mmsearch.store.types import TOKENS, BlobKind

_MODEL = "(SELECT id FROM models WHERE fingerprint = ?)"
_GET = (  # in this order: without statistics SQLite would begin with all regions of the model
    "SELECT embeddings.id, regions.data FROM json_each(?) CROSS JOIN embeddings ON embeddings.id = value "
    "CROSS JOIN regions ON regions.item_id = embeddings.item_id AND regions.model_id = embeddings.model_id "
    f"WHERE embeddings.model_id = {_MODEL} AND regions.fingerprint = ?"
)
_PUT = (
    "INSERT INTO regions (item_id, model_id, fingerprint, data) SELECT item_id, model_id, ?, ? FROM embeddings "
    f"WHERE id = ? AND model_id = {_MODEL} "
    "ON CONFLICT (item_id, model_id) DO UPDATE SET fingerprint = excluded.fingerprint, data = excluded.data"
)
_DELETE = (
    "DELETE FROM regions WHERE fingerprint = ? AND (item_id, model_id) IN (SELECT item_id, model_id "
    f"FROM json_each(?) CROSS JOIN embeddings ON embeddings.id = value WHERE model_id = {_MODEL})"
)


class TableBlobs:
    """The embedded ``BlobStore``; its blobs go with their items and models, by the foreign keys of the table."""

    def __init__(self, transaction: Callable[[bool], AbstractContextManager[Connection]]) -> None:
        """``transaction`` gives a connection, to write with where it is called with True."""
        self._transaction = transaction

    def get(self, kind: BlobKind, ids: Sequence[int]) -> dict[int, bytes]:
        _check(kind)
        with self._transaction(False) as connection:
            rows = connection.exec_driver_sql(_GET, (json.dumps(list(ids)), kind.model, kind.version)).all()
        return dict(tuple(row) for row in rows)

    def put(self, kind: BlobKind, blobs: Mapping[int, bytes]) -> None:
        """Raises KeyError for an id that there is no vector of."""
        _check(kind)
        if not blobs:
            return
        rows = [(kind.version, data, number, kind.model) for number, data in blobs.items()]
        with self._transaction(True) as connection:
            stored = connection.exec_driver_sql(_PUT, rows).rowcount
            if stored != len(rows):
                raise KeyError(f"{len(rows) - stored} of these ids are of no vector of the model {kind.model}")

    def delete(self, kind: BlobKind, ids: Sequence[int]) -> None:
        _check(kind)
        with self._transaction(True) as connection:
            connection.exec_driver_sql(_DELETE, (kind.version, json.dumps(list(ids)), kind.model))


def _check(kind: BlobKind) -> None:
    if kind.name != TOKENS:
        raise ValueError(f"there is no table for blobs of the kind {kind.name!r}")
