"""Packs are put in order: small ones together, what nobody names is deleted, what is lost is found."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from mmsearch.store.objects import Listed, Objects
from mmsearch.store.postgres.packs import (
    MARK,
    NAME,
    OWN_PACKS,
    PACK,
    PackWriter,
    Transaction,
    check_mark,
    folder_for_packs,
    noted_place,
    own_folder,
    packed,
)
from mmsearch.store.types import EXAMPLES, TOKENS, BlobKind, Damage, Tidied

log = logging.getLogger(__name__)

DAY = 86_400.0  # seconds: so long a pack stays that nobody names, for whoever still reads it or is about to name it
SMALL = PACK // 2  # a pack with fewer blobs is put together with others
FEW = 8  # so many small packs are left as they are: each index run makes some

_CHOSEN = (
    "SELECT pack_id, count(*) < blobs / 2.0 FROM blob_packs JOIN blob_places ON pack_id = blob_packs.id "
    "GROUP BY pack_id, blobs HAVING count(*) < %s OR count(*) < blobs / 2.0"
)
_OF_PACKS = (
    "SELECT item_id, model_id, pack_id, key, start, length, crc FROM blob_places "
    "JOIN blob_packs ON blob_packs.id = pack_id WHERE pack_id = ANY(%s::bigint[]) ORDER BY pack_id, start LIMIT %s"
)
_MOVED = (
    "UPDATE blob_places SET pack_id = %s, start = new.start FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], "
    "%s::bigint[], %s::bigint[]) AS new (item, model, pack, before, start) WHERE item_id = item AND model_id = model "
    "AND pack_id = pack AND blob_places.start = before"
)
_GIVE_UP = (
    "UPDATE blob_packs SET given_up = clock_timestamp() WHERE given_up IS NULL "
    "AND NOT EXISTS (SELECT 1 FROM blob_places WHERE pack_id = blob_packs.id)"
)
_GIVEN_UP = (
    "SELECT id, key FROM blob_packs WHERE given_up < clock_timestamp() - make_interval(secs => %s) "
    "AND NOT EXISTS (SELECT 1 FROM blob_places WHERE pack_id = blob_packs.id) ORDER BY id LIMIT 1000"
)
_IN_TABLE = (
    "SELECT embeddings.id, models.fingerprint, regions.fingerprint, regions.data FROM regions "
    "JOIN embeddings ON embeddings.item_id = regions.item_id AND embeddings.model_id = regions.model_id "
    "JOIN models ON models.id = regions.model_id WHERE length(regions.data) > 0 AND NOT EXISTS (SELECT 1 FROM "
    "blob_places WHERE blob_places.item_id = regions.item_id AND blob_places.model_id = regions.model_id) LIMIT %s"
)
_LACKING = (
    "SELECT id, key FROM blob_packs WHERE made < %s AND id <> ALL(%s::bigint[]) "
    "AND EXISTS (SELECT 1 FROM blob_places WHERE pack_id = blob_packs.id) ORDER BY id"
)
_NAMED = "SELECT id, key FROM blob_packs WHERE id > %s AND given_up IS NULL ORDER BY id LIMIT 100"
_FORGOTTEN = (
    "DELETE FROM regions USING blob_places, unnest(%s::bigint[], %s::bigint[], %s::bigint[]) "
    "AS lost (item, model, pack) WHERE regions.item_id = item AND regions.model_id = model "
    "AND blob_places.item_id = item AND blob_places.model_id = model AND pack_id = pack"
)
_TIDIED = (
    "INSERT INTO properties (name, value) VALUES ('blobs_tidied', extract(epoch FROM clock_timestamp())::text) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_SINCE = (
    "SELECT extract(epoch FROM clock_timestamp())::float8 - value::float8 FROM properties WHERE name = 'blobs_tidied'"
)

_COUNT = "SELECT count(*) FROM blob_packs WHERE given_up IS NULL"

Lost = tuple[int, int, int]  # a blob that is lost or damaged: item, model and pack


@dataclass
class _Compared:
    """What is there, against what is named."""

    missing: dict[int, str] = field(default_factory=dict)  # id -> key of a pack that is named and not there
    wrong: dict[int, str] = field(default_factory=dict)  # of one that has another size
    orphans: int = 0  # packs there that nobody names
    deleted: int = 0  # of these


class PackCare:
    """Looks after the packs of a library, whose writer's lock is held where anything is changed."""

    def __init__(self, transaction: Transaction, objects: Objects) -> None:
        self._transaction, self._objects = transaction, objects

    def tidy_if_due(self) -> None:
        """What is due at the end of an index run; all of it once a day."""
        with self._transaction(False) as connection:
            since: float | None = connection.exec_driver_sql(_SINCE).scalar()
        if since is None or since > DAY:
            self.tidy()
        else:
            self._compact()
            self._delete_given_up(DAY)

    def tidy(self, age: float = DAY) -> Tidied:
        """Put all in order; what nobody names goes, once that is so for ``age`` seconds."""
        with self._transaction(True) as connection:
            if noted_place(connection) is None:
                if not connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM regions)").scalar():
                    return Tidied(0, 0, 0, 0, 0)
                folder_for_packs(connection, self._objects)  # from now on they are to be there
        taken = self._take_from_table()
        rewritten = self._compact()
        deleted = self._delete_given_up(age)
        compared = self._compare(age)
        with self._transaction(True) as connection:
            connection.exec_driver_sql(_TIDIED)
            packs = int(connection.exec_driver_sql(_COUNT).scalar_one())
        if compared.missing:
            log.warning("%d packs of region tokens are not at %s", len(compared.missing), self._objects.place)
        return Tidied(packs, taken + rewritten, compared.orphans, deleted + compared.deleted, len(compared.missing))

    def _take_from_table(self) -> int:
        """Put blobs that were stored in the database, before the library had packs, into packs; how many."""
        taken = 0
        while True:
            with self._transaction(True) as connection:
                rows = connection.exec_driver_sql(_IN_TABLE, (PACK,)).all()
                writer = PackWriter(connection, self._objects)
                kinds: dict[BlobKind, dict[int, bytes]] = {}
                for number, model, version, data in rows:
                    kinds.setdefault(BlobKind(TOKENS, model, version), {})[number] = bytes(data)
                for kind, blobs in kinds.items():
                    writer.put(kind, blobs)
                writer.finish()
            taken += len(rows)
            if len(rows) < PACK:
                return taken

    def _compact(self) -> int:
        """Write what small packs hold, and those of which most is gone, into new ones; how many blobs.

        Who reads an old one meanwhile still finds it: it is given up, and deleted later.
        """
        with self._transaction(False) as connection:
            rows = connection.exec_driver_sql(_CHOSEN, (SMALL,)).all()
        due = len(rows) >= FEW or any(mostly_gone for _, mostly_gone in rows)
        chosen = {number for number, _ in rows} if due else set()
        moved = 0
        while chosen:
            with self._transaction(False) as connection:
                places = connection.exec_driver_sql(_OF_PACKS, (sorted(chosen), PACK)).all()
            if not places:
                break
            whole, broken = self._read(places)
            chosen -= broken  # what is wrong with it is for verify
            if whole:
                self._move(whole)
                moved += len(whole)
        with self._transaction(True) as connection:
            connection.exec_driver_sql(_GIVE_UP)
        return moved

    def _read(self, places: Sequence[Any]) -> tuple[list[tuple[Any, bytes]], set[int]]:
        """Rows of ``_OF_PACKS`` with their blobs, and the packs that are not whole, of which there are none."""
        ranges: dict[str, list[tuple[int, int]]] = {}
        for row in places:
            if row.length:
                ranges.setdefault(row.key, []).append((row.start, row.length))
        read = self._objects.read(ranges)
        blobs = [(row, read.get((row.key, row.start), b"") if row.length else b"") for row in places]
        broken = {row.pack_id for row, blob in blobs if not _is_right(row, blob)}
        return [(row, blob) for row, blob in blobs if row.pack_id not in broken], broken

    def _move(self, blobs: Sequence[tuple[Any, bytes]]) -> None:
        rows = [row for row, _ in blobs]
        with self._transaction(True) as connection:
            folder = folder_for_packs(connection, self._objects)
            pack, starts = packed(connection, self._objects, folder, [blob for _, blob in blobs])
            columns = [[getattr(row, name) for row in rows] for name in ("item_id", "model_id", "pack_id", "start")]
            connection.exec_driver_sql(_MOVED, (pack, *columns, starts))

    def _delete_given_up(self, age: float) -> int:
        deleted = 0
        while True:
            with self._transaction(False) as connection:
                rows = connection.exec_driver_sql(_GIVEN_UP, (age,)).all()
                own = own_folder(connection)
            if not rows:
                return deleted
            keys = [key for _, key in rows if _is_own(key, own)]  # of a copy of the database, the other one's stay
            self._objects.delete(keys)
            deleted += len(keys)
            with self._transaction(True) as connection:
                numbers = [number for number, _ in rows]
                connection.exec_driver_sql("DELETE FROM blob_packs WHERE id = ANY(%s::bigint[])", (numbers,))

    def _compare(self, age: float | None = None) -> _Compared:
        """Compare what is listed with what is named, both ways; orphans older than ``age`` seconds are deleted.

        Raises LibraryError where the place is not the one that it was.
        """
        with self._transaction(False) as connection:
            now: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
            own = own_folder(connection)
            folders = connection.exec_driver_sql("SELECT DISTINCT split_part(key, '/', 1) FROM blob_packs").scalars()
            folders_there = {own, *folders}
            if connection.exec_driver_sql(OWN_PACKS, (f"{own}/",)).scalar():
                check_mark(self._objects, own)
        found, seen = _Compared(), [-1]
        for folder in sorted(folders_there):
            for page in self._objects.listed(folder):
                unnamed = self._compare_page(page, found, seen)
                orphans = [one for one in unnamed if _is_own(one.key, own)]
                old = [one.key for one in orphans if age is not None and one.written <= now - timedelta(seconds=age)]
                self._objects.delete(old)
                found.orphans += len(orphans)
                found.deleted += len(old)
        with self._transaction(False) as connection:
            rows = connection.exec_driver_sql(_LACKING, (now, seen)).all()
        found.missing = {number: key for number, key in rows}  # noqa: C416  # rows are no pairs for ``dict``
        return found

    def _compare_page(self, page: Sequence[Listed], found: _Compared, seen: list[int]) -> list[Listed]:
        """Note which packs are seen, and which have a wrong size; those that nobody names are returned."""
        query = "SELECT key, id, bytes FROM blob_packs WHERE key = ANY(%s::text[])"
        with self._transaction(False) as connection:
            rows = connection.exec_driver_sql(query, ([one.key for one in page],)).all()
        named = {key: (number, size) for key, number, size in rows}
        for one in page:
            if one.key in named:
                number, size = named[one.key]
                seen.append(number)
                if one.size != size:
                    found.wrong[number] = one.key
        return [one for one in page if one.key not in named and not one.key.endswith(f"/{MARK}")]

    def damages(self, deep: bool) -> tuple[list[Damage], set[Lost]]:
        """What is not there or not as it was written, and the blobs that are lost by it; ``deep`` reads all packs."""
        with self._transaction(False) as connection:
            if noted_place(connection) is None:
                return [], set()
        compared = self._compare()
        missing = {one for number in compared.missing for one in self._lost(number, None)}
        wrong = {one for number, key in compared.wrong.items() for one in self._lost(number, self._objects.get(key))}
        if deep:
            for number, key in self._named():
                if number not in compared.missing and number not in compared.wrong:
                    wrong.update(self._lost(number, self._objects.get(key)))
        found = []
        remedy = "they are forgotten; the next index run makes new ones"
        if missing:
            what = f"region tokens whose packs are not at {self._objects.place}"
            examples = tuple(list(compared.missing.values())[:EXAMPLES])
            found.append(Damage("missing tokens", len(missing), what, remedy, examples=examples))
        if wrong:
            found.append(Damage("wrong tokens", len(wrong), "damaged region tokens", remedy))
        return found, missing | wrong

    def _named(self) -> Iterator[tuple[int, str]]:
        last = -1
        while True:
            with self._transaction(False) as connection:
                rows = connection.exec_driver_sql(_NAMED, (last,)).all()
            if not rows:
                return
            yield from ((number, key) for number, key in rows)
            last = rows[-1][0]

    def _lost(self, pack: int, data: bytes | None) -> Iterator[Lost]:
        """The blobs of a pack that are not in its bytes; all where it is None."""
        with self._transaction(False) as connection:
            rows = connection.exec_driver_sql(_OF_PACKS, ([pack], 10 * PACK)).all()
        for row in rows:
            if data is None or not _is_right(row, data[row.start : row.start + row.length]):
                yield row.item_id, row.model_id, row.pack_id

    def forget(self, lost: set[Lost]) -> None:
        """Forget lost blobs, as long as they were not made again, so that their items lack them."""
        if lost:
            columns = tuple(list(column) for column in zip(*sorted(lost), strict=True))
            with self._transaction(True) as connection:
                connection.exec_driver_sql(_FORGOTTEN, columns)
                connection.exec_driver_sql(_GIVE_UP)


def _is_own(key: str, folder: str) -> bool:
    """Whether an object is a pack of this database, by its name."""
    start, _, name = key.rpartition("/")
    return start == folder and NAME.fullmatch(name) is not None


def _is_right(row: Any, blob: bytes) -> bool:
    return bool(len(blob) == row.length and zlib.crc32(blob) == row.crc)


def packed_bytes(connection: Connection) -> int:
    """How many bytes the packs of a library take, those among them that are soon deleted."""
    if noted_place(connection) is None:
        return 0
    return int(connection.exec_driver_sql("SELECT coalesce(sum(bytes), 0)::bigint FROM blob_packs").scalar_one())
