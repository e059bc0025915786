"""What is known of files and contents, and which of them a query finds."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Sequence

import numpy as np
from sqlalchemy import func, select, text

from mmsearch.query.model import Condition, Order
from mmsearch.store.sql import noted
from mmsearch.store.sql.photo_rows import PHOTO, of_shot, photo_of
from mmsearch.store.sql.tables import contents, embeddings, items, photos, sidecars
from mmsearch.store.sqlite.connection import Database, explained
from mmsearch.store.sqlite.word_lists import Lists
from mmsearch.store.types import FacetCounts, Overview, StoredModel, WordHit
from mmsearch.store.words import finding
from mmsearch.types import Ids, Photo


class Items(Database):
    """Files, their contents, and the items that are searched."""

    def searchable(self, model: StoredModel, within: Sequence[str] = (), conditions: Sequence[Condition] = ()) -> Ids:
        with explained(self.file):
            return self._attributes.vectors(model.id, within, conditions)

    def photos(
        self, ids: Sequence[int], within: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> dict[int, list[Photo]]:
        # Not on a connection that is kept: threads would wait for each other, long where one wants very many.
        with explained(self.file), contextlib.closing(self._engine.raw_connection()) as held:
            cursor = held.cursor()
            cursor.row_factory = sqlite3.Row  # type: ignore[attr-defined]  # it is one of sqlite3's
            cursor.execute(_PHOTOS, (json.dumps([int(number) for number in ids]),))
            rows = cursor.fetchall()
        if within or conditions:
            with explained(self.file):
                meeting = self._attributes.meeting(np.array([row["id"] for row in rows], np.int64), within, conditions)
            rows = [row for row, meets in zip(rows, meeting, strict=True) if meets]
        found: dict[int, list[Photo]] = {}
        for row in rows:
            found.setdefault(row["vector"], []).append(photo_of(row))
        return found

    def photos_by_id(self, ids: Sequence[int], model: StoredModel) -> dict[int, Photo]:
        with explained(self.file), contextlib.closing(self._engine.raw_connection()) as held:
            asked = json.dumps([int(number) for number in ids])
            vectors = [row[0] for row in held.cursor().execute(_VECTORS_OF, (asked, model.id)).fetchall()]
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
        with explained(self.file):
            return self._attributes.facets(model.id, photos, within, conditions, most)

    def overview(
        self,
        model: StoredModel,
        within: Sequence[str] = (),
        conditions: Sequence[Condition] = (),
        photos: Ids | None = None,
    ) -> Overview:
        with explained(self.file):
            return self._attributes.overview(model.id, photos, within, conditions)

    def beside(
        self, paths: Sequence[str], within: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> dict[str, list[Photo]]:
        vectors: dict[str, list[int]] = {}
        with explained(self.file), contextlib.closing(self._engine.raw_connection()) as held:
            cursor = held.cursor()
            for path in paths:
                stem = os.fsencode(os.path.splitext(path)[0])
                found = cursor.execute(_BESIDE, (stem + b".", stem + b"/", os.fsencode(path))).fetchall()
                found += cursor.execute(_IDENTIFIED, (os.fsencode(path),)).fetchall()
                if found:
                    vectors[path] = [number for number, _ in found]
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
        by_camera = func.substr(noted.taken_at, 1, 19)
        by_file = func.strftime("%Y-%m-%dT%H:%M:%S", photos.c.mtime_ns / 1_000_000_000, "unixepoch", "localtime")
        keys = {"date": func.coalesce(by_camera, by_file), "size": photos.c.size, "name": func.path_name(photos.c.path)}
        key = keys[order]
        query = (
            select(embeddings.c.id, items.c.content_id)
            .join(items, items.c.id == embeddings.c.item_id)
            .join(photos, photos.c.content_id == items.c.content_id)
            .join(contents, contents.c.id == items.c.content_id)
            .outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)
            .where(photos.c.state == "ok", embeddings.c.model_id == model.id)
            .order_by(key.desc() if descending else key.asc(), photos.c.path, items.c.part)
        )
        if ids is not None:
            query = query.where(text("embeddings.id IN (SELECT value FROM json_each(:ids))"))
        found: dict[int, int] = {}  # by content: a film is listed once
        given = {} if ids is None else {"ids": json.dumps(ids.tolist())}
        with self._reading() as connection:
            for number, content in connection.execute(query, given):
                found.setdefault(content, number)
                if len(found) == count:
                    break
        return list(found.values())

    def find_words(
        self, text: str, model: StoredModel, allowed: Ids | None = None, limit: int = 1000, exact: bool = False
    ) -> list[WordHit]:
        def numbers(rows: Ids) -> Ids | None:
            return self._attributes.numbers(model.id, rows)

        with explained(self.file), self._lists.reading() as (connection, cached):
            return finding.find(Lists(connection, cached), text, model.id, allowed, limit, exact, numbers)

    def reasons(
        self, text: str, ids: Sequence[int], model: StoredModel, exact: bool = False
    ) -> dict[int, tuple[str, ...]]:
        with explained(self.file), self._lists.reading() as (connection, cached):
            return finding.reasons(Lists(connection, cached), text, ids, model.id, exact)


# Not through SQLAlchemy, which takes several times as long as the query.
_PHOTOS = f"""
SELECT {PHOTO},
    (SELECT json_group_array(json_array(-score, tag)) FROM tags WHERE tags.item_id = items.id HAVING count(*))
        AS tags,
    (SELECT json_group_array(tag) FROM own_tags WHERE photo_id = photos.id HAVING count(*)) AS own_tags
