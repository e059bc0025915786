"""The connection to a library's SQLite file: pragmas, transactions, and errors that say what to do."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool

from mmsearch.errors import LibraryError
from mmsearch.language.tag_names import folded, tag_key
from mmsearch.media.filesystem import on_network
from mmsearch.store.open import MAPS
from mmsearch.store.paths import file_name_key, storable
from mmsearch.store.sqlite import fulltext, schema
from mmsearch.store.sqlite.attribute_filter import AttributeFilter
from mmsearch.store.sqlite.snapshot_cache import SnapshotCache
from mmsearch.store.words import spelling

log = logging.getLogger(__name__)


@contextlib.contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turns the database's errors into ones that say what to do."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause, code = str(error.orig if isinstance(error, DatabaseError) else error), None
        if "full" in cause:
            advice = "the disk is full; free some space and run the same command again, nothing that was stored is lost"
        elif "locked" in cause or "busy" in cause:
            advice = "another program holds it locked; try again when that is done"
        elif "readonly" in cause or "read-only" in cause:
            advice, code = "it may not be written; check its permissions", "library-not-writable"
        elif "unable to open" in cause:
            advice, code = "it cannot be opened; check the permissions of its folder", "library-not-openable"
        elif "malformed" in cause or "not a database" in cause:
            advice = "the file is damaged; restore a copy of it, or remove the library's folder and index again"
        else:
            advice = cause
        raise LibraryError(f"library database {file}: {advice}", code=code) from error


class Database:
    """A SQLite file, created and upgraded as needed.  A context manager; safe to read from several threads.

    It keeps lists of words in memory, 64 MiB at most (``snapshot.MOST``), and the columns that filters asked for.
    """

    def __init__(self, file: Path) -> None:
        """Raises NewerLibraryError for a file of a newer version, LibraryError where it cannot be opened."""
        self.file, self._closed = file, False
        read_only = file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))
        wal = not on_network(file.parent)
        if not wal:
            log.info("%s is on a network drive: using a rollback journal, which is slower", file.parent)
        address = file.absolute().as_uri() + ("?mode=ro" if read_only else "")
        if read_only and not Path(f"{file}-wal").exists():
            address += "&immutable=1"  # else SQLite wants to write its shared memory even to read

        def connect() -> sqlite3.Connection:
            if self._closed:
                raise LibraryError(f"the library {file.parent} is closed; open it again", code="library-closed")
            return sqlite3.connect(address, timeout=30, check_same_thread=False, isolation_level=None, uri=True)

        self._engine = create_engine(URL.create("sqlite"), creator=connect, poolclass=QueuePool, pool_size=8)
        self._attributes = AttributeFilter(self._engine, file.parent / MAPS)
        self._values, self._lists = SnapshotCache(self._engine), SnapshotCache(self._engine)

        @event.listens_for(self._engine, "connect")
        def configure(connection: sqlite3.Connection, _record: Any) -> None:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA busy_timeout = 30000")
            if not read_only:
                connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
            connection.execute("PRAGMA synchronous = NORMAL")  # in WAL a power cut may lose the last batch, no more
            connection.create_function("name_words", 1, fulltext.path_words, deterministic=True)
            connection.create_function("plain_words", 1, spelling.stored, deterministic=True)
            connection.create_function("tag_folded", 1, folded, deterministic=True)
            connection.create_function("tag_key", 1, tag_key, deterministic=True)
            connection.create_function(
                "storable", 1, lambda path: isinstance(path, bytes) and storable(os.fsdecode(path)), deterministic=True
            )
            connection.create_function("path_name", 1, file_name_key, deterministic=True)

        @event.listens_for(self._engine, "begin")
        def begin(connection: Connection) -> None:
            # sqlite3's own transaction handling is off (isolation_level None): it commits at surprising moments.
            write = connection.get_execution_options().get("write")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        try:
            with explained(file), self._transaction(write=not file.exists()) as connection:
                current = schema.is_current(connection)
            if not current:
                with explained(file), self._upgrading() as connection:
                    schema.upgrade(connection, str(file.parent))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Whatever is asked for afterwards is a LibraryError; what other threads are reading they read to the end."""
        self._closed = True
        for held in (self._attributes, self._values, self._lists):
            held.close()
        self._engine.dispose()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def cached_bytes(self) -> int:
        """The bytes that cached lists of words take."""
        return self._lists.nbytes

    def vacuum(self) -> None:
        """Give the space of what was deleted back to the disk."""
        with explained(self.file), self._engine.connect() as connection:
            connection.connection.driver_connection.execute("VACUUM")  # type: ignore[union-attr]

    @contextlib.contextmanager
    def _transaction(self, write: bool = False) -> Iterator[Connection]:
        with self._engine.connect().execution_options(write=write) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _upgrading(self) -> Iterator[Connection]:
        """A transaction without foreign keys, on a connection that is not used again."""
        with self._engine.connect().execution_options(write=True) as connection:
            own = connection.connection.driver_connection
            assert isinstance(own, sqlite3.Connection)
            own.execute("PRAGMA foreign_keys = OFF")  # within a transaction it would do nothing
            try:
                with connection.begin():
                    yield connection
            finally:
                connection.invalidate()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self.file), self._transaction() as connection:
            yield connection
