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
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from mmsearch.errors import LibraryError
from mmsearch.store import limit
from mmsearch.store.postgres import schema
from mmsearch.store.postgres.address import Address
from mmsearch.store.postgres.failures import explained, over
from mmsearch.store.postgres.watchdog import Watchdog
from mmsearch.store.snapshot import Snapshot
from mmsearch.store.sql.reading import Reading

POOL = 8  # connections that are kept; as many more are opened where they are wanted, and closed again
WAIT = 30  # seconds for a connection of the pool, or for the transaction of another writer
GRACE = 1.0  # seconds beyond its limit that a server has to say that the time is over
REST = 1.0  # seconds of rest after which it is looked whether a connection still is one
LOST = ("08", "57P")  # first letters of an SQLSTATE: the server takes its leave
_WATCHED = "watched"  # of a connection that is in use within a limit
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
            given = self.address.connecting(limit.left())
            connection = psycopg.connect(**given)  # type: ignore[arg-type]  # strings, as libpq has them
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
        event.listen(self._engine, "checkout", self._look_after_rest)
        event.listen(self._engine, "before_cursor_execute", lambda connection, *_: self._ask(connection.info))
        event.listen(self._engine, "after_cursor_execute", lambda connection, *_: self._answered(connection.info))
        event.listen(self._engine, "handle_error", _note_error)
        event.listen(self._engine, "commit", lambda connection: self._ask(connection.info, ending=True))
        self._free = threading.BoundedSemaphore(2 * pool)
        self._watchdog = Watchdog()
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

    def _look_after_rest(self, connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        # The server may have been restarted meanwhile; a new connection was never returned.
        if time.monotonic() - record.info.get("returned", math.inf) < REST:
            return
        try:
            with self._watched(record.info, connection):
                if limit.is_set():  # the rest of the time is for a new one
                    self._watchdog.expect(record.info[_WATCHED], limit.at_most(WAIT) / 2)
                connection.execute("SELECT 1")
                connection.rollback()
        except (psycopg.Error, LibraryError) as error:
            raise DisconnectionError from error  # the pool opens another one

    @property
    def pool_sizes(self) -> dict[str, int]:
        """How many connections are ``open``, ``used`` of them, and the ``most`` that there may be."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        used = pool.checkedout()
        return {"open": pool.checkedin() + used, "used": used, "most": 2 * pool.size()}

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
        with self._connected() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM (ANALYZE)")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection of the pool.  Where there is a limit, neither it nor the server is waited for much longer."""
        with explained(self.address):
            with limit.waiting():
                if not self._free.acquire(timeout=limit.at_most(WAIT)):
                    raise over(self.address) if limit.is_set() else PoolTimeout
            try:
                with limit.waiting():
                    opened = self._engine.connect()
                with opened as connection, self._watched(connection.info, connection.connection.driver_connection):
                    yield connection
            finally:
                self._free.release()

    @contextlib.contextmanager
    def _watched(self, info: dict[Any, Any], connection: Any) -> Iterator[None]:
        """Where there is a limit, a connection of psycopg whose server keeps silent for longer is ended."""
        if not limit.is_set():
            yield
            return
        watched = info[_WATCHED] = self._watchdog.watch(connection)
        try:
            yield
        except Exception as error:
            if watched.ended:
                raise over(self.address) from error
            raise
        finally:
            info.pop(_WATCHED, None)
            self._watchdog.leave(watched)

    def _ask(self, info: dict[Any, Any], ending: bool = False) -> None:
        """The server of a connection is asked now.  Raises LibraryError where no time is left, but for ``ending``."""
        seconds = 0.0 if ending else limit.left()
        if seconds is not None and _WATCHED in info:
            self._watchdog.expect(info[_WATCHED], seconds + GRACE)
            limit.begin()

    def _answered(self, info: dict[Any, Any]) -> None:
        limit.end()
        if _WATCHED in info:
            self._watchdog.expect(info[_WATCHED], math.inf)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """For a statement, or several that need not see the same state: each is sent alone, which is quickest.

        Where there is a limit they are one transaction, so that the limit goes with it: some poolers give the next
        transaction to another program.
        """
        with self._connected() as connection:
            own = connection.execution_options(isolation_level="AUTOCOMMIT")
            seconds = limit.left()
            if seconds is None:
                yield own
                return
            driver: Any = own.connection.driver_connection
            info = own.info
            try:
                threshold, driver.prepare_threshold = driver.prepare_threshold, None  # two have no plan
                own.exec_driver_sql(f"BEGIN; SET LOCAL statement_timeout = {_milliseconds(seconds)}")
                driver.prepare_threshold = threshold
                yield own
                self._ask(info, ending=True)
                driver.execute("COMMIT", prepare=False)
                self._answered(info)
            except BaseException as error:
                limit.end()
                try:
                    driver.rollback()
                except psycopg.Error:
                    connection.invalidate(error)
                raise

    @contextlib.contextmanager
    def _seeing_one_state(self) -> Iterator[Connection]:
        """A transaction that only reads: whatever is written meanwhile, it sees what was there when it began."""
        with self._connected() as connection:
            own = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with own.begin():
                _limit(own)
                yield own

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """For what is made of the library and is no part of it."""
        with self._connected() as connection, connection.begin():
            _limit(connection)
            yield connection

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction that writes: one at a time, so that what it read first is so when it writes."""
        with self._connected() as connection, connection.begin():
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
        with limit.waiting():  # for another search, and what that waits for
            if not kept.lock.acquire(timeout=limit.at_most(threading.TIMEOUT_MAX)):
                raise over(self.address)
        with _released(kept.lock), self._seeing_one_state() if one_state else self._reading() as connection:
            version = connection.exec_driver_sql("SELECT value FROM properties WHERE name = 'changes'").scalar_one()
            kept.snapshot.valid_for(int(version))
            yield connection, kept.snapshot


def _note_return(connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["returned"] = time.monotonic()
    if connection is not None and not connection.closed:
        connection.read_only = None  # SQLAlchemy leaves False: it asks to write, which a standby refuses


def _note_error(context: ExceptionContext) -> None:
    limit.end()
    state = getattr(context.original_exception, "sqlstate", None) or ""
    if state.startswith(LOST):  # psycopg notices the end of the connection only at the next question
        context.is_disconnect = True  # so no other one of the pool, which are as old, is used again


@contextlib.contextmanager
def _released(lock: threading.Lock) -> Iterator[None]:
    """Frees a lock that is held."""
    try:
        yield
    finally:
        lock.release()


def _limit(connection: Connection) -> None:
    """Tell the server how long each statement of this transaction may take, where there is a limit."""
    seconds = limit.left()
    if seconds is not None:
        value = f"{_milliseconds(seconds)}ms"
        connection.exec_driver_sql("SELECT set_config('statement_timeout', %s, true)", (value,))


def _milliseconds(seconds: float) -> int:
    """At least one: none would be no limit."""
    return max(1, min(math.ceil(1000 * seconds), 2**31 - 1))
