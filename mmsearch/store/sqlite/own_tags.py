"""Tags that people gave files: written, counted, and kept where the row of a file gives way to another.

A tag has one spelling in a library, that of whoever wrote it first; what ``tag_names.folded`` takes for the same is the
same tag.  What a model says, in ``tags``, is never touched here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from mmsearch.language.tag_names import folded
from mmsearch.store.paths import inside
from mmsearch.store.types import TagChange

# Of a file, those that people gave, as a JSON array.
OF_PHOTO = "(SELECT json_group_array(tag) FROM own_tags WHERE photo_id = photos.id HAVING count(*))"

_ADD = (
    "INSERT OR IGNORE INTO own_tags (photo_id, folded, tag) "
    "SELECT photos.id, ?, ? FROM json_each(?) CROSS JOIN photos ON photos.id = value"
)
_REMOVE = "DELETE FROM own_tags WHERE folded = ? AND photo_id IN (SELECT value FROM json_each(?))"
_HAVING = "SELECT photo_id FROM own_tags WHERE folded = ? AND photo_id IN (SELECT value FROM json_each(?))"


def change(
    connection: Connection, photos: Iterable[int], add: Sequence[str], remove: Sequence[str]
) -> tuple[TagChange, set[int]]:
    """Give files tags and take others from them; what was done, and the ids of the files that it was done to."""
    run = connection.exec_driver_sql
    wanted = sorted(set(photos))
    asked = json.dumps(wanted)
    known = "SELECT photos.id FROM json_each(?) CROSS JOIN photos ON photos.id = value"
    there = set(run(known, (asked,)).scalars())
    touched: set[int] = set()
    added = removed = 0
    for tag in remove:
        having = set(run(_HAVING, (folded(tag), asked)).scalars())
        touched |= having
        removed += int(run(_REMOVE, (folded(tag), asked)).rowcount)
    for tag in add:
        having = set(run(_HAVING, (folded(tag), asked)).scalars())
        touched |= there - having
        added += int(run(_ADD, (folded(tag), _spelling(connection, tag), asked)).rowcount)
    return TagChange(len(there), len(touched), added, removed), touched


def put(connection: Connection, photo: int, own: Iterable[str]) -> None:
    """Give a file tags; those that it has stay."""
    for tag in own:
        row = (photo, folded(tag), _spelling(connection, tag))
        connection.exec_driver_sql("INSERT OR IGNORE INTO own_tags (photo_id, folded, tag) VALUES (?, ?, ?)", row)


def _spelling(connection: Connection, tag: str) -> str:
    """As it is written in the library already, else as it is given."""
    known = connection.exec_driver_sql("SELECT tag FROM own_tags WHERE folded = ? LIMIT 1", (folded(tag),)).scalar()
    return tag if known is None else str(known)


def give_way(connection: Connection, path: bytes, photo: int) -> set[int]:
    """Before the row of a file at this path goes because ``photo`` is there now: keep the tags with what it showed.

    Where files are numbered anew each takes the name of another one.  So they go to the other files with the same
    content, and wait for one where there is none yet (``arrive``).  Gives the ids of files that have other tags now.
    """
    run = connection.exec_driver_sql
    going = run(
        "SELECT photos.id, photos.content_id, contents.hash FROM photos JOIN contents ON contents.id = content_id "
        "WHERE path = ? AND photos.id <> ? AND photos.id IN (SELECT photo_id FROM own_tags)",
        (path, photo),
    ).one_or_none()
    if going is None:
        return set()
    number, content, content_hash = going
    heirs = set(run("SELECT id FROM photos WHERE content_id = ? AND id <> ?", (content, number)).scalars())
    if not heirs:
        run(
            "INSERT OR IGNORE INTO waiting_tags (hash, folded, tag) SELECT ?, folded, tag FROM own_tags "
            "WHERE photo_id = ?",
            (content_hash, number),
        )
    for heir in heirs:
        run(
            "INSERT OR IGNORE INTO own_tags (photo_id, folded, tag) SELECT ?, folded, tag FROM own_tags "
            "WHERE photo_id = ?",
            (heir, number),
        )
    return heirs


def any_waiting(connection: Connection) -> bool:
    """Whether tags wait for a content."""
    return connection.exec_driver_sql("SELECT 1 FROM waiting_tags LIMIT 1").scalar() is not None


def arrive(connection: Connection, path: bytes) -> None:
    """The file at this path has a content for which tags may wait: it takes them."""
    run = connection.exec_driver_sql
    row = run(
        "SELECT photos.id, contents.hash FROM photos JOIN contents ON contents.id = content_id WHERE path = ?", (path,)
    ).one()
    waiting = run("SELECT tag FROM waiting_tags WHERE hash = ? ORDER BY folded", (row.hash,)).scalars().all()
    put(connection, row.id, waiting)
    run("DELETE FROM waiting_tags WHERE hash = ?", (row.hash,))


def counts(connection: Connection, within: Sequence[str] = ()) -> dict[str, int]:
    """How many files that can be found have each tag, of people or of a model, the most frequent first.

    ``within`` keeps those in or below these paths.  A tag that both write is one, spelled as people do.
    """
    run = connection.exec_driver_sql
    spelled = {str(key): str(tag) for key, tag in run("SELECT DISTINCT folded, tag FROM own_tags")}
    names = run("SELECT DISTINCT tag FROM tags").scalars() if spelled else ()
    same = [(name, spelled[folded(name)]) for name in names if folded(name) in spelled]
    where, bounds = "", list[object]()
    if within:
        where = (
            " AND (" + " OR ".join("photos.path = ? OR (photos.path >= ? AND photos.path < ?)" for _ in within) + ")"
        )
        bounds = [bound for path in within for bound in (os.fsencode(path), *inside(path))]
    if not spelled:  # by far the most frequent case, and the one of large libraries
        rows = run(
            "SELECT tags.tag, count(DISTINCT photos.id) FROM tags JOIN items ON items.id = tags.item_id "
            f"JOIN photos ON photos.content_id = items.content_id WHERE photos.state = 'ok'{where} GROUP BY tags.tag",
            tuple(bounds),
        )
    else:
        rows = run(
            "SELECT name, count(DISTINCT photo) FROM ("
            "SELECT coalesce(same.value, tags.tag) AS name, photos.id AS photo FROM tags "
            "JOIN items ON items.id = tags.item_id JOIN photos ON photos.content_id = items.content_id "
            "LEFT JOIN (SELECT json_extract(value, '$[0]') AS name, json_extract(value, '$[1]') AS value "
            f"FROM json_each(?)) AS same ON same.name = tags.tag WHERE photos.state = 'ok'{where} "
            "UNION ALL SELECT own_tags.tag, photos.id FROM own_tags JOIN photos ON photos.id = own_tags.photo_id "
            f"WHERE photos.state = 'ok'{where}) GROUP BY name",
            (json.dumps(same), *bounds, *bounds),
        )
    found = sorted(((str(tag), int(files)) for tag, files in rows), key=lambda one: (-one[1], one[0]))
    return dict(found)
