"""The truth of a library: one SQLite file with every photo and every vector.

Reading is safe from several threads.  All changes go through ``Store.writing``: one transaction, all or nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    create_engine,
    event,
    false,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import size, unpack
from mmsearch.errors import LibraryError
from mmsearch.media import FACTS
from mmsearch.media.dhash import Hashes, as_numbers
from mmsearch.media.filesystem import on_network
from mmsearch.query.model import Condition, Order
from mmsearch.store.paths import at_or_below
from mmsearch.store.sqlite import fulltext, schema
from mmsearch.store.sqlite.attribute_filter import Facts
from mmsearch.store.sqlite.export_rows import Holdings
from mmsearch.store.sqlite.fulltext import WordHit
from mmsearch.store.sqlite.fulltext_ranking import Lists
from mmsearch.store.sqlite.known_contents import Contents
from mmsearch.store.sqlite.snapshot_cache import Keeper
from mmsearch.store.sqlite.statistics import Summary, summary
from mmsearch.store.sqlite.tables import (
    captions,
    contents,
    embeddings,
    facts,
    models,
    ocr,
    photos,
    regions,
    roots,
    sidecars,
    tagged,
    tags,
)
from mmsearch.store.sqlite.writer import Writer
from mmsearch.store.types import (
    Counts,
    Filed,
    KeptModel,
    Known,
    Lacking,
    SidecarState,
    StoredModel,
    Uncaptioned,
    Untagged,
    chunks,
)
from mmsearch.types import Exif, Found, Ids, Photo, Regions, Skipped, Vectors

if TYPE_CHECKING:  # only ``verify`` and ``repair`` need it
    from mmsearch.store.sqlite.integrity import Damage

log = logging.getLogger(__name__)


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Turns the database's errors into ones that say what to do."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = str(error.orig if isinstance(error, DatabaseError) else error)
        if "full" in cause:
            advice = "the disk is full; free some space and run the same command again, nothing that was stored is lost"
        elif "locked" in cause or "busy" in cause:
            advice = "another program holds it locked; try again when that is done"
        elif "readonly" in cause or "read-only" in cause:
            advice = "it may not be written; check its permissions, or choose another folder with --library"
        elif "unable to open" in cause:
            advice = "it cannot be opened; check the permissions of its folder, or choose another one with --library"
        elif "malformed" in cause or "not a database" in cause:
            advice = "the file is damaged; restore a copy of it, or remove the library's folder and index again"
        else:
            advice = cause
        raise LibraryError(f"library database {file}: {advice}") from error


class Store:
    """Opened on a file, created and upgraded as needed.  A context manager.

    It keeps lists of words in memory, 64 MiB at most (``kept.MOST``), and the columns that filters asked for.
    """

    def __init__(self, file: Path) -> None:
        """Raises NewerLibraryError for a file of a newer version, LibraryError where it cannot be opened."""
        self.file = file
        read_only = file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))
        wal = not on_network(file.parent)
        if not wal:
            log.info("%s is on a network drive: using a rollback journal, which is slower", file.parent)
        address = file.absolute().as_uri() + ("?mode=ro" if read_only else "")
        if read_only and not Path(f"{file}-wal").exists():
            address += "&immutable=1"  # else SQLite wants to write its shared memory even to read

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(address, timeout=30, check_same_thread=False, isolation_level=None, uri=True)

        self._engine = create_engine(URL.create("sqlite"), creator=connect, poolclass=QueuePool, pool_size=8)
        self._facts = Facts(self._engine)
        self._values, self._lists = Keeper(self._engine), Keeper(self._engine)

        @event.listens_for(self._engine, "connect")
        def configure(connection: sqlite3.Connection, _record: Any) -> None:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA busy_timeout = 30000")
            if not read_only:
                connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
            connection.execute("PRAGMA synchronous = NORMAL")  # in WAL a power cut may lose the last batch, no more
            connection.create_function("name_words", 1, fulltext.path_words, deterministic=True)
            connection.create_function("path_name", 1, lambda path: os.path.basename(os.fsdecode(path)).casefold())

        @event.listens_for(self._engine, "begin")
        def begin(connection: Connection) -> None:
            # sqlite3's own transaction handling is off (isolation_level None): it commits at surprising moments.
            write = connection.get_execution_options().get("write")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        try:
            with _explained(file), self._transaction(write=not file.exists()) as connection:
                fresh = schema.is_current(connection)
            if not fresh:
                with _explained(file), self._transaction(write=True) as connection:
                    schema.upgrade(connection, str(file.parent))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for held in (self._facts, self._values, self._lists):
            held.close()
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def kept_bytes(self) -> int:
        """What the lists of words that are kept take."""
        return self._lists.nbytes

    @contextlib.contextmanager
    def _transaction(self, write: bool = False) -> Iterator[Connection]:
        with self._engine.connect().execution_options(write=write) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _explained(self.file), self._transaction() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """One transaction: everything done through the yielded ``Writer`` is stored together, or not at all."""
        with _explained(self.file), self._transaction(write=True) as connection:
            writer = Writer(connection)
            yield writer
            writer.write_words()
            if writer.changed:
                connection.execute(
                    facts.update()
                    .where(facts.c.name == "generation")
                    .values(value=text("CAST(CAST(value AS INTEGER) + 1 AS TEXT)"))
                )

    def damages(self, card: RegionCard | None, deep: bool = False) -> list[Damage]:
        """What does not hold in the database; ``deep`` reads all of it.  ``card`` is that of the region tokens."""
        from mmsearch.store.sqlite import integrity

        with self._reading() as connection:
            return list(integrity.found(connection, card, deep))

    def mend(self, card: RegionCard | None) -> None:
        """Mend what ``damages`` finds, where that can be done."""
        with self.writing() as writer:
            writer.mend(card)

    # What is known

    def generation(self) -> int:
        """Grows with every change of what can be found."""
        return int(self._fact("generation"))

    def _fact(self, name: str) -> str:
        with _explained(self.file), self._values.reading() as (connection, kept):
            one = "SELECT value FROM facts WHERE name = ?"
            return kept.of(name, lambda: str(connection.execute(one, (name,)).fetchone()[0]))

    def model(self) -> StoredModel | None:
        """The active model, or None before the first ``index``."""
        with _explained(self.file), self._values.reading() as (connection, kept):
            active = "SELECT id, name, fingerprint, dim FROM models WHERE active"
            row = kept.of(active, lambda: connection.execute(active).fetchone())
        return StoredModel(*row) if row else None

    def kept_models(self) -> list[KeptModel]:
        """The models that there are vectors of, the active one first."""
        count = func.count(embeddings.c.id)
        query = (
            select(models.c.id, models.c.name, models.c.fingerprint, models.c.dim, models.c.active, count)
            .outerjoin(embeddings, embeddings.c.model_id == models.c.id)
            .group_by(models.c.id)
            .order_by(models.c.active.desc(), models.c.id.desc())
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        found = ((StoredModel(*facts), active, vectors) for *facts, active, vectors in rows)
        return [KeptModel(model, bool(active), vectors, self.lacking(model)) for model, active, vectors in found]

    def vacuum(self) -> None:
        """Give the space of what was deleted back to the disk."""
        with _explained(self.file), self._engine.connect() as connection:
            connection.connection.driver_connection.execute("VACUUM")  # type: ignore[union-attr]

    def roots(self) -> list[str]:
        """The folders and files that were indexed, sorted."""
        with self._reading() as connection:
            return sorted(os.fsdecode(path) for path in connection.execute(select(roots.c.path)).scalars())

    def known(self, root: str, model: StoredModel) -> dict[str, Known]:
        """What is stored of ``root`` itself and everything below it, by path."""
        embedded = select(embeddings.c.content_id).where(embeddings.c.model_id == model.id)
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
        query = select(contents.c.hash, contents.c.id).join(embeddings, embeddings.c.content_id == contents.c.id)
        query = query.where(embeddings.c.model_id == model.id)
        one = query.where(contents.c.hash == bindparam("hash"))

        def stored(content_hash: bytes) -> int | None:
            with self._reading() as connection:
                row = connection.execute(one, {"hash": content_hash}).one_or_none()
            return None if row is None else int(row.id)

        def every() -> dict[bytes, int]:
            with self._reading() as connection:
                return dict(tuple(row) for row in connection.execute(query).all())

        return Contents(stored, every)

    def lacking(self, model: StoredModel) -> int:
        """How many pictures that can be found have no vector of this model."""
        embedded = select(embeddings.c.content_id).where(embeddings.c.model_id == model.id)
        query = select(func.count()).where(photos.c.state == "ok", photos.c.content_id.not_in(embedded))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def lacking_regions(self, model: StoredModel, card: RegionCard, roots: Sequence[str]) -> list[Lacking]:
        """Contents of pictures in or below ``roots`` that can be found, but without tokens of this card.

        In the order of their first paths.
        """
        if not roots:
            return []
        return self._lacking(model, contents.c.id.not_in(_with_regions(model, card)), roots)

    def lacking_facts(self, model: StoredModel, roots: Sequence[str]) -> list[Lacking]:
        """Contents of pictures in or below ``roots`` that can be found, but were not read by this version.

        In the order of their first paths.
        """
        return self._lacking(model, contents.c.facts < FACTS, roots) if roots else []

    def lacking_text(self, engine: str, roots: Sequence[str]) -> list[Lacking]:
        """Contents of pictures in or below ``roots`` that can be found, but were not looked at for text by this engine.

        In the order of their first paths.
        """
        looked = select(ocr.c.content_id).where(ocr.c.engine == engine)
        return self._lacking(None, contents.c.id.not_in(looked), roots) if roots else []

    def beside(self, roots: Sequence[str]) -> Iterator[SidecarState]:
        """The photos in or below ``roots`` that can be found, in the order of their paths."""
        query = (
            select(photos.c.id, photos.c.path, sidecars.c.stamp)
            .outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)
            .where(photos.c.state == "ok", or_(false(), *(at_or_below(photos.c.path, root) for root in roots)))
            .order_by(photos.c.path)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return (SidecarState(number, os.fsdecode(path), stamp) for number, path, stamp in rows)

    def _lacking(self, model: StoredModel | None, lack: ColumnElement[bool], roots: Sequence[str]) -> list[Lacking]:
        embedded = select(embeddings.c.content_id)
        if model is not None:
            embedded = embedded.where(embeddings.c.model_id == model.id)
        query = (
            select(contents.c.id, contents.c.hash, photos.c.path, photos.c.size, photos.c.mtime_ns)
            .join(contents, contents.c.id == photos.c.content_id)
            .where(
                photos.c.state == "ok",
                contents.c.id.in_(embedded),
                lack,
                or_(*(at_or_below(photos.c.path, root) for root in roots)),
            )
            .order_by(photos.c.path)
        )
        found: dict[tuple[int, bytes], list[Found]] = {}
        with self._reading() as connection:
            for content, content_hash, path, size, time in connection.execute(query):
                found.setdefault((content, content_hash), []).append(Found(os.fsdecode(path), size, time))
        return [Lacking(content, content_hash, tuple(files)) for (content, content_hash), files in found.items()]

    def with_regions(self, model: StoredModel) -> int:
        """How many pictures that can be found have region tokens of this model, of whatever card."""
        query = select(func.count()).where(photos.c.state == "ok", photos.c.content_id.in_(_with_regions(model)))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def lacking_captions(
        self, model: StoredModel, card: RegionCard, reranker: str, roots: Sequence[str]
    ) -> list[Uncaptioned]:
        """Contents in or below ``roots`` that can be found and have tokens of this card, but no caption.

        A caption of another reranker than that of this fingerprint is none.  In the order of their ids.
        """
        if not roots:
            return []
        captioned = select(captions.c.content_id).where(captions.c.reranker == reranker)
        query = (
            select(embeddings.c.content_id, embeddings.c.id, func.min(photos.c.path))
            .join(photos, photos.c.content_id == embeddings.c.content_id)
            .where(
                photos.c.state == "ok",
                embeddings.c.model_id == model.id,
                embeddings.c.content_id.in_(_with_regions(model, card)),
                embeddings.c.content_id.not_in(captioned),
                or_(*(at_or_below(photos.c.path, root) for root in roots)),
            )
            .group_by(embeddings.c.content_id, embeddings.c.id)
            .order_by(embeddings.c.content_id)
        )
        with self._reading() as connection:
            return [
                Uncaptioned(content, vector, os.fsdecode(path)) for content, vector, path in connection.execute(query)
            ]

    def with_captions(self) -> int:
        """How many pictures that can be found have a caption, of whatever reranker."""
        query = select(func.count()).where(
            photos.c.state == "ok", photos.c.content_id.in_(select(captions.c.content_id))
        )
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def lacking_tags(self, model: StoredModel, vocabulary: str, within: Sequence[str] = ()) -> list[Untagged]:
        """Contents that can be found and were not compared with this vocabulary, by its fingerprint.

        ``within`` keeps those that have a file in or below these paths.  In the order of their ids.
        """
        query = (
            select(embeddings.c.content_id, embeddings.c.id, func.min(photos.c.path))
            .join(photos, photos.c.content_id == embeddings.c.content_id)
            .where(
                photos.c.state == "ok",
                embeddings.c.model_id == model.id,
                embeddings.c.content_id.not_in(select(tagged.c.content_id).where(tagged.c.vocabulary == vocabulary)),
            )
            .group_by(embeddings.c.content_id, embeddings.c.id)
            .order_by(embeddings.c.content_id)
        )
        if within:
            query = query.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
        with self._reading() as connection:
            return [Untagged(content, vector, os.fsdecode(path)) for content, vector, path in connection.execute(query)]

    def tag_counts(self, within: Sequence[str] = ()) -> dict[str, int]:
        """How many files that can be found have each tag, the most frequent first; in or below these paths, if any."""
        count = func.count(photos.c.id)
        query = (
            select(tags.c.tag, count)
            .join(photos, photos.c.content_id == tags.c.content_id)
            .where(photos.c.state == "ok")
            .group_by(tags.c.tag)
            .order_by(count.desc(), tags.c.tag)
        )
        if within:
            query = query.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
        with self._reading() as connection:
            return {tag: int(files) for tag, files in connection.execute(query)}

    @contextlib.contextmanager
    def holdings(self, model: StoredModel) -> Iterator[Holdings]:
        """All that is known of the files that can be found, as it is at this moment, whatever is written meanwhile."""
        with self._reading() as connection:
            yield Holdings(connection, model.id)

    def placed(self, paths: Sequence[str]) -> set[str]:
        """Which of these files are known, whatever their state."""
        found: set[str] = set()
        with self._reading() as connection:
            for chunk in chunks([os.fsencode(path) for path in paths]):
                rows = connection.execute(select(photos.c.path).where(photos.c.path.in_(chunk))).scalars()
                found.update(map(os.fsdecode, rows))
        return found

    def identity(self) -> str:
        """Random letters that tell this database from every other."""
        return self._fact("identity")

    def counts(self) -> Counts:
        with self._reading() as connection:
            rows = connection.execute(select(photos.c.state, func.count()).group_by(photos.c.state)).all()
        by_state: dict[str, int] = dict(rows)
        return Counts(by_state.get("ok", 0), by_state.get("failed", 0), by_state.get("missing", 0))

    def summary(self) -> Summary:
        """The library in figures."""
        with self._reading() as connection:
            return summary(connection)

    def failures(self) -> list[Skipped]:
        """Files that could not be read, with their reasons, by path."""
        query = select(photos.c.path, photos.c.reason).where(photos.c.state == "failed").order_by(photos.c.path)
        with self._reading() as connection:
            return [Skipped(os.fsdecode(path), reason) for path, reason in connection.execute(query)]

    # What can be found

    def searchable(self, model: StoredModel, within: Sequence[str] = (), conditions: Sequence[Condition] = ()) -> Ids:
        """Ids of all vectors that may be found, ascending.

        ``within`` keeps those in or below these paths, ``conditions`` those that have a file that meets all of them.
        """
        with _explained(self.file):
            return self._facts.vectors(model.id, within, conditions)

    def vectors(self, ids: Ids, dim: int) -> Vectors:
        """The stored vectors of ``ids``, in their order, (n, dim) float32.  Raises KeyError for an unknown id."""
        found: dict[int, bytes] = {}
        with self._reading() as connection:
            for chunk in chunks(ids.tolist()):
                query = select(embeddings.c.id, embeddings.c.vector).where(embeddings.c.id.in_(chunk))
                found.update((number, vector) for number, vector in connection.execute(query))
        joined = b"".join(found[number] for number in ids.tolist())
        return np.frombuffer(joined, "<f2").reshape(len(ids), dim).astype(np.float32)

    def hashes(self, ids: Ids) -> tuple[Hashes, NDArray[np.bool_]]:
        """The difference hashes of the pictures with these vector ids, in their order, and which of them there are."""
        query = select(embeddings.c.id, contents.c.dhash).join(contents, contents.c.id == embeddings.c.content_id)
        found: dict[int, bytes | None] = {}
        with self._reading() as connection:
            for chunk in chunks(ids.tolist()):
                rows = connection.execute(query.where(embeddings.c.id.in_(chunk)))
                found.update((number, one) for number, one in rows)
        return as_numbers([found.get(number) for number in ids.tolist()])

    def regions(self, ids: Ids, model: StoredModel, card: RegionCard) -> tuple[Regions, NDArray[np.bool_]]:
        """The region tokens of the pictures with these vector ids, in their order, and which of them there are.

        (n, side * side, dim) float32 and (n,); where there are none of this card, zeros and False.  Raises LibraryError
        for damaged ones.
        """
        # A subquery, not a join: without statistics SQLite would begin a join with all regions of the model.
        data = select(regions.c.data).where(
            regions.c.content_id == embeddings.c.content_id,
            regions.c.model_id == model.id,
            regions.c.fingerprint == card.fingerprint,
        )
        query = select(embeddings.c.id, data.scalar_subquery()).where(embeddings.c.model_id == model.id)
        found: dict[int, bytes] = {}
        with self._reading() as connection:
            for chunk in chunks(ids.tolist()):
                rows = connection.execute(query.where(embeddings.c.id.in_(chunk)))
                found.update((number, blob) for number, blob in rows if blob is not None)
        absent = bytes(size(card.side**2, card.dim))
        there = np.array([number in found for number in ids.tolist()], np.bool_)
        blobs = [found.get(number, absent) for number in ids.tolist()]
        return unpack(blobs, card.side**2, card.dim), there

    def vector_of(self, path: str, model: StoredModel) -> int | None:
        """The id of the vector of what this file held when it was last read well; None where nothing is known."""
        query = (
            select(embeddings.c.id)
            .join(photos, photos.c.content_id == embeddings.c.content_id)
            .where(photos.c.path == os.fsencode(path), embeddings.c.model_id == model.id)
        )
        with self._reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def photos(
        self, ids: Sequence[int], within: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> dict[int, list[Photo]]:
        """The files that have these vectors, by vector id, in the order of their paths; an id may have none.

        ``within`` keeps those in or below these paths, ``conditions`` those that meet all of them.
        """
        # Not on a connection that is kept: threads would wait for each other, long where one wants very many.
        with _explained(self.file), contextlib.closing(self._engine.raw_connection()) as held:
            cursor = held.cursor()
            cursor.execute(_PHOTOS, (json.dumps([int(number) for number in ids]),))
            rows = cursor.fetchall()
        if within or conditions:
            with _explained(self.file):
                meeting = self._facts.meeting(np.array([row[1] for row in rows], np.int64), within, conditions)
            rows = [row for row, meets in zip(rows, meeting, strict=True) if meets]
        found: dict[int, list[Photo]] = {}
        for number, _, *told in rows:
            found.setdefault(number, []).append(_photo(*told))
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
            .join(photos, photos.c.content_id == embeddings.c.content_id)
            .join(contents, contents.c.id == embeddings.c.content_id)
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

    def filed(self, model: StoredModel, within: Sequence[str] = ()) -> list[Filed]:
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
            .join(embeddings, embeddings.c.content_id == contents.c.id)
            .where(photos.c.state == "ok", embeddings.c.model_id == model.id)
            .order_by(photos.c.path)
        )
        if within:
            query = query.where(or_(*(at_or_below(photos.c.path, path) for path in within)))
        with self._reading() as connection:
            return [
                Filed(
                    number,
                    Found(os.fsdecode(path), size, time),
                    pixels,
                    datetime.fromisoformat(taken) if taken else None,
                    looks,
                )
                for number, path, size, time, pixels, taken, looks in connection.execute(query)
            ]

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
            return self._facts.numbers(model.id, rows)

        with _explained(self.file), self._lists.reading() as (connection, kept):
            return fulltext.find(Lists(connection, kept), text, model.id, allowed, limit, exact, numbers)

    def reasons(
        self, text: str, ids: Sequence[int], model: StoredModel, exact: bool = False
    ) -> dict[int, tuple[str, ...]]:
        """Where the pictures with these vector ids have words of ``text``, such as "name: IMG_2041", by vector id.

        Pictures that have none are left out.  Meant for a page of hits: it takes about 0.1 ms a picture.
        """
        with _explained(self.file), self._lists.reading() as (connection, kept):
            return fulltext.reasons(Lists(connection, kept), text, ids, model.id, exact)


def _with_regions(model: StoredModel, card: RegionCard | None = None) -> Select[tuple[int]]:
    """Ids of the contents that have region tokens: of this card, or of any."""
    query = select(regions.c.content_id).where(regions.c.model_id == model.id)
    return query if card is None else query.where(regions.c.fingerprint == card.fingerprint)


# Not through SQLAlchemy, which takes several times as long as the query.
_PHOTOS = """
SELECT embeddings.id, photos.id, photos.path, photos.size, photos.mtime_ns, width, height, format, taken_at, camera,
    lens, latitude, longitude, description, captions.text, sidecars.text, ocr.text,
    (SELECT json_group_array(json_array(-score, tag)) FROM tags WHERE tags.content_id = contents.id HAVING count(*))