FROM json_each(?) CROSS JOIN embeddings ON embeddings.id = value
    CROSS JOIN items ON items.id = embeddings.item_id
    CROSS JOIN contents ON contents.id = items.content_id
    CROSS JOIN photos ON photos.content_id = contents.id
    LEFT JOIN captions ON captions.item_id = items.id
    LEFT JOIN sidecars ON sidecars.photo_id = photos.id
    LEFT JOIN ocr ON ocr.item_id = items.id
WHERE +photos.state = 'ok' -- the plus keeps SQLite from reading all photos in this state
ORDER BY photos.path
"""


# The vectors of the first items of files, by the ids of the files.
# Of each file the first vector that is there, as SQLite does with ``min``: a lost one is made again only when the file
# is indexed.
_VECTORS_OF = """
SELECT embeddings.id, min(items.part) FROM json_each(?) CROSS JOIN photos ON photos.id = value
    CROSS JOIN items ON items.content_id = photos.content_id
    CROSS JOIN embeddings ON embeddings.item_id = items.id AND embeddings.model_id = ?
GROUP BY photos.id
"""


# "/" follows "." in ASCII: what begins with the stem and a dot.
_BESIDE = """
SELECT embeddings.id, min(items.part) FROM photos
    CROSS JOIN items ON items.content_id = photos.content_id
    CROSS JOIN embeddings ON embeddings.item_id = items.id
WHERE photos.path >= ? AND photos.path < ? AND photos.path != ? AND +photos.state = 'ok'
GROUP BY photos.id, embeddings.model_id
"""
# Of any folder: few files have the same one.
_IDENTIFIED = """
SELECT embeddings.id, min(items.part) FROM photos AS own
    CROSS JOIN contents AS its ON its.id = own.content_id
    CROSS JOIN contents ON contents.content_identifier = its.content_identifier
    CROSS JOIN photos ON photos.content_id = contents.id
    CROSS JOIN items ON items.content_id = contents.id
    CROSS JOIN embeddings ON embeddings.item_id = items.id
WHERE own.path = ? AND its.content_identifier IS NOT NULL AND photos.id != own.id AND +photos.state = 'ok'
GROUP BY photos.id, embeddings.model_id
"""
