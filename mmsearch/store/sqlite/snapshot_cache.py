"""What is cached of a database, as long as nobody writes to it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeVar

from sqlalchemy import Engine, PoolProxiedConnection

MOST = 64 * 2**20  # bytes that are kept, of what was asked for last
ENTRY = 500  # bytes that keeping anything takes

T = TypeVar("T")


class Snapshot:
    """Answers of one state of a database; at most ``MOST`` bytes, those that were asked for last."""

    def __init__(self) -> None:
        self._version = -1
        self._values: OrderedDict[object, tuple[object, int]] = OrderedDict()
        self.nbytes = 0

    def of(self, key: object, read: Callable[[], T], size: Callable[[T], int] = lambda _: 0) -> T:
        """What is kept under this key, or else what ``read`` gives now, and how many bytes that takes."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]  # type: ignore[return-value]  # of this key it is always a T
        value = read()
        taken = ENTRY + size(value)
        self._values[key] = value, taken
        self.nbytes += taken
        while self.nbytes > MOST:
            self.nbytes -= self._values.popitem(last=False)[1][1]
        return value

    def valid_for(self, version: int) -> None:
        """Forget all that is of another state."""
        if version != self._version:
            self._values.clear()
            self.nbytes, self._version = 0, version


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
