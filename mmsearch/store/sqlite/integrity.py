"""What must hold in the database of a library: each rule is a search for rows that break it, and what mends them.

What is damaged is thrown away where it can be made again from the picture files, and these are marked to be read again
by the next ``mmsearch index``.  No picture file is touched.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import datetime

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import unpack
from mmsearch.errors import LibraryError
from mmsearch.media.remote_path import is_remote
from mmsearch.store.sqlite import fulltext
from mmsearch.store.sqlite.integrity_rules import LEFT, READ, RULES
from mmsearch.store.types import EXAMPLES, Damage

AT_ONCE = 2_000  # vectors looked at together
OFF = 0.01  # that the length of a vector may differ from 1: rounding to float16 stays far below


def found(connection: Connection, card: RegionCard | None, deep: bool) -> Iterator[Damage]:
    """Every rule that is broken; ``deep`` reads everything.  ``card`` is that of the region tokens, where known."""
    file = list(_file(connection, deep))
    yield from file
    if any(not damage.mendable for damage in file):
        return  # whatever is read next may fail
    yield from _single(connection)
    for rule in RULES:
        count, examples = _breaking(connection, rule.table, rule.where)
        if count:
            yield Damage(rule.kind, count, rule.what, rule.remedy, examples=examples)
    if dates := _dates(connection):
        remedy = "it is read again by the next index run"
        yield Damage("wrong date", len(dates), "pictures with an impossible date", remedy)
    if wrong := _vectors(connection):
        yield Damage("wrong vector values", len(wrong), "vectors that are not of length 1", READ)
    if card is not None and (tokens := _tokens(connection, card)):
        yield Damage("wrong tokens", len(tokens), "damaged region tokens", f"{LEFT}; the next index run makes new ones")
    outside = _outside(connection)
    if outside:
        yield Damage(
            "no root", len(outside), "photos below no known folder", "they become known by themselves",
            examples=tuple(map(os.fsdecode, outside[:EXAMPLES])),
        )  # fmt: skip
    yield from _words(connection, deep)


def mend(connection: Connection, card: RegionCard | None) -> None:
    """Mend every rule that is broken and can be mended, in one transaction of the caller's."""
    run = connection.exec_driver_sql
    run("REINDEX")
    if next(_single(connection), None) is not None:
        _mend_single(connection)
    for table, number in _dates(connection):
        if table == "contents":
            run("UPDATE contents SET taken_at = NULL, metadata_version = 0 WHERE id = ?", (number,))
        else:
            run("DELETE FROM sidecars WHERE photo_id = ?", (number,))
    for number in _vectors(connection):
        run("DELETE FROM embeddings WHERE id = ?", (number,))
    for rule in RULES:
        for statement in rule.mend if _breaking(connection, rule.table, rule.where)[0] else ():
            run(statement.format(where=rule.where))
    for item, model in _tokens(connection, card) if card is not None else ():
        run("DELETE FROM regions WHERE item_id = ? AND model_id = ?", (item, model))
    for path in _outside(connection):
        run("INSERT INTO roots (path) VALUES (?)", (path,))
    if next(_words(connection, deep=True), None) is not None:
        fulltext.anew(connection)


def _breaking(connection: Connection, table: str, where: str) -> tuple[int, tuple[str, ...]]:
    """How many rows meet the condition, and paths of some where they have one."""
    count = connection.exec_driver_sql(f"SELECT count(*) FROM {table} WHERE {where}").scalar_one()
    if not count or table not in ("photos", "roots"):
        return count, ()
    rows = connection.exec_driver_sql(f"SELECT path FROM {table} WHERE {where} LIMIT {EXAMPLES}").scalars()
    return count, tuple(os.fsdecode(path) if isinstance(path, bytes) else repr(path) for path in rows)


def _file(connection: Connection, deep: bool) -> Iterator[Damage]:
    """What SQLite says of its own file."""
    check = "integrity_check" if deep else "quick_check"
    said = list(connection.exec_driver_sql(f"PRAGMA {check}({EXAMPLES})").scalars())
    if said != ["ok"]:
        indexes = all("index" in line or "fts5" in line for line in said)
        yield Damage(
            "database", len(said), "the database file is damaged",
            "its indexes are made anew" if indexes else
            "put a backup in its place, or remove the library's folder and index again",
            indexes, tuple(said),
        )  # fmt: skip


def _single(connection: Connection) -> Iterator[Damage]:
    """What there is one of: the generation, the identity, the active model."""
    if not _has_properties(connection):
        yield Damage("no identity", 1, "the library does not know its generation or identity", "it gets new ones")
    models, active = connection.exec_driver_sql("SELECT count(*), total(active) FROM models").one()
    if models and active != 1:
        yield Damage(
            "no model",
            1,
            f"{int(active)} of {models} models are searched with, where it should be one",
            "the one with most vectors is",
        )


