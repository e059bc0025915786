"""Which items a query finds, and the files that a hit shows."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, LargeBinary, func, literal_column, select

from mmsearch.media.dhash import Hashes, as_numbers
from mmsearch.query.model import Condition, Order
from mmsearch.store.kept_map import LastMap
from mmsearch.store.postgres.conditions import KNOWN, among, camera_clock, file_clock
from mmsearch.store.postgres.connection import Database
from mmsearch.store.postgres.filtering import Filtering
from mmsearch.store.postgres.fulltext import Lists
from mmsearch.store.postgres.terms import Terms
from mmsearch.store.sql.photo_rows import PHOTO, of_shot, photo_of
from mmsearch.store.sql.tables import embeddings, items, photos
from mmsearch.store.types import FacetCounts, Overview, StoredModel, WordHit
from mmsearch.store.words import finding
from mmsearch.types import Ids, Photo, Vectors

AT_ONCE = 5000  # vectors that are read together

_TAGS = "(SELECT json_agg(json_build_array(-score, tag))::text FROM tags WHERE tags.item_id = items.id) AS tags"
_OWN_TAGS = "(SELECT json_agg(tag)::text FROM own_tags WHERE own_tags.photo_id = photos.id) AS own_tags"
_PHOTOS = f"""
SELECT {PHOTO}, {_TAGS}, {_OWN_TAGS} FROM embeddings
    JOIN items ON items.id = embeddings.item_id
    JOIN contents ON contents.id = items.content_id
    JOIN photos ON photos.content_id = contents.id
    LEFT JOIN captions ON captions.item_id = items.id
    LEFT JOIN sidecars ON sidecars.photo_id = photos.id
    LEFT JOIN ocr ON ocr.item_id = items.id
WHERE embeddings.id = ANY(%s::bigint[]) AND photos.state = 'ok'
ORDER BY photos.path
"""
# The vectors of the first items of files that have one, by the ids of the files: a lost vector is made again only when
# the file is indexed.
_VECTORS_OF = """
SELECT DISTINCT ON (photos.id) embeddings.id FROM photos
    JOIN items ON items.content_id = photos.content_id
    JOIN embeddings ON embeddings.item_id = items.id AND embeddings.model_id = %s
WHERE photos.id = ANY(%s::bigint[])
ORDER BY photos.id, items.part
"""
# "/" follows "." in ASCII: what begins with the stem and a dot.
_BESIDE = """
SELECT DISTINCT ON (photos.id, embeddings.model_id) embeddings.id FROM photos
    JOIN items ON items.content_id = photos.content_id
    JOIN embeddings ON embeddings.item_id = items.id
WHERE photos.path >= %s AND photos.path < %s AND photos.path != %s AND photos.state = 'ok'
ORDER BY photos.id, embeddings.model_id, items.part
"""
# Of any folder: few files have the same one.
_IDENTIFIED = """
SELECT DISTINCT ON (photos.id, embeddings.model_id) embeddings.id FROM photos AS own
    JOIN contents AS its ON its.id = own.content_id
    JOIN contents ON contents.content_identifier = its.content_identifier
    JOIN photos ON photos.content_id = contents.id
    JOIN items ON items.content_id = contents.id
    JOIN embeddings ON embeddings.item_id = items.id
