"""What is known of files and contents, and which of them a query finds."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import bindparam, func, or_, select, text

from mmsearch.language.tag_names import folded
from mmsearch.query.model import Condition, Order
from mmsearch.store.paths import at_or_below
from mmsearch.store.sqlite import fulltext, noted, own_tags
from mmsearch.store.sqlite.connection import Database, explained
from mmsearch.store.sqlite.fulltext_ranking import Lists
from mmsearch.store.sqlite.tables import (
    captions,
    contents,
    contents_with,
    embedded,
    embeddings,
    exclusions,
    items,
    lacking_part,
    photos,
    regions,
    roots,
    sidecars,
)
from mmsearch.store.types import (
    Contents,
    Counts,
    DuplicateCandidate,
    FacetCounts,
    Overview,
    StoredFile,
    StoredModel,
    WordHit,
    chunks,
)
from mmsearch.types import Damaged, Exif, Found, Ids, Photo, Skipped


class Items(Database):
    """Files, their contents, and the items that are searched."""

    def roots(self) -> list[str]:
        with self._reading() as connection:
            return sorted(os.fsdecode(path) for path in connection.execute(select(roots.c.path)).scalars())

    def exclusions(self) -> dict[str, tuple[str, ...]]:
        query = (
            select(roots.c.path, exclusions.c.glob)
            .join(exclusions, exclusions.c.root_id == roots.c.id)
            .order_by(roots.c.path, exclusions.c.position)
        )
        found: dict[str, tuple[str, ...]] = {}
        with self._reading() as connection:
            for path, glob in connection.execute(query):
                root = os.fsdecode(path)
                found[root] = (*found.get(root, ()), os.fsdecode(glob))
        return found

    def files(self, root: str, model: StoredModel) -> dict[str, StoredFile]:
        query = select(
            photos.c.path,
            photos.c.id,
            photos.c.state,
            photos.c.size,
            photos.c.mtime_ns,
            photos.c.content_id,
            (photos.c.content_id.is_not(None) & photos.c.content_id.in_(embedded(model.id))).label("embedded"),
            photos.c.reason,
        ).where(at_or_below(photos.c.path, root))
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return {os.fsdecode(path): StoredFile(*others) for path, *others in rows}

    def contents(self, model: StoredModel) -> Contents:
        query = select(contents.c.hash, contents.c.id).join(items, items.c.content_id == contents.c.id)
        query = query.join(embeddings, embeddings.c.item_id == items.c.id)
        query = query.where(embeddings.c.model_id == model.id, items.c.part == 0, ~lacking_part(model.id))
        one = query.where(contents.c.hash == bindparam("hash"))

        def stored(content_hash: bytes) -> int | None:
            with self._reading() as connection:
                row = connection.execute(one, {"hash": content_hash}).one_or_none()
            return None if row is None else int(row.id)

        def every() -> dict[bytes, int]:
            with self._reading() as connection:
                return dict(tuple(row) for row in connection.execute(query).all())

        return Contents(stored, every)

    def existing_paths(self, paths: Sequence[str]) -> set[str]:
        found: set[str] = set()
        with self._reading() as connection:
            for chunk in chunks([os.fsencode(path) for path in paths]):
                rows = connection.execute(select(photos.c.path).where(photos.c.path.in_(chunk))).scalars()
                found.update(map(os.fsdecode, rows))
        return found

    def hashed(self) -> list[tuple[Found, bytes]]:
        query = (
            select(photos.c.path, photos.c.size, photos.c.mtime_ns, contents.c.hash)
            .join(contents, contents.c.id == photos.c.content_id)
            .where(photos.c.state == "ok")
            .order_by(photos.c.path)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [(Found(os.fsdecode(path), size, time), content_hash) for path, size, time, content_hash in rows]

    def failures(self) -> list[Skipped]:
        query = select(photos.c.path, photos.c.reason).where(photos.c.state == "failed").order_by(photos.c.path)
        with self._reading() as connection:
            return [Skipped(os.fsdecode(path), reason) for path, reason in connection.execute(query)]

    def damaged(self) -> list[Damaged]:
        query = (
            select(photos.c.path, contents.c.damage)
            .join(contents, contents.c.id == photos.c.content_id)
            .where(photos.c.state == "ok", contents.c.damage.is_not(None))
            .order_by(photos.c.path)
        )
        with self._reading() as connection:
            return [Damaged(os.fsdecode(path), what) for path, what in connection.execute(query)]

    def counts(self) -> Counts:
        with self._reading() as connection:
            rows = connection.execute(select(photos.c.state, func.count()).group_by(photos.c.state)).all()
        by_state: dict[str, int] = dict(rows)
        return Counts(by_state.get("ok", 0), by_state.get("failed", 0), by_state.get("missing", 0))

    def with_regions(self, model: StoredModel) -> int:
        query = select(func.count()).where(
            photos.c.state == "ok",
            photos.c.content_id.in_(contents_with(regions).where(regions.c.model_id == model.id)),
        )
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def with_captions(self) -> int:
        query = select(func.count()).where(photos.c.state == "ok", photos.c.content_id.in_(contents_with(captions)))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def tag_counts(self, within: Sequence[str] = ()) -> dict[str, int]:
        with self._reading() as connection:
            return own_tags.counts(connection, within)

    def searchable(self, model: StoredModel, within: Sequence[str] = (), conditions: Sequence[Condition] = ()) -> Ids:
        with explained(self.file):
            return self._attributes.vectors(model.id, within, conditions)

    def vector_of(self, path: str, model: StoredModel) -> int | None:
        query = (
            select(embeddings.c.id)
            .join(items, items.c.id == embeddings.c.item_id)
            .join(photos, photos.c.content_id == items.c.content_id)
            .where(photos.c.path == os.fsencode(path), embeddings.c.model_id == model.id)
            .order_by(items.c.part)
        )
        with self._reading() as connection:
            return connection.execute(query).scalars().first()

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
            found.setdefault(row["vector"], []).append(_photo(row))
        return found

    def photos_by_id(self, ids: Sequence[int], model: StoredModel) -> dict[int, Photo]:
        with explained(self.file), contextlib.closing(self._engine.raw_connection()) as held:
            asked = json.dumps([int(number) for number in ids])
            vectors = [row[0] for row in held.cursor().execute(_VECTORS_OF, (asked, model.id)).fetchall()]
        files = {photo.id: photo for own in self.photos(vectors).values() for photo in own}
        return {number: files[number] for number in ids if number in files}

    def content_hash(self, photo: int) -> bytes | None:
        query = select(contents.c.hash).join(photos, photos.c.content_id == contents.c.id).where(photos.c.id == photo)
        with self._reading() as connection:
            return connection.execute(query).scalar()

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
                if found:
                    vectors[path] = [number for number, _ in found]
        if not vectors:
            return {}
        photos = self.photos(list({number for ids in vectors.values() for number in ids}), within, conditions)
        others = {}
        for path, ids in vectors.items():
            stem_of_path = os.path.splitext(path)[0]
            files = {photo.path: photo for number in ids for photo in photos.get(number, ())}
            same = [one for one in files.values() if one.path != path and os.path.splitext(one.path)[0] == stem_of_path]
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

    def duplicate_candidates(self, model: StoredModel, within: Sequence[str] = ()) -> list[DuplicateCandidate]:
        query = (
            select(
                embeddings.c.id,
                photos.c.path,
                photos.c.size,
                photos.c.mtime_ns,
                contents.c.width * contents.c.height,
                noted.taken_at,
                contents.c.dhash,
                contents.c.id.in_(select(items.c.content_id).where(items.c.part > 0)),
                *(contents.c[name] for name in noted.FILM),
            )
            .join(contents, contents.c.id == photos.c.content_id)
            .outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)
            .join(items, items.c.content_id == contents.c.id)
            .join(embeddings, embeddings.c.item_id == items.c.id)
            .where(photos.c.state == "ok", embeddings.c.model_id == model.id, items.c.part == 0)
            .order_by(photos.c.path)
        )
        if within:
            query = query.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
        with self._reading() as connection:
            return [
                DuplicateCandidate(
                    number,
                    Found(os.fsdecode(path), size, time),
                    pixels,
                    datetime.fromisoformat(taken) if taken else None,
                    looks,
                    bool(several),
                    noted.film_of(dict(zip(noted.FILM, film, strict=True))),
                )
                for number, path, size, time, pixels, taken, looks, several, *film in connection.execute(query)
            ]

    def find_words(
        self, text: str, model: StoredModel, allowed: Ids | None = None, limit: int = 1000, exact: bool = False
    ) -> list[WordHit]:
        def numbers(rows: Ids) -> Ids | None:
            return self._attributes.numbers(model.id, rows)

        with explained(self.file), self._lists.reading() as (connection, cached):
            return fulltext.find(Lists(connection, cached), text, model.id, allowed, limit, exact, numbers)

    def reasons(
        self, text: str, ids: Sequence[int], model: StoredModel, exact: bool = False
    ) -> dict[int, tuple[str, ...]]:
        with explained(self.file), self._lists.reading() as (connection, cached):
            return fulltext.reasons(Lists(connection, cached), text, ids, model.id, exact)


# Not through SQLAlchemy, which takes several times as long as the query.
_PHOTOS = f"""
SELECT embeddings.id AS vector, photos.id AS id, photos.path, photos.size, photos.mtime_ns, width, height, format,
    {noted.TAKEN_AT} AS taken_at, camera, lens, {noted.LATITUDE} AS latitude, {noted.LONGITUDE} AS longitude,
    {noted.CITY} AS city, {noted.PEOPLE} AS people, {noted.RATING} AS rating, {noted.LABEL} AS label,
    {", ".join(noted.SHOT)}, {", ".join(noted.FILM)}, description, captions.text AS caption,
    sidecars.text AS sidecar, ocr.text AS ocr,
    (SELECT json_group_array(json_array(-score, tag)) FROM tags WHERE tags.item_id = items.id HAVING count(*))
        AS tags, {own_tags.OF_PHOTO} AS own_tags
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


