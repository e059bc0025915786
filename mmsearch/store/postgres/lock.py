"""One writer a library, whichever machine it is on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from sqlalchemy import Connection, Engine

from mmsearch.errors import LibraryBusyError, LibraryError
from mmsearch.store.postgres.address import Address
from mmsearch.store.postgres.failures import explained
from mmsearch.store.writer_lock import POLL

log = logging.getLogger(__name__)

_LONG = 2  # second number of the advisory lock
_KEY = "hashtext(current_schema())"
_HOLDER = (
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted "
    f"AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND objsubid = 2 "
    f"AND classid::bigint = {_KEY}::bigint & 4294967295 AND objid::bigint = {_LONG}"
)


class WriterLock:
    """An advisory lock on a connection of its own; the server frees it when its holder dies.

    With ``wait``, whoever comes second waits for the first; else LibraryBusyError is raised.
    """

    def __init__(self, engine: Engine, address: Address, wait: bool, held: Callable[[Connection | None], Any]) -> None:
        """``held`` is told the connection that holds it, and None when it is free again."""
        self._engine, self._address, self._wait, self._held = engine, address, wait, held
        self._open = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as opening, explained(self._address):
            connection = opening.enter_context(self._engine.connect()).execution_options(isolation_level="AUTOCOMMIT")
            if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar():
                raise LibraryError(
                    f"library {self._address}: it may not be written: the server only reads",
                    code="server-read-only",
                )
            self._take(connection)
            opening.callback(self._free, connection)
            self._held(connection)
            self._open = opening.pop_all()

    def _take(self, connection: Connection) -> None:
        said = False
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_KEY}, {_LONG})").scalar():
            if not said:
                holder = connection.exec_driver_sql(_HOLDER).scalar() or "another mmsearch"
                if not self._wait:
                    raise LibraryBusyError(f"{holder} is writing to the library {self._address}; wait until it is done")
                log.info("%s is writing to the library %s: waiting until it is done", holder, self._address)
                said = True
            time.sleep(POLL)

    def _free(self, connection: Connection) -> None:
        self._held(None)
        try:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_KEY}, {_LONG})")
        except Exception:  # the connection is gone, and the lock with it
            log.debug("the lock of the library %s went with its connection", self._address)
            connection.invalidate()

    def __exit__(self, *_: object) -> None:
        self._open.close()