WHERE own.path = %s AND photos.id != own.id AND photos.state = 'ok'
ORDER BY photos.id, embeddings.model_id, items.part
"""
_OF_MODEL = (
    "SELECT own.id, other.id FROM embeddings AS own JOIN embeddings AS other ON other.item_id = own.item_id "
    "WHERE own.id = ANY(%s::bigint[]) AND other.model_id = %s"
)
_HASHES = (
    "SELECT embeddings.id, contents.dhash FROM embeddings JOIN items ON items.id = embeddings.item_id "
    "JOIN contents ON contents.id = items.content_id WHERE embeddings.id = ANY(%s::bigint[])"
)

_FILE_NAME = literal_column("(SELECT file_name FROM words WHERE words.photo_id = photos.id)", LargeBinary)


class Items(Database):
    """Items by the ids of their vectors."""

    _terms: Terms
    _last_map: LastMap  # on this machine

    def searchable(self, model: StoredModel, within: Sequence[str] = (), conditions: Sequence[Condition] = ()) -> Ids:
        with self._kept(self._filters) as (connection, cached):
            return Filtering(connection, cached, self._last_map).vectors(model.id, within, conditions)

    def photos(
        self, ids: Sequence[int], within: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> dict[int, list[Photo]]:
        with self._reading() as connection:
            asked = [int(number) for number in ids]
            rows = connection.exec_driver_sql(_PHOTOS, (asked,)).mappings().all()
        if within or conditions:
            with self._kept(self._filters) as (connection, cached):
                numbers = np.array([row["id"] for row in rows], np.int64)
                meeting = Filtering(connection, cached, self._last_map).meeting(numbers, within, conditions)
            rows = [row for row in rows if row["id"] in meeting]
        found: dict[int, list[Photo]] = {}
        for row in rows:
            found.setdefault(row["vector"], []).append(photo_of(row))
        return found

    def photos_by_id(self, ids: Sequence[int], model: StoredModel) -> dict[int, Photo]:
        with self._reading() as connection:
            asked = [int(number) for number in ids]
            vectors = list(connection.exec_driver_sql(_VECTORS_OF, (model.id, asked)).scalars())
        files = {photo.id: photo for own in self.photos(vectors).values() for photo in own}
        return {number: files[number] for number in ids if number in files}

    def facets(
        self,
        model: StoredModel,
        within: Sequence[str] = (),
        conditions: Sequence[Condition] = (),
        photos: Ids | None = None,
        most: int = 50,
    ) -> FacetCounts:
        with self._kept(self._filters) as (connection, cached):
            return Filtering(connection, cached, self._last_map).facets(model.id, photos, within, conditions, most)

    def overview(
        self,
        model: StoredModel,
        within: Sequence[str] = (),
        conditions: Sequence[Condition] = (),
        photos: Ids | None = None,
    ) -> Overview:
        with self._kept(self._filters) as (connection, cached):
            return Filtering(connection, cached, self._last_map).overview(model.id, photos, within, conditions)

    def beside(
        self, paths: Sequence[str], within: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> dict[str, list[Photo]]:
        vectors: dict[str, list[int]] = {}
        with self._reading() as connection:
            for path in paths:
                stem = os.fsencode(os.path.splitext(path)[0])
                found = connection.exec_driver_sql(_BESIDE, (stem + b".", stem + b"/", os.fsencode(path))).scalars()
                own = [*found, *connection.exec_driver_sql(_IDENTIFIED, (os.fsencode(path),)).scalars()]
                if own:
                    vectors[path] = own
        if not vectors:
            return {}
        photos = self.photos(list({number for ids in vectors.values() for number in ids}), within, conditions)
        others = {}
        for path, ids in vectors.items():
            same = of_shot(path, {photo.path: photo for number in ids for photo in photos.get(number, ())})
            if same:
                others[path] = same
        return others

    def listed(self, model: StoredModel, ids: Ids | None, order: Order, descending: bool, count: int) -> list[int]:
        by_name = func.coalesce(_FILE_NAME, b"")
        keys = {"date": func.coalesce(func.substr(camera_clock(), 1, 19), file_clock()), "size": photos.c.size}
        key = keys.get(order, by_name)
        having = KNOWN.join(items, items.c.content_id == photos.c.content_id)
        having = having.join(embeddings, embeddings.c.item_id == items.c.id)
        sorted_by = (key.desc() if descending else key.asc(), photos.c.path, items.c.part)
        # A picture of several files stands where the first of them does, a film where the first of its parts does.
        place = func.row_number().over(partition_by=items.c.content_id, order_by=sorted_by).label("place")
        query = (
            select(embeddings.c.id, key.label("key"), photos.c.path, place)
            .select_from(having)
            .where(photos.c.state == "ok", embeddings.c.model_id == model.id)
        )
        if ids is not None:
            query = query.where(among(embeddings.c.id, ids.tolist(), BigInteger))
        first = query.subquery()
        chosen = select(first.c.id).where(first.c.place == 1)
        chosen = chosen.order_by(first.c.key.desc() if descending else first.c.key.asc(), first.c.path)
        with self._reading() as connection:
            return list(connection.execute(chosen.limit(count)).scalars())

    def find_words(
        self, text: str, model: StoredModel, allowed: Ids | None = None, limit: int = 1000, exact: bool = False
    ) -> list[WordHit]:
        with self._kept(self._lists, one_state=True) as (connection, cached):
            return finding.find(Lists(connection, cached, self._terms), text, model.id, allowed, limit, exact)

    def reasons(
        self, text: str, ids: Sequence[int], model: StoredModel, exact: bool = False
    ) -> dict[int, tuple[str, ...]]:
        with self._kept(self._lists, one_state=True) as (connection, cached):
            return finding.reasons(Lists(connection, cached, self._terms), text, ids, model.id, exact)

    def vectors(self, ids: Ids, dim: int) -> Vectors:
        found: dict[int, bytes] = {}
        asked = ids.tolist()
        with self._reading() as connection:
            for start in range(0, len(asked), AT_ONCE):
                some = among(embeddings.c.id, asked[start : start + AT_ONCE], BigInteger)
                rows = connection.execute(select(embeddings.c.id, embeddings.c.vector).where(some))
                found.update((number, vector) for number, vector in rows)
        nothing = bytes(2 * dim)  # of sound
        joined = b"".join(found[number] or nothing for number in asked)
        return np.frombuffer(joined, "<f2").reshape(len(ids), dim).astype(np.float32)

    def of_model(self, ids: Ids, model: StoredModel) -> Ids:
        with self._reading() as connection:
            rows = connection.exec_driver_sql(_OF_MODEL, (ids.tolist(), model.id)).all()
        others = {own: number for own, number in rows}  # noqa: C416  # rows are no pairs for ``dict``
        return np.array([others.get(number, -1) for number in ids.tolist()], np.int64)

    def hashes(self, ids: Ids) -> tuple[Hashes, NDArray[np.bool_]]:
        with self._reading() as connection:
            rows = connection.exec_driver_sql(_HASHES, (ids.tolist(),)).all()
        found: dict[int, bytes | None] = {number: one for number, one in rows}  # noqa: C416
        return as_numbers([found.get(number) for number in ids.tolist()])