def _photo(row: sqlite3.Row) -> Photo:
    """A row of ``_PHOTOS``."""
    taken_at = row["taken_at"]
    own = tuple(sorted(json.loads(row["own_tags"]), key=folded)) if row["own_tags"] else ()
    said = [tag for _, tag in sorted(json.loads(row["tags"]))] if row["tags"] else []  # (score below zero, tag)
    known = {folded(tag) for tag in own}
    return Photo(
        id=row["id"],
        path=os.fsdecode(row["path"]),
        width=row["width"],
        height=row["height"],
        format=row["format"],
        size=row["size"],
        mtime_ns=row["mtime_ns"],
        exif=Exif(
            taken_at=datetime.fromisoformat(taken_at) if taken_at else None,
            camera=row["camera"],
            lens=row["lens"],
            latitude=row["latitude"],
            longitude=row["longitude"],
            **{name: row[name] for name in noted.SHOT},
        ),
        caption=row["caption"],
        description="\n".join(part for part in (row["description"], row["sidecar"]) if part) or None,
        text=row["ocr"] or None,
        tags=(*own, *(tag for tag in said if not known or folded(tag) not in known)),
        annotations=noted.annotations_of(row["city"], row["people"], row["rating"], row["label"]),
        film=noted.film_of(row),
        own_tags=own,
    )
