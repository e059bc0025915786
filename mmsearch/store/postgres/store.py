"""The driver for PostgreSQL with pgvector: one database, or one schema of it, with all that a library has.

It is all three of ``store/protocol.py``, where each method is described.  Reading is safe from several threads.  All
changes go through ``PostgresStore.writing``: one transaction, all or nothing.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func

from mmsearch.encoders.protocol import RegionCard
from mmsearch.errors import LibraryError, TransferError
from mmsearch.query.model import OneFits
from mmsearch.store import limit
from mmsearch.store.kept_map import LastMap
from mmsearch.store.objects import Objects
from mmsearch.store.open import MAPS
from mmsearch.store.postgres.blobs import TableBlobs
from mmsearch.store.postgres.collection import NotedCollection
from mmsearch.store.postgres.conditions import file_clock
from mmsearch.store.postgres.connection import POOL
from mmsearch.store.postgres.items import Items
from mmsearch.store.postgres.lock import WriterLock
from mmsearch.store.postgres.pack_care import DAY, Lost, PackCare, packed_bytes
from mmsearch.store.postgres.packs import (
    PackedBlobs,
    PackWriter,
    Transaction,
    check_place,
    noted_place,
    own_folder,
)
from mmsearch.store.postgres.parts import Parts
from mmsearch.store.postgres.pgvector import PgVectorCollection, goes_on
from mmsearch.store.postgres.terms import Terms
from mmsearch.store.postgres.writer import Writer, grow
from mmsearch.store.region_tokens import region_tokens
from mmsearch.store.shared_thumbnails import SharedThumbnails
from mmsearch.store.sql.export_rows import ExportRows
from mmsearch.store.sql.file_rows import FileRows
from mmsearch.store.sql.model_rows import ModelCounts
from mmsearch.store.sql.pending import Pending
from mmsearch.store.sql.statistics import losses, summary
from mmsearch.store.types import Capabilities, Damage, Losses, StoredModel, Summary, Tidied
from mmsearch.types import Ids, Progress, Regions

if TYPE_CHECKING:
    from typing_extensions import Self

    from mmsearch.store.moving import RowSource, RowTarget

NAME = "PostgreSQL"
MEASURED = 2.0  # seconds in which tables are measured
_BYTES = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)
# As the server noted it last: this waits for no table, that somebody may have locked.
_PAGES = (
    "SELECT coalesce(sum(relpages::bigint), 0) * current_setting('block_size')::bigint FROM pg_class "
    "WHERE relkind IN ('r', 'i', 't') AND (relnamespace = current_schema()::regnamespace OR oid IN "
    "(SELECT reltoastrelid FROM pg_class WHERE relnamespace = current_schema()::regnamespace))"
)
_MODEL = "SELECT id, name, fingerprint, dim FROM models WHERE"


class PostgresStore(Items, Parts, Pending, FileRows, ModelCounts):
    """All of it together, opened by an address: models, items, vectors, what is pending, and changes."""

    def __init__(
        self, url: str, cache: Path, pool: int = POOL, create: bool = True, blobs: Objects | None = None
    ) -> None:
        """``cache`` is a folder of this machine: one in there, of this library, keeps what is made of it.

        ``blobs`` is where region tokens are: an object store, or a folder; None: where the library notes it, or in its
        database.  Raises NoModelError where there is no library and, without ``create``, none is made;
        NewerLibraryError; LibraryError.
        """
        self._terms = Terms()
        self._lock_holder: Connection | None = None
        self._blobs_asked, self._objects = blobs, {} if blobs is None else {blobs.place: blobs}
        self._thumbnails: SharedThumbnails | None = None
        self._lost: set[Lost] = set()  # blobs that were found to be lost or damaged
        super().__init__(url, pool, create)
        try:
            self._packs()  # says now whether the setting fits
            self._folder = cache / self.identity()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._last_map = LastMap(self._folder / MAPS)
        except OSError as error:
            self.close()
            raise LibraryError(
                f"the folder {cache} for what is made of the library {self.address} cannot be made: {error.strerror}",
                code="library-not-made",
            ) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def place(self) -> str:
        return str(self.address)

    def stored_bytes(self) -> int:
        try:
            with limit.limited(MEASURED), self._reading() as connection:
                return int(connection.exec_driver_sql(_BYTES).scalar_one()) + packed_bytes(connection)
        except LibraryError as error:
            if error.code != limit.OVER:
                raise
        with self._reading() as connection:
            return int(connection.exec_driver_sql(_PAGES).scalar_one()) + packed_bytes(connection)

    @functools.cached_property
    def capabilities(self) -> Capabilities:
        version = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        with self._reading() as connection:
            pgvector = str(connection.exec_driver_sql(version).scalar())
        return Capabilities(
            full_text=True,
            backup_file=False,
            integrity_rules=True,  # of packs; rows are kept in order by the server
            vector_search=goes_on(pgvector),
            filters=frozenset(get_args(OneFits)),
        )

    @property
    def engines(self) -> dict[str, str]:
        tokens = self.blobs_at or NAME
        return {"metadata": NAME, "vectors": PgVectorCollection.engine, "words": NAME, "tokens": tokens}

    @property
    def blobs(self) -> TableBlobs | PackedBlobs:
        return self._blobs(self._blob_transaction)

    def _blobs(self, transaction: Transaction) -> TableBlobs | PackedBlobs:
        packs = self._packs()
        if packs is None:
            return TableBlobs(transaction)
        return PackedBlobs(transaction, packs, lambda: self._noted_blobs() is not None)

    @property
    def blobs_at(self) -> str | None:
        packs = self._packs()
        return None if packs is None else packs.place

    @property
    def thumbnails(self) -> SharedThumbnails | None:
        packs = self._packs()
        if packs is not None and self._thumbnails is None:
            self._thumbnails = SharedThumbnails(packs, self._folder_of_thumbnails)
        return self._thumbnails

    def _folder_of_thumbnails(self) -> str:
        with self._reading() as connection:
            return own_folder(connection, "thumbnails")

    def _packs(self, connection: Connection | None = None) -> Objects | None:
        """Where packs are; None where blobs are in the database.  ``connection`` sees what was just noted.

        Raises LibraryError where the setting names another place than the library.
        """
        noted = self._noted_blobs() if connection is None else noted_place(connection)
        asked = self._blobs_asked
        place = check_place(self.place, noted, None if asked is None else asked.place)
        return None if place is None else self._objects.setdefault(place, Objects(place))

    def _noted_blobs(self) -> str | None:
        with self._kept(self._values) as (connection, cached):
            return cached.of("blobs", lambda: noted_place(connection))

    def _pack_care(self) -> PackCare | None:
        packs = self._packs()
        return None if packs is None else PackCare(self._blob_transaction, packs)

    def settle(self) -> None:
        care = self._pack_care()
        if care is not None:
            care.tidy_if_due()

    def tidy_blobs(self, age: float | None = None) -> Tidied:
        care = self._pack_care()
        return Tidied(0, 0, 0, 0, 0) if care is None else care.tidy(DAY if age is None else age)

    @contextlib.contextmanager
    def _blob_transaction(self, write: bool) -> Iterator[Connection]:
        with self._changing() if write else self._reading() as connection:
            yield connection

    def regions(self, ids: Ids, model: StoredModel, card: RegionCard) -> tuple[Regions, NDArray[np.bool_]]:
        return region_tokens(self.blobs, ids, model, card)

    def collection(self, name: str, model: StoredModel) -> NotedCollection:
        """What pgvector searches of a model; ``name`` tells it from others of this model."""
        return PgVectorCollection(self._transaction, name, model.fingerprint, model.dim + 1)

    def lock(self, wait: bool = False) -> WriterLock:
        return WriterLock(self._engine, self.address, wait, self._hold)

    def _hold(self, connection: Connection | None) -> None:
        self._lock_holder = connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        with self._changing() as connection:
            self._still_locked()
            packs = self._packs(connection)
            writer = Writer(connection, self._terms, None if packs is None else PackWriter(connection, packs))
            yield writer
            writer.write_words()
            writer.upload()
            grown = [name for name, grows in (("generation", writer.changed), ("noted", writer.noted)) if grows]
            grow(connection, ("changes", *grown))

    def _still_locked(self) -> None:
        if self._lock_holder is not None:
            self._lock_holder.exec_driver_sql("SELECT 1")  # fails where the lock went with its connection

    @contextlib.contextmanager
    def copied_from(self) -> Iterator[RowSource]:
        from mmsearch.store.postgres.table_copy import Rows

        with self._seeing_one_state() as connection:
            yield Rows(connection, self._blobs(lambda _: contextlib.nullcontext(connection)), self.place)

    @contextlib.contextmanager
    def copied_to(self) -> Iterator[RowTarget]:
        from mmsearch.store.postgres.table_copy import Adder

        with self._changing() as connection:
            self._still_locked()
            objects = self._packs(connection)
            packs = None if objects is None else PackWriter(connection, objects)
            blobs = packs or TableBlobs(lambda _: contextlib.nullcontext(connection))
            yield Adder(connection, blobs, self.place, self._terms)
            if packs is not None:
                packs.finish()

    def model(self) -> StoredModel | None:
        with self._kept(self._values) as (connection, cached):
            row = cached.of("model", lambda: connection.exec_driver_sql(f"{_MODEL} active").first())
        return StoredModel(*row) if row else None

    def known_model(self, fingerprint: str) -> StoredModel | None:
        one = f"{_MODEL} fingerprint = %s"
        with self._kept(self._values) as (connection, cached):
            row = cached.of((one, fingerprint), lambda: connection.exec_driver_sql(one, (fingerprint,)).first())
        return StoredModel(*row) if row else None

    def generation(self) -> int:
        return int(self._property("generation"))

    def identity(self) -> str:
        return self._property("identity")

    def _property(self, name: str) -> str:
        one = "SELECT value FROM properties WHERE name = %s"
        with self._kept(self._values) as (connection, cached):
            return cached.of(name, lambda: str(connection.exec_driver_sql(one, (name,)).scalar_one()))

    def summary(self) -> Summary:
        with self._seeing_one_state() as connection:
            return summary(connection, func.substr(file_clock(), 1, 4))

    def losses(self, paths: Sequence[str]) -> Losses:
        with self._seeing_one_state() as connection:
            return losses(connection, paths)

    @contextlib.contextmanager
    def export_rows(self, model: StoredModel) -> Iterator[ExportRows]:
        with self._seeing_one_state() as connection:
            yield ExportRows(connection, model, self._blobs(lambda _: contextlib.nullcontext(connection)))

    def damages(self, card: RegionCard | None, deep: bool = False) -> list[Damage]:
        """Of packs alone: the server keeps its own rules, by foreign keys, types, checksums of its pages."""
        care = self._pack_care()
        if care is None:
            return []
        found, self._lost = care.damages(deep)
        return found

    def mend(self, card: RegionCard | None) -> None:
        """Forget the blobs that ``damages`` found to be lost."""
        care = self._pack_care()
        if care is not None:
            care.forget(self._lost)
        self._lost = set()

    def backup(self, file: Path, force: bool = False, progress: Callable[[Progress], None] | None = None) -> None:
        raise TransferError(f"the library {self.address} is no file; the server's own pg_dump copies it")

    def close(self) -> None:
        super().close()
        self._terms.close()
        for objects in self._objects.values():
            objects.close()
