"""Tags that people gave files: written, counted, and kept where the row of a file gives way to another.

A tag has one spelling in a library, that of whoever wrote it first; what ``tag_names.folded`` takes for the same is the
same tag.  What a model says, in ``tags``, is never touched here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, CursorResult, text

from mmsearch.language.tag_names import folded
from mmsearch.store.paths import inside
from mmsearch.store.types import TagChange

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Lists go to the engine as JSON, so a statement takes as many as there are.
_IDS = {
    "sqlite": "(SELECT value FROM json_each(:asked))",
    "postgresql": "(SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST(:asked AS json)))",
}
_PAIRS = {
    "sqlite": "(SELECT json_extract(value, '$[0]') AS name, json_extract(value, '$[1]') AS value "
    "FROM json_each(:same))",
    "postgresql": "(SELECT value->>0 AS name, value->>1 AS value FROM json_array_elements(CAST(:same AS json)))",
}


def change(
    connection: Connection, photos: Iterable[int], add: Sequence[str], remove: Sequence[str]
) -> tuple[TagChange, set[int]]:
    """Give files tags and take others from them; what was done, and the ids of the files that it was done to."""
    asked, ids = json.dumps(sorted(set(photos))), _IDS[connection.dialect.name]
    of_these = f"FROM own_tags WHERE folded = :folded AND photo_id IN {ids}"
    there = set(_run(connection, f"SELECT id FROM photos WHERE id IN {ids}", asked=asked).scalars())
    touched: set[int] = set()
    added = removed = 0
    for tag in remove:
        having = set(_run(connection, f"SELECT photo_id {of_these}", folded=folded(tag), asked=asked).scalars())
        touched |= having
        removed += int(_run(connection, f"DELETE {of_these}", folded=folded(tag), asked=asked).rowcount)
    for tag in add:
        having = set(_run(connection, f"SELECT photo_id {of_these}", folded=folded(tag), asked=asked).scalars())
        touched |= there - having
        values = {"folded": folded(tag), "tag": _spelling(connection, tag), "asked": asked}
        chosen = f"SELECT id, :folded, :tag FROM photos WHERE id IN {ids}"
        added += int(_add(connection, "own_tags (photo_id, folded, tag)", chosen, **values).rowcount)
    return TagChange(len(there), len(touched), added, removed), touched


def put(connection: Connection, photo: int, own: Iterable[str]) -> None:
    """Give a file tags; those that it has stay."""
    for tag in own:
        values = {"photo": photo, "folded": folded(tag), "tag": _spelling(connection, tag)}
        _add(connection, "own_tags (photo_id, folded, tag)", "VALUES (:photo, :folded, :tag)", **values)


def _run(connection: Connection, statement: str, **values: object) -> CursorResult[Unpack[tuple[Any, ...]]]:
    return connection.execute(text(statement), values)


def _add(connection: Connection, table: str, rows: str, **values: object) -> CursorResult[Unpack[tuple[Any, ...]]]:
    """Adds rows; what is there stays."""
    return _run(connection, f"INSERT INTO {table} {rows} ON CONFLICT DO NOTHING", **values)


def _spelling(connection: Connection, tag: str) -> str:
    """As it is written in the library already, else as it is given."""
    known = _run(connection, "SELECT tag FROM own_tags WHERE folded = :folded LIMIT 1", folded=folded(tag)).scalar()
    return tag if known is None else str(known)


def give_way(connection: Connection, path: bytes, photo: int) -> set[int]:
    """Before the row of a file at this path goes because ``photo`` is there now: keep the tags with what it showed.

    Where files are numbered anew each takes the name of another one.  So they go to the other files with the same
    content, and wait for one where there is none yet (``arrive``).  Gives the ids of files that have other tags now.
    """
    going = _run(
        connection,
        "SELECT photos.id, photos.content_id, contents.hash FROM photos JOIN contents ON contents.id = content_id "
        "WHERE path = :path AND photos.id <> :photo AND photos.id IN (SELECT photo_id FROM own_tags)",
        path=path,
        photo=photo,
    ).one_or_none()
    if going is None:
        return set()
    number, content, content_hash = going
    others = "SELECT id FROM photos WHERE content_id = :content AND id <> :number"
    heirs = set(_run(connection, others, content=content, number=number).scalars())
    if not heirs:
        waiting = "SELECT :hash, folded, tag FROM own_tags WHERE photo_id = :number"
        _add(connection, "waiting_tags (hash, folded, tag)", waiting, hash=content_hash, number=number)
    for heir in heirs:
        inherited = "SELECT :heir, folded, tag FROM own_tags WHERE photo_id = :number"
        _add(connection, "own_tags (photo_id, folded, tag)", inherited, heir=heir, number=number)
    return heirs


def any_waiting(connection: Connection) -> bool:
    """Whether tags wait for a content."""
    return _run(connection, "SELECT 1 FROM waiting_tags LIMIT 1").scalar() is not None


def arrive(connection: Connection, path: bytes) -> None:
    """The file at this path has a content for which tags may wait: it takes them."""
    shows = "SELECT photos.id, contents.hash FROM photos JOIN contents ON contents.id = content_id WHERE path = :path"
    row = _run(connection, shows, path=path).one()
    waits = "SELECT tag FROM waiting_tags WHERE hash = :hash ORDER BY folded"
    put(connection, row.id, _run(connection, waits, hash=row.hash).scalars().all())
    _run(connection, "DELETE FROM waiting_tags WHERE hash = :hash", hash=row.hash)


def counts(connection: Connection, within: Sequence[str] = ()) -> dict[str, int]:
    """How many files that can be found have each tag, of people or of a model, the most frequent first.

    ``within`` keeps those in or below these paths.  A tag that both write is one, spelled as people do.
    """
    own = _run(connection, "SELECT DISTINCT folded, tag FROM own_tags")
    spelled = {str(key): str(tag) for key, tag in own}
    names = _run(connection, "SELECT DISTINCT tag FROM tags").scalars() if spelled else ()
    same = [(name, spelled[folded(name)]) for name in names if folded(name) in spelled]
    where, bounds = "photos.state = 'ok'", dict[str, object]()
    for position, path in enumerate(within):
        names_of = [f"path{position}", f"from{position}", f"to{position}"]
        bounds |= zip(names_of, (os.fsencode(path), *inside(path)), strict=True)
    if within:
        one = "photos.path = :path{0} OR (photos.path >= :from{0} AND photos.path < :to{0})"
        where += f" AND ({' OR '.join(one.format(position) for position in range(len(within)))})"
    if not spelled:  # by far the most frequent case, and the one of large libraries
        rows = _run(
            connection,
            "SELECT tags.tag, count(DISTINCT photos.id) FROM tags JOIN items ON items.id = tags.item_id "
            f"JOIN photos ON photos.content_id = items.content_id WHERE {where} GROUP BY tags.tag",
            **bounds,
        )
    else:
        rows = _run(
            connection,
            "SELECT name, count(DISTINCT photo) FROM ("
            "SELECT coalesce(same.value, tags.tag) AS name, photos.id AS photo FROM tags "
            "JOIN items ON items.id = tags.item_id JOIN photos ON photos.content_id = items.content_id "
            f"LEFT JOIN {_PAIRS[connection.dialect.name]} AS same ON same.name = tags.tag WHERE {where} "
            "UNION ALL SELECT own_tags.tag, photos.id FROM own_tags JOIN photos ON photos.id = own_tags.photo_id "
            f"WHERE {where}) AS tagged GROUP BY name",
            same=json.dumps(same),
            **bounds,
        )
    found = sorted(((str(tag), int(files)) for tag, files in rows), key=lambda one: (-one[1], one[0]))
    return dict(found)
