"""Vectors, region tokens and hashes of looks, by the ids of vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import size, unpack
from mmsearch.media.dhash import Hashes, as_numbers
from mmsearch.store.sqlite.connection import Database
from mmsearch.store.sqlite.tables import contents, embeddings, items, regions
from mmsearch.store.types import StoredModel, chunks
from mmsearch.types import Ids, Regions, Vectors


class VectorRows(Database):
    """What is stored of pictures in numbers."""

    def vectors(self, ids: Ids, dim: int) -> Vectors:
        """The stored vectors of ``ids``, in their order, (n, dim) float32.  Raises KeyError for an unknown id."""
        found: dict[int, bytes] = {}
        with self._reading() as connection:
            for chunk in chunks(ids.tolist()):
                query = select(embeddings.c.id, embeddings.c.vector).where(embeddings.c.id.in_(chunk))
                found.update((number, vector) for number, vector in connection.execute(query))
        joined = b"".join(found[number] for number in ids.tolist())
        return np.frombuffer(joined, "<f2").reshape(len(ids), dim).astype(np.float32)

    def hashes(self, ids: Ids) -> tuple[Hashes, NDArray[np.bool_]]:
        """The difference hashes of the pictures with these vector ids, in their order, and which of them there are."""
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

    def regions(self, ids: Ids, model: StoredModel, card: RegionCard) -> tuple[Regions, NDArray[np.bool_]]:
        """The region tokens of the pictures with these vector ids, in their order, and which of them there are.

        (n, side * side, dim) float32 and (n,); where there are none of this card, zeros and False.  Raises LibraryError
        for damaged ones.
        """
        # A subquery, not a join: without statistics SQLite would begin a join with all regions of the model.
        data = select(regions.c.data).where(
            regions.c.item_id == embeddings.c.item_id,
            regions.c.model_id == model.id,
            regions.c.fingerprint == card.fingerprint,
        )
        query = select(embeddings.c.id, data.scalar_subquery()).where(embeddings.c.model_id == model.id)
        found: dict[int, bytes] = {}
        with self._reading() as connection:
            for chunk in chunks(ids.tolist()):
                rows = connection.execute(query.where(embeddings.c.id.in_(chunk)))
                found.update((number, blob) for number, blob in rows if blob is not None)
        absent = bytes(size(card.side**2, card.dim))
        existing = np.array([number in found for number in ids.tolist()], np.bool_)
        blobs = [found.get(number, absent) for number in ids.tolist()]
        return unpack(blobs, card.side**2, card.dim), existing