def _has_properties(connection: Connection) -> bool:
    values = {name: value for name, value in connection.exec_driver_sql("SELECT name, value FROM properties")}  # noqa: C416
    generation = str(values.get("generation", ""))
    return generation.isascii() and generation.isdigit() and len(generation) < 16 and bool(values.get("identity"))


def _mend_single(connection: Connection) -> None:
    run = connection.exec_driver_sql
    if not _has_properties(connection):
        # A new identity too: index files of the old one would be taken for those of this generation.
        run("DELETE FROM properties WHERE name IN ('generation', 'identity')")
        run("INSERT INTO properties (name, value) VALUES ('generation', '1'), ('identity', ?)", (secrets.token_hex(4),))
    models, active = run("SELECT count(*), total(active) FROM models").one()
    if models and active != 1:
        run(
            "UPDATE models SET active = (id = (SELECT model_id FROM embeddings JOIN models ON models.id = model_id "
            "GROUP BY model_id ORDER BY count(*) DESC, model_id LIMIT 1))"
        )


_DATES = (
    ("contents", "id", "taken_at"),
    ("sidecars", "photo_id", "taken_at"),
    ("sidecars", "photo_id", "later_taken_at"),
)


def _dates(connection: Connection) -> list[tuple[str, int]]:
    """Tables and ids of rows whose date is none."""
    wrong = []
    for table, key, column in _DATES:
        query = f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"
        for number, date in connection.exec_driver_sql(query):
            try:
                datetime.fromisoformat(date)
            except (ValueError, TypeError):
                wrong.append((table, number))
    return wrong


def _vectors(connection: Connection) -> list[int]:
    """Ids of vectors that have the right length, and values that are not those of a direction."""
    wrong: list[int] = []
    rows = connection.exec_driver_sql(
        "SELECT embeddings.id, vector, dim FROM embeddings JOIN models ON models.id = model_id "
        "WHERE length(vector) = 2 * dim ORDER BY model_id, embeddings.id"
    )
    for some in rows.partitions(AT_ONCE):
        for dim in {dim for _, _, dim in some}:
            own = [(number, vector) for number, vector, its in some if its == dim]
            values = np.frombuffer(b"".join(vector for _, vector in own), "<f2").reshape(len(own), dim)
            with np.errstate(all="ignore"):
                lengths = np.linalg.norm(values.astype(np.float32), axis=1)
                right = np.abs(lengths - 1) <= OFF
            wrong += [number for (number, _), one in zip(own, right, strict=True) if not one]
    return wrong


def _tokens(connection: Connection, card: RegionCard) -> list[tuple[int, int]]:
    """Item and model of region tokens that nobody packed."""
    wrong = []
    rows = connection.exec_driver_sql(
        "SELECT item_id, model_id, data FROM regions WHERE fingerprint = ?", (card.fingerprint,)
    )
    for item, model, data in rows:
        try:
            unpack([data], card.side**2, card.dim)
        except (LibraryError, TypeError, ValueError):
            wrong.append((item, model))
    return wrong


def _outside(connection: Connection) -> list[bytes]:
    """Paths of photos that are neither a root nor below one, in order; lists name addresses that need not be."""
    roots = {os.fsdecode(path) for path in connection.exec_driver_sql("SELECT path FROM roots").scalars()}
    below: dict[str, bool] = {}  # folders

    def has_root(folder: str) -> bool:
        if folder not in below:
            parent = os.path.dirname(folder)
            below[folder] = folder in roots or (parent != folder and has_root(parent))
        return below[folder]

    rows = connection.exec_driver_sql("SELECT path FROM photos WHERE typeof(path) = 'blob' ORDER BY path").scalars()
    paths = ((path, os.fsdecode(path)) for path in rows)
    local = ((path, name) for path, name in paths if not is_remote(name))
    return [path for path, name in local if name not in roots and not has_root(os.path.dirname(name))]


def _words(connection: Connection, deep: bool) -> Iterator[Damage]:
    """Whether full-text search knows what the other tables say."""
    try:
        lacking = connection.exec_driver_sql(
            "SELECT count(*) FROM photos WHERE state = 'ok' AND id NOT IN (SELECT rowid FROM words)"
        ).scalar_one()
        lacking += connection.exec_driver_sql(
            "SELECT count(*) FROM words WHERE rowid NOT IN (SELECT id FROM photos)"
        ).scalar_one()
        stale = fulltext.stale(connection) if deep and not lacking else 0
        damaged = 0 if fulltext.sound(connection) else 1
    except DatabaseError:
        lacking, stale, damaged = 0, 0, 1
    if lacking or stale or damaged:
        yield Damage(
            "words", max(lacking + stale, damaged), "words that cannot be searched, or are of no photo",
            "full-text search is made anew",
        )  # fmt: skip