FROM json_each(?) CROSS JOIN embeddings ON embeddings.id = value
    CROSS JOIN contents ON contents.id = embeddings.content_id
    CROSS JOIN photos ON photos.content_id = contents.id
    LEFT JOIN captions ON captions.content_id = contents.id
    LEFT JOIN sidecars ON sidecars.photo_id = photos.id
    LEFT JOIN ocr ON ocr.content_id = contents.id
WHERE +photos.state = 'ok' -- the plus keeps SQLite from reading all photos in this state
ORDER BY photos.path
"""


def _photo(
    path: bytes,
    size: int,
    mtime_ns: int,
    width: int,
    height: int,
    kind: str,
    taken_at: str | None,
    camera: str | None,
    lens: str | None,
    latitude: float | None,
    longitude: float | None,
    description: str | None,
    caption: str | None,
    beside: str | None,
    read: str | None,
    tags: str | None,
) -> Photo:
    """A row of ``_PHOTOS`` from its third column on."""
    exif = Exif(datetime.fromisoformat(taken_at) if taken_at else None, camera, lens, latitude, longitude)
    return Photo(
        os.fsdecode(path),
        width,
        height,
        kind,
        size,
        mtime_ns,
        exif,
        caption,
        description="\n".join(part for part in (description, beside) if part) or None,
        text=read or None,
        tags=tuple(tag for _, tag in sorted(json.loads(tags))) if tags else (),  # (score below zero, tag)
    )
