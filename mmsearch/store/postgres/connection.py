"""The connections to a library in PostgreSQL: a pool, transactions, and what is kept of one state of it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.types import TypeInfo
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from mmsearch.errors import LibraryError
from mmsearch.store.postgres import schema
from mmsearch.store.postgres.address import Address
from mmsearch.store.postgres.failures import explained
from mmsearch.store.snapshot import Snapshot
from mmsearch.store.sql.reading import Reading

POOL = 8  # connections that are kept; as many more are opened where they are wanted, and closed again
WAIT = 30  # seconds for a connection of the pool, or for the transaction of another writer
REST = 1.0  # seconds of rest after which it is looked whether a connection still is one
_WRITER = 1  # second number of an advisory lock: held while a transaction writes


class _WithoutNul(StrDumperUnknown):
    """Texts of files may hold the character 0, which PostgreSQL does not store."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "") if "\0" in obj else obj)


class Kept:
    """Answers that are kept between readings, as long as nobody writes.  Threads wait for each other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.snapshot = Snapshot()


class Database(Reading):
    """A database, filled and upgraded as needed.  Safe from several threads and processes."""

    def __init__(self, url: str, pool: int = POOL, create: bool = True) -> None:
        """Raises NewerLibraryError for one of a newer version, LibraryError where it cannot be opened.

        Without ``create`` a database without tables is a NoModelError.
        """
        self.address, self._closed = Address(url), False
        self._halfvec: TypeInfo | None = None

        def connect() -> psycopg.Connection[Any]:
            if self._closed:
                raise LibraryError(f"the library {self.address} is closed; open it again", code="library-closed")
            connection = psycopg.connect(**self.address.connecting)  # type: ignore[arg-type]  # strings, as libpq has them
            schema.check_version(str(self.address), connection.info.server_version)
            connection.adapters.register_dumper(str, _WithoutNul)
            self._register_halfvec(connection)
            return connection

        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=pool,
            max_overflow=pool,
            pool_timeout=WAIT,
        )
        event.listen(self._engine, "checkin", _note_return)
        event.listen(self._engine, "checkout", _look_after_rest)
        self._values, self._lists, self._filters = Kept(), Kept(), Kept()
        try:
            with explained(self.address), self._engine.begin() as connection:
                current = schema.is_current(connection)
                if not current:
                    schema.upgrade(connection, str(self.address), create)
            if not current:
                self._engine.dispose()  # connections from before know no vectors
        except BaseException:
            self.close()
            raise

    def _register_halfvec(self, connection: psycopg.Connection[Any]) -> None:
        """Vectors are sent as their own bytes, once the database knows the type."""
        from pgvector.psycopg.halfvec import register_halfvec_info

        if self._halfvec is None:
            self._halfvec = TypeInfo.fetch(connection, "halfvec")
            connection.rollback()
        if self._halfvec is not None:
            register_halfvec_info(connection, self._halfvec)

    def close(self) -> None:
        """Whatever is asked for afterwards is a LibraryError; what other threads are reading they read to the end."""
        self._closed = True
        self._engine.dispose()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def cached_bytes(self) -> int:
        """The bytes that cached lists of words take."""
        return self._lists.snapshot.nbytes

    def vacuum(self) -> None:
        """Have the server use the space of what was deleted again, and count anew what its planner goes by."""
        with explained(self.address), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM (ANALYZE)")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """For a statement, or several that need not see the same state: each is sent alone, which is quickest."""
        with explained(self.address), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextlib.contextmanager
    def _seeing_one_state(self) -> Iterator[Connection]:
        """A transaction that only reads: whatever is written meanwhile, it sees what was there when it began."""
        with explained(self.address), self._engine.connect() as connection:
            own = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with own.begin():
                yield own

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """For what is made of the library and is no part of it."""
        with explained(self.address), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction that writes: one at a time, so that what it read first is so when it writes."""
        with explained(self.address), self._engine.begin() as connection:
            connection.exec_driver_sql(
                "SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(hashtext(current_schema()), %s)",
                (f"{WAIT}s", _WRITER),
            )
            yield connection

    @contextlib.contextmanager
    def _kept(self, kept: Kept, one_state: bool = False) -> Iterator[tuple[Connection, Snapshot]]:
        """A connection to read with, and what is kept of what was read since the last change.

        ``one_state``: all of it is of the same state, else perhaps of a newer one than that of which it is kept.
        """
        with kept.lock, self._seeing_one_state() if one_state else self._reading() as connection:
            version = connection.exec_driver_sql("SELECT value FROM properties WHERE name = 'changes'").scalar_one()
            kept.snapshot.valid_for(int(version))
            yield connection, kept.snapshot


def _note_return(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["returned"] = time.monotonic()


def _look_after_rest(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    # The server may have been restarted meanwhile; a new connection was never returned.
    if time.monotonic() - record.info.get("returned", math.inf) < REST:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error  # the pool opens another one
