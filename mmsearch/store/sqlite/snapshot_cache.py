"""What is cached of a database, as long as nobody writes to it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator

from sqlalchemy import Engine, PoolProxiedConnection

from mmsearch.store.snapshot import Snapshot


class SnapshotCache:
    """Answers that are kept between readings.  Safe from several threads, which wait for each other.

    It has a connection of its own, on which nothing is written: so SQLite tells it when anything else has changed the
    file (``PRAGMA data_version``), and all answers are of one state of the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._held: PoolProxiedConnection | None = None
        self._snapshot = Snapshot()

    def close(self) -> None:
        with self._lock:
            if self._held is not None:
                self._held.close()
                self._held = None

    @property
    def nbytes(self) -> int:
        """How much memory the answers take."""
        return self._snapshot.nbytes

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, Snapshot]]:
        """A transaction that only reads, and what is kept of the state that it sees.

        The connection is that of ``sqlite3``: SQLAlchemy takes longer than most of these queries.
        """
        with self._lock:
            if self._held is None:
                self._held = self._engine.raw_connection()
            connection = self._held.driver_connection
            assert isinstance(connection, sqlite3.Connection)
            connection.execute("BEGIN")
            try:
                self._snapshot.valid_for(connection.execute("PRAGMA data_version").fetchone()[0])
                yield connection, self._snapshot
            finally:
                connection.rollback()
