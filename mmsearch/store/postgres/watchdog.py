"""Ends connections on which a server keeps silent for longer than it was given.

``statement_timeout`` is kept by the server.  One whose machine is gone, or that is stopped, keeps nothing, and libpq
waits for it as long as TCP does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

IDLE = 5.0  # seconds without work after which its thread ends


@dataclass(eq=False)
class Watched:
    """A connection that is being waited for."""

    connection: Any  # of psycopg
    due: float  # of the monotonic clock
    ended: bool = False


class Watchdog:
    """One thread for all connections of a library, which is there while any is watched."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []
        self._changed = threading.Condition()
        self._wakes = 0.0
        self._runs = False

    @contextlib.contextmanager
    def over(self, connection: Any, seconds: float) -> Iterator[Watched]:
        """Waits in here for ``connection`` fail after so many seconds; what is given says whether they were ended."""
        one = Watched(connection, time.monotonic() + seconds)
        with self._changed:
            self._watched.append(one)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="mmsearch-watchdog", daemon=True).start()
            elif one.due < self._wakes:
                self._changed.notify()
        try:
            yield one
        finally:
            with self._changed:
                self._watched.remove(one)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for one in self._watched:
                    if one.due <= now and not one.ended:
                        one.ended = True
                        _end(one.connection)
                self._wakes = min((one.due for one in self._watched if not one.ended), default=now + IDLE)
                if not self._changed.wait(self._wakes - now) and not self._watched:
                    self._runs = False
                    return


def _end(connection: Any) -> None:
    """Whoever waits for it reads the end of the connection; it is closed by its owner."""
    with contextlib.suppress(OSError, Exception):  # it is closed already
        duplicate = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
