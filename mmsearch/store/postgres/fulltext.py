"""Words of photos in PostgreSQL: kept in step with the other tables, and looked up.

``words.terms`` is a tsvector with the words of all columns, a letter for the column before each, and an index on it;
where words must stand beside each other, the column's own text decides.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
from sqlalchemy import Connection

from mmsearch.language.tag_names import folded
from mmsearch.store.paths import file_name_key
from mmsearch.store.postgres.terms import Terms, in_order, lexemes, matching
from mmsearch.store.snapshot import Snapshot
from mmsearch.store.sql.photo_rows import IS_FIRST
from mmsearch.store.sql.tables import WORDS
from mmsearch.store.words.names import name_words
from mmsearch.store.words.ranking import Rows, RowSet, WordLists
from mmsearch.store.words.spelling import stored
from mmsearch.types import Ids

AT_ONCE = 500  # photos whose words are written together
_NEWLINE = "E'\\n'"


def _of_items(table: str, value: str, between: str) -> str:
    """What a table says of the items of a photo's content, joined, in SQL; empty where it says nothing."""
    return (
        f"coalesce((SELECT string_agg({value}, {between} ORDER BY items.part, {value}) FROM items JOIN {table} "
        f"ON {table}.item_id = items.id WHERE items.content_id = photos.content_id), '')"
    )


# In the words of those who wrote it; the name is made of the path.
_SAID = (
    "SELECT photos.id, photos.path, "
    f"btrim(coalesce(contents.description, '') || {_NEWLINE} || coalesce(sidecars.text, ''), {_NEWLINE}), "
    f"{_of_items('captions', 'text', _NEWLINE)}, "
    f"btrim({_of_items('ocr', 'text', _NEWLINE)} || {_NEWLINE} || {_of_items('part_texts', 'text', _NEWLINE)}, "
    f"{_NEWLINE}), "
    "(SELECT array_agg(tag ORDER BY folded) FROM own_tags WHERE own_tags.photo_id = photos.id), "
    "(SELECT array_agg(tag ORDER BY items.part, tag) FROM items JOIN tags ON tags.item_id = items.id "
    "WHERE items.content_id = photos.content_id) "
    "FROM photos LEFT JOIN contents ON contents.id = photos.content_id "
    "LEFT JOIN sidecars ON sidecars.photo_id = photos.id WHERE photos.id = ANY(%s)"
)
_CONCERNED = (
    "SELECT id FROM photos WHERE id = ANY(%s::bigint[]) UNION "
    "SELECT id FROM photos WHERE content_id = ANY(%s::bigint[]) UNION "
    "SELECT photos.id FROM items JOIN photos USING (content_id) WHERE items.id = ANY(%s::bigint[])"
)
_WRITE = (
    f"INSERT INTO words (photo_id, file_name, {', '.join(WORDS)}, terms) "
    f"SELECT id, file_name, {', '.join(WORDS)}, array_to_tsvector(string_to_array(lexemes, ' ')) "
    f"FROM unnest(%s::bigint[], %s::bytea[]{', %s::text[]' * len(WORDS)}, %s::text[]) "
    f"AS new (id, file_name, {', '.join(WORDS)}, lexemes) ON CONFLICT (photo_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("file_name", *WORDS, "terms"))
)


def rebuild(
    connection: Connection, terms: Terms, photos: Iterable[int], contents: Iterable[int], items: Iterable[int]
) -> None:
    """Write anew what ``words`` says of these photos, and of all photos that have these contents or items."""
    asked = (sorted(photos), sorted(contents), sorted(items))
    concerned = iter(sorted(connection.exec_driver_sql(_CONCERNED, asked).scalars()))
    while some := list(islice(concerned, AT_ONCE)):
        texts = _said(connection, some)
        taken_apart = terms.of([[stored(text) for text in own] for _, own in texts.values()])
        names = [file_name_key(path) for path, _ in texts.values()]
        columns = [[f" {' '.join(own[name])} " for own in taken_apart] for name in WORDS]
        joined = [" ".join(lexemes(own)) for own in taken_apart]
        connection.exec_driver_sql(_WRITE, (list(texts), names, *columns, joined))


def _said(connection: Connection, photos: Sequence[int]) -> dict[int, tuple[bytes, list[str]]]:
    """By photo its path, and a text for each of ``WORDS``."""
    return {
        number: (path, [name_words(os.fsdecode(path)), *own, _tags(by_people or [], by_model or [])])
        for number, path, *own, by_people, by_model in connection.exec_driver_sql(_SAID, (list(photos),))
    }


def _tags(by_people: Sequence[str], by_model: Sequence[str]) -> str:
    """Those that people gave come first; what a model says too is said once."""
    known = set(map(folded, by_people))
    return ", ".join([*by_people, *(tag for tag in by_model if folded(tag) not in known)])


