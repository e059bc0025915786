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

from mmsearch.query.model import Condition, Order
from mmsearch.store.paths import at_or_below
from mmsearch.store.sqlite import fulltext
from mmsearch.store.sqlite.connection import Database, explained
from mmsearch.store.sqlite.fulltext_ranking import Lists
from mmsearch.store.sqlite.tables import (
    captions,
    contents,
    contents_with,
    embeddings,
    items,
    photos,
    regions,
    roots,
    tags,
)
from mmsearch.store.types import Contents, Counts, DuplicateCandidate, Known, StoredModel, WordHit, chunks
from mmsearch.types import Exif, Found, Ids, Photo, Skipped


class Items(Database):
    """Files, their contents, and the items that are searched."""

    def roots(self) -> list[str]:
        """The folders and files that were indexed, sorted."""
        with self._reading() as connection:
            return sorted(os.fsdecode(path) for path in connection.execute(select(roots.c.path)).scalars())

    def known(self, root: str, model: StoredModel) -> dict[str, Known]:
        """What is stored of ``root`` itself and everything below it, by path."""
        embedded = contents_with(embeddings).where(embeddings.c.model_id == model.id)
        query = select(
            photos.c.path,
            photos.c.id,
            photos.c.state,
            photos.c.size,
            photos.c.mtime_ns,
            photos.c.content_id,
            (photos.c.content_id.is_not(None) & photos.c.content_id.in_(embedded)).label("embedded"),
            photos.c.reason,
        ).where(at_or_below(photos.c.path, root))
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return {os.fsdecode(path): Known(*others) for path, *others in rows}

    def contents(self, model: StoredModel) -> Contents:
        """Hash -> id of every content that has a vector."""
        query = select(contents.c.hash, contents.c.id).join(items, items.c.content_id == contents.c.id)
        query = query.join(embeddings, embeddings.c.item_id == items.c.id)
        query = query.where(embeddings.c.model_id == model.id, items.c.part == 0)
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
        """Which of these files are known, whatever their state."""
        found: set[str] = set()
        with self._reading() as connection:
            for chunk in chunks([os.fsencode(path) for path in paths]):
                rows = connection.execute(select(photos.c.path).where(photos.c.path.in_(chunk))).scalars()
                found.update(map(os.fsdecode, rows))
        return found

    def hashed(self) -> list[tuple[Found, bytes]]:
        """The files that can be found, as they were read, with the hashes of their contents, in the order of paths."""
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
        """Files that could not be read, with their reasons, by path."""
        query = select(photos.c.path, photos.c.reason).where(photos.c.state == "failed").order_by(photos.c.path)
        with self._reading() as connection:
            return [Skipped(os.fsdecode(path), reason) for path, reason in connection.execute(query)]

    def counts(self) -> Counts:
        with self._reading() as connection:
            rows = connection.execute(select(photos.c.state, func.count()).group_by(photos.c.state)).all()
        by_state: dict[str, int] = dict(rows)
        return Counts(by_state.get("ok", 0), by_state.get("failed", 0), by_state.get("missing", 0))

    def with_regions(self, model: StoredModel) -> int:
        """How many pictures that can be found have region tokens of this model, of whatever card."""
        query = select(func.count()).where(
            photos.c.state == "ok",
            photos.c.content_id.in_(contents_with(regions).where(regions.c.model_id == model.id)),
        )
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def with_captions(self) -> int:
        """How many pictures that can be found have a caption, of whatever reranker."""
        query = select(func.count()).where(photos.c.state == "ok", photos.c.content_id.in_(contents_with(captions)))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def tag_counts(self, within: Sequence[str] = ()) -> dict[str, int]:
        """How many files that can be found have each tag, the most frequent first; in or below these paths, if any."""
        count = func.count(photos.c.id.distinct())
        query = (
            select(tags.c.tag, count)
            .join(items, items.c.id == tags.c.item_id)
            .join(photos, photos.c.content_id == items.c.content_id)
            .where(photos.c.state == "ok")
            .group_by(tags.c.tag)
            .order_by(count.desc(), tags.c.tag)
        )
        if within:
            query = query.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
        with self._reading() as connection:
            return {tag: int(files) for tag, files in connection.execute(query)}

    def searchable(self, model: StoredModel, within: Sequence[str] = (), conditions: Sequence[Condition] = ()) -> Ids:
        """Ids of all vectors that may be found, ascending.

        ``within`` keeps those in or below these paths, ``conditions`` those that have a file that meets all of them.
        """
        with explained(self.file):
            return self._attributes.vectors(model.id, within, conditions)

    def vector_of(self, path: str, model: StoredModel) -> int | None:
        """The id of the vector of what this file held when it was last read well; None where nothing is known."""
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
        """The files that have these vectors, by vector id, in the order of their paths; an id may have none.

        ``within`` keeps those in or below these paths, ``conditions`` those that meet all of them.
        """
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

    def listed(self, model: StoredModel, ids: Ids | None, order: Order, descending: bool, count: int) -> list[int]:
        """The first ``count`` of these vectors, all where None, by date, name or size of their files.

        A picture of several files stands where the first of them does.
        """
        by_camera = func.substr(contents.c.taken_at, 1, 19)
        by_file = func.strftime("%Y-%m-%dT%H:%M:%S", photos.c.mtime_ns / 1_000_000_000, "unixepoch", "localtime")
        keys = {"date": func.coalesce(by_camera, by_file), "size": photos.c.size, "name": func.path_name(photos.c.path)}
        key = keys[order]
        query = (
            select(embeddings.c.id)
            .join(items, items.c.id == embeddings.c.item_id)
            .join(photos, photos.c.content_id == items.c.content_id)
            .join(contents, contents.c.id == items.c.content_id)
            .where(photos.c.state == "ok", embeddings.c.model_id == model.id)
            .order_by(key.desc() if descending else key.asc(), photos.c.path)
        )
        if ids is not None:
            query = query.where(text("embeddings.id IN (SELECT value FROM json_each(:ids))"))
        found: dict[int, None] = {}
        given = {} if ids is None else {"ids": json.dumps(ids.tolist())}
        with self._reading() as connection:
            for number in connection.execute(query, given).scalars():
                found[number] = None
                if len(found) == count:
                    break
        return list(found)

    def duplicate_candidates(self, model: StoredModel, within: Sequence[str] = ()) -> list[DuplicateCandidate]:
        """All files that can be found, in the order of their paths; ``within`` keeps those in or below these paths."""
        query = (
            select(
                embeddings.c.id,
                photos.c.path,
                photos.c.size,
                photos.c.mtime_ns,
                contents.c.width * contents.c.height,
                contents.c.taken_at,
                contents.c.dhash,
            )
            .join(contents, contents.c.id == photos.c.content_id)
            .join(items, items.c.content_id == contents.c.id)
            .join(embeddings, embeddings.c.item_id == items.c.id)
            .where(photos.c.state == "ok", embeddings.c.model_id == model.id)
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
                )
                for number, path, size, time, pixels, taken, looks in connection.execute(query)
            ]

    def find_words(
        self, text: str, model: StoredModel, allowed: Ids | None = None, limit: int = 1000, exact: bool = False
    ) -> list[WordHit]:
        """Pictures with words of ``text`` in name, description, caption, read text or tags, best first.

        At most ``limit``, of those with ids in ``allowed`` where given.  Whatever the text is, it is no syntax: letters
        and digits are looked for, the rest separates.  Words such as "the" are left out where there are others, and so
        are words that most photos have.  With ``exact`` all of them must be there in this order.  Forms of a word (dog,
        dogs) are the same, and so are letters with and without accents.
        """

        def numbers(rows: Ids) -> Ids | None:
            return self._attributes.numbers(model.id, rows)

        with explained(self.file), self._lists.reading() as (connection, kept):
            return fulltext.find(Lists(connection, kept), text, model.id, allowed, limit, exact, numbers)

    def reasons(
        self, text: str, ids: Sequence[int], model: StoredModel, exact: bool = False
    ) -> dict[int, tuple[str, ...]]:
        """Where the pictures with these vector ids have words of ``text``, such as "name: IMG_2041", by vector id.

        Pictures that have none are left out.  Meant for a page of hits: it takes about 0.1 ms a picture.
        """
        with explained(self.file), self._lists.reading() as (connection, kept):
            return fulltext.reasons(Lists(connection, kept), text, ids, model.id, exact)


# Not through SQLAlchemy, which takes several times as long as the query.
_PHOTOS = """
SELECT embeddings.id AS vector, photos.id AS id, photos.path, photos.size, photos.mtime_ns, width, height, format,
    taken_at, camera, lens, latitude, longitude, description, captions.text AS caption, sidecars.text AS sidecar,
    ocr.text AS ocr,
    (SELECT json_group_array(json_array(-score, tag)) FROM tags WHERE tags.item_id = items.id HAVING count(*))
        AS tags
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


def _photo(row: sqlite3.Row) -> Photo:
    """A row of ``_PHOTOS``."""
    taken_at, tags = row["taken_at"], row["tags"]
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
        ),
        caption=row["caption"],
        description="\n".join(part for part in (row["description"], row["sidecar"]) if part) or None,
        text=row["ocr"] or None,
        tags=tuple(tag for _, tag in sorted(json.loads(tags))) if tags else (),  # (score below zero, tag)
    )
