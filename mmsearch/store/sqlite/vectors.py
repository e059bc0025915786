"""Vectors, region tokens and hashes of looks, by the ids of vectors."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from mmsearch.media.dhash import Hashes, as_numbers
from mmsearch.store.sql.tables import contents, embeddings, items
from mmsearch.store.sqlite.connection import Database
from mmsearch.store.types import StoredModel, chunks
from mmsearch.types import Ids, Vectors

_OF_MODEL = (
    "SELECT own.id, other.id FROM json_each(?) CROSS JOIN embeddings AS own ON own.id = value "
    "CROSS JOIN embeddings AS other ON other.item_id = own.item_id AND other.model_id = ?"
)


class VectorRows(Database):
    """What is stored of pictures in numbers."""

    def vectors(self, ids: Ids, dim: int) -> Vectors:
        found: dict[int, bytes] = {}
        with self._reading() as connection:
            for chunk in chunks(ids.tolist()):
                query = select(embeddings.c.id, embeddings.c.vector).where(embeddings.c.id.in_(chunk))
                found.update((number, vector) for number, vector in connection.execute(query))
        nothing = bytes(2 * dim)  # of sound
        joined = b"".join(found[number] or nothing for number in ids.tolist())
        return np.frombuffer(joined, "<f2").reshape(len(ids), dim).astype(np.float32)

    def of_model(self, ids: Ids, model: StoredModel) -> Ids:
        with self._reading() as connection:
            rows = connection.exec_driver_sql(_OF_MODEL, (json.dumps(ids.tolist()), model.id)).all()
        others = {own: number for own, number in rows}  # noqa: C416  # rows are no pairs for ``dict``
        return np.array([others.get(number, -1) for number in ids.tolist()], np.int64)

    def hashes(self, ids: Ids) -> tuple[Hashes, NDArray[np.bool_]]:
        query = (
            select(embeddings.c.id, contents.c.dhash)
            .join(items, items.c.id == embeddings.c.item_id)
            .join(contents, contents.c.id == items.c.content_id)
        )
        found: dict[int, bytes | None] = {}
        with self._reading() as connection:
            for chunk in chunks(ids.tolist()):
                rows = connection.execute(query.where(embeddings.c.id.in_(chunk)))
                found.update((number, one) for number, one in rows)
        return as_numbers([found.get(number) for number in ids.tolist()])
