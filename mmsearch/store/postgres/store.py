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
from mmsearch.store.open import MAPS
from mmsearch.store.postgres.blobs import TableBlobs
from mmsearch.store.postgres.collection import NotedCollection
from mmsearch.store.postgres.conditions import file_clock
from mmsearch.store.postgres.connection import POOL
from mmsearch.store.postgres.items import Items
from mmsearch.store.postgres.lock import WriterLock
from mmsearch.store.postgres.parts import Parts
from mmsearch.store.postgres.pgvector import PgVectorCollection, goes_on
from mmsearch.store.postgres.terms import Terms
from mmsearch.store.postgres.writer import Writer
from mmsearch.store.region_tokens import region_tokens
from mmsearch.store.sql.export_rows import ExportRows
from mmsearch.store.sql.file_rows import FileRows
from mmsearch.store.sql.model_rows import ModelCounts
from mmsearch.store.sql.pending import Pending
from mmsearch.store.sql.statistics import losses, summary
from mmsearch.store.types import Capabilities, Damage, Losses, StoredModel, Summary
from mmsearch.types import Ids, Progress, Regions

if TYPE_CHECKING:
    from typing_extensions import Self

NAME = "PostgreSQL"
MEASURED = 2.0  # seconds in which tables are measured
_GROWN = (
    "INSERT INTO properties (name, value) SELECT unnest(%s::text[]), '1' "
    "ON CONFLICT (name) DO UPDATE SET value = (properties.value::bigint + 1)::text"
)
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

    def __init__(self, url: str, cache: Path, pool: int = POOL, create: bool = True) -> None:
        """``cache`` is a folder of this machine: one in there, of this library, keeps what is made of it.

        Raises NoModelError where there is no library and, without ``create``, none is made; NewerLibraryError;
        LibraryError.
        """
        self._terms = Terms()
        self._lock_holder: Connection | None = None
        super().__init__(url, pool, create)
        try:
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
                return int(connection.exec_driver_sql(_BYTES).scalar_one())
        except LibraryError as error:
            if error.code != limit.OVER:
                raise
        with self._reading() as connection:
            return int(connection.exec_driver_sql(_PAGES).scalar_one())

    @functools.cached_property
    def capabilities(self) -> Capabilities:
        version = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        with self._reading() as connection:
            pgvector = str(connection.exec_driver_sql(version).scalar())
        return Capabilities(
            full_text=True,
            backup_file=False,
            integrity_rules=False,
            vector_search=goes_on(pgvector),
            filters=frozenset(get_args(OneFits)),
        )

    @property
    def engines(self) -> dict[str, str]:
        return {"metadata": NAME, "vectors": PgVectorCollection.engine, "words": NAME, "tokens": NAME}

    @property
    def blobs(self) -> TableBlobs:
        return TableBlobs(self._blob_transaction)

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
            if self._lock_holder is not None:
                self._lock_holder.exec_driver_sql("SELECT 1")  # fails where the lock went with its connection
            writer = Writer(connection, self._terms)
            yield writer
            writer.write_words()
            grown = [name for name, grows in (("generation", writer.changed), ("noted", writer.noted)) if grows]
            connection.exec_driver_sql(_GROWN, (["changes", *grown],))

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
            yield ExportRows(connection, model.id)

    def damages(self, card: RegionCard | None, deep: bool = False) -> list[Damage]:
        return []  # the server keeps its own rules: foreign keys, types, checksums of its pages

    def mend(self, card: RegionCard | None) -> None:
        """There is nothing to mend."""

    def backup(self, file: Path, force: bool = False, progress: Callable[[Progress], None] | None = None) -> None:
        raise TransferError(f"the library {self.address} is no file; the server's own pg_dump copies it")

    def close(self) -> None:
        super().close()
        self._terms.close()
