"""Full-text search over what is written about photos: names, descriptions, captions, read text, tags.

The FTS5 table ``words`` has a row per photo.  What stands in it is worked out from the other tables (``rebuild``) in
the transaction that changes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from mmsearch.store.sql.tables import WORDS
from mmsearch.store.words.names import name_words


def _of_items(table: str, value: str, between: str) -> str:
    """What a table says of the items of a photo's content, joined, in SQL; empty where it says nothing."""
    return (
        f"coalesce((SELECT group_concat({value}, {between}) FROM items CROSS JOIN {table} "
        f"ON {table}.item_id = items.id WHERE items.content_id = photos.content_id), '')"
    )


# Those that people gave come first; what a model says too is said once.
_TAGS = (
    "coalesce((SELECT group_concat(tag, ', ') FROM ("
    "SELECT tag FROM own_tags WHERE photo_id = photos.id UNION ALL "
    "SELECT tag FROM items CROSS JOIN tags ON tags.item_id = items.id WHERE items.content_id = photos.content_id "
    "AND NOT EXISTS (SELECT 1 FROM own_tags WHERE photo_id = photos.id AND folded = tag_folded(tags.tag)))), '')"
)
# In the words of those who wrote it.
SAID = (
    "SELECT photos.id AS photo, photos.state AS state, photos.path AS path, name_words(photos.path) AS name, "
    "trim(coalesce(contents.description, '') || char(10) || coalesce(sidecars.text, ''), char(10)) AS description, "
    f"{_of_items('captions', 'text', 'char(10)')} AS caption, "
    f"trim({_of_items('ocr', 'text', 'char(10)')} || char(10) || {_of_items('part_texts', 'text', 'char(10)')}, "
    "char(10)) AS ocr, "
    f"{_TAGS} AS tags "
    "FROM photos LEFT JOIN contents ON contents.id = photos.content_id "
    "LEFT JOIN sidecars ON sidecars.photo_id = photos.id "
)
_STORED = ", ".join(f"plain_words(said.{name})" for name in WORDS)
SINCE = "009"  # the migration since which this is what is stored


def _write(where: str = "") -> str:
    """SQL that writes anew what ``words`` says of photos that meet this condition."""
    columns = ", ".join(WORDS)
    return f"INSERT OR REPLACE INTO words (rowid, {columns}) SELECT said.photo, {_STORED} FROM ({SAID} {where}) AS said"


def rebuild(connection: Connection, photos: Iterable[int], contents: Iterable[int], items: Iterable[int]) -> None:
    """Write anew what ``words`` says of these photos, and of all photos that have these contents or items.

    ``connection`` needs the SQL functions of ``connection.py``.
    """
    where = (
        "WHERE photos.id IN (SELECT value FROM json_each(?)) "
        "OR photos.content_id IN (SELECT value FROM json_each(?)) "
        "OR photos.content_id IN (SELECT content_id FROM items WHERE id IN (SELECT value FROM json_each(?)))"
    )
    connection.exec_driver_sql(
        _write(where),
        (json.dumps(sorted(photos)), json.dumps(sorted(contents)), json.dumps(sorted(items))),
    )


def anew(connection: Connection) -> None:
    """Make the table ``words`` anew, whatever state it is in."""
    table = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'words'").scalar_one()
    connection.exec_driver_sql("DROP TABLE words")
    connection.exec_driver_sql(table)
    fill(connection)


def fill(connection: Connection) -> None:
    """Write all of the table ``words``, which is empty; nothing is read but the other tables."""
    connection.exec_driver_sql(_write())


def sound(connection: Connection) -> bool:
    """Whether FTS5 finds its own tables in order; also where it may not look now."""
    try:
        connection.exec_driver_sql("INSERT INTO words (words) VALUES ('integrity-check')")
    except DatabaseError as error:
        return any(reason in str(error.orig) for reason in ("locked", "readonly", "read-only"))
    return True


def stale(connection: Connection) -> int:
    """Of how many photos that can be found ``words`` says something else than the other tables."""
    columns = ", ".join(f"words.{name}" for name in WORDS)
    count: int = connection.exec_driver_sql(
        f"SELECT count(*) FROM ({SAID} WHERE photos.state = 'ok') AS said "
        f"JOIN words ON words.rowid = said.photo WHERE ({columns}) <> ({_STORED})"
    ).scalar_one()
    return count


def path_words(path: bytes) -> str:
    """The words of a stored path."""
    return name_words(os.fsdecode(path))