_FILES = (
    "SELECT photos.id, embeddings.id FROM embeddings JOIN items ON items.id = embeddings.item_id "
    "JOIN photos ON photos.content_id = items.content_id "
    f"WHERE {IS_FIRST} AND embeddings.id = ANY(%s::bigint[]) AND embeddings.model_id = %s "
    "AND photos.state = 'ok' ORDER BY photos.id"
)
_VECTORS = (
    "SELECT photos.id, embeddings.id FROM photos "
    "JOIN items ON items.content_id = photos.content_id "
    "JOIN embeddings ON embeddings.item_id = items.id AND embeddings.model_id = %s "
    f"WHERE {IS_FIRST} AND photos.id = ANY(%s::bigint[]) AND photos.state = 'ok'"
)
_PAGES = (
    "SELECT embeddings.id, photos.id, photos.path FROM embeddings JOIN items ON items.id = embeddings.item_id "
    "JOIN photos ON photos.content_id = items.content_id "
    "WHERE embeddings.id = ANY(%s::bigint[]) AND embeddings.model_id = %s AND photos.state = 'ok' "
    "ORDER BY photos.path"
)


class Lists(WordLists):
    """Which photos have what, as one transaction sees it."""

    def __init__(self, connection: Connection, cached: Snapshot, terms: Terms) -> None:
        super().__init__(cached)
        self._connection, self._terms = connection, terms
        largest, count = cached.of("photos", self._numbers_of_photos)
        self.photos, self.count = largest, count

    def _numbers_of_photos(self) -> tuple[int, int]:
        row = self._connection.exec_driver_sql("SELECT coalesce(max(id), 0), count(*) FROM photos").one()
        return int(row[0]), int(row[1])

    def files_of(self, vectors: Ids, model: int) -> Ids:
        rows = self._connection.exec_driver_sql(_FILES, (vectors.tolist(), model)).all()
        return np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)

    def vectors_of(self, rows: Rows, model: int) -> Ids:
        found = self._connection.exec_driver_sql(_VECTORS, (model, rows.tolist())).all()
        pairs = {photo: vector for photo, vector in found}  # noqa: C416  # rows are no pairs for ``dict``
        return np.array([pairs.get(row, -1) for row in rows.tolist()], np.int64)

    def paths(self, rows: Rows) -> dict[int, bytes]:
        query = "SELECT id, path FROM photos WHERE id = ANY(%s::bigint[])"
        found = self._connection.exec_driver_sql(query, (rows.tolist(),)).all()
        return {number: path for number, path in found}  # noqa: C416

    def pages(self, vectors: Sequence[int], model: int) -> list[tuple[int, int, bytes]]:
        asked = [int(number) for number in vectors]
        return [(row[0], row[1], row[2]) for row in self._connection.exec_driver_sql(_PAGES, (asked, model))]

    def said(self, rows: Sequence[int]) -> dict[int, Sequence[str]]:
        return {number: own for number, (_, own) in _said(self._connection, rows).items()}

    @contextmanager
    def copied(self, rows: Sequence[int]) -> Iterator[sqlite3.Connection]:
        texts = self.said(rows)
        with self._terms.copied([(row, [stored(text) for text in own]) for row, own in texts.items()]) as copy:
            yield copy

    def _counted(self, expression: str) -> int:
        words, begins = self._terms.phrase(expression)
        if not words:
            return 0
        each, values = [], []
        for column in WORDS:
            where, own = _where(words, begins, column)
            each.append(f"({where})")
            values += own
        query = f"SELECT count(*) FROM words WHERE {' OR '.join(each)}"
        return int(self._connection.exec_driver_sql(query, tuple(values)).scalar_one())

    def _read(self, expression: str) -> dict[str, RowSet]:
        words, begins = self._terms.phrase(expression)
        if not words:
            return {}
        each, values = [], []
        for column in WORDS:
            where, own = _where(words, begins, column)
            # One string instead of a row each: several times faster.
            each.append(
                f"SELECT '{column}', string_agg(photo_id::text, ',' ORDER BY photo_id) FROM words WHERE {where}"
            )
            values += own
        rows = self._connection.exec_driver_sql(" UNION ALL ".join(each), tuple(values)).all()
        return {
            column: RowSet(np.fromstring(joined, np.int32, sep=","), self.photos) for column, joined in rows if joined
        }


def _where(words: Sequence[str], begins: bool, column: str) -> tuple[str, list[str]]:
    """SQL for photos that have these words beside each other in a column, and its values."""
    asked = matching(words, begins, column)
    if len(words) == 1:
        return "terms @@ %s::tsquery", [asked]
    return f"terms @@ %s::tsquery AND {column} LIKE %s", [asked, in_order(words, begins)]
