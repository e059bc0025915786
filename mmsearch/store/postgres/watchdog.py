"""Ends connections on which a server keeps silent for longer than it was given.

``statement_timeout`` is kept by the server.  One whose machine is gone, or that is stopped, keeps nothing, and libpq
waits for it as long as TCP does.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

IDLE = 5.0  # seconds without work after which its thread ends


@dataclass(eq=False)
class Watched:
    """A connection that may be waited for."""

    connection: Any  # of psycopg
    due: float = math.inf  # of the monotonic clock
    ended: bool = False


class Watchdog:
    """One thread for all connections of a library, which is there while any is waited for."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []
        self._changed = threading.Condition()
        self._wakes = 0.0
        self._runs = False

    def watch(self, connection: Any) -> Watched:
        """From now on, until ``leave``."""
        one = Watched(connection)
        with self._changed:
            self._watched.append(one)
        return one

    def expect(self, one: Watched, seconds: float) -> None:
        """An answer within so many seconds; else the connection is ended, and whoever waits for it fails."""
        with self._changed:
            one.due = time.monotonic() + seconds
            if one.due == math.inf:
                return
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="mmsearch-watchdog", daemon=True).start()
            elif one.due < self._wakes:
                self._changed.notify()

    def leave(self, one: Watched) -> None:
        """Its connection goes back to the pool."""
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
                due = [one.due for one in self._watched if one.due < math.inf and not one.ended]
                self._wakes = min(due, default=now + IDLE)
                if not self._changed.wait(self._wakes - now) and not due:
                    self._runs = False
                    return


def _end(connection: Any) -> None:
    """Whoever waits for it reads the end of the connection; it is closed by its owner."""
    with contextlib.suppress(OSError, Exception):  # it is closed already
        duplicate = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
