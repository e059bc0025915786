"""How long servers may take: what is asked within a limit ends within it, whichever engine is asked.

The limit belongs to the thread, so it reaches every driver without being handed through all that lies between.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmsearch.errors import LibraryError

OVER = "search-timeout"  # code of a LibraryError: the time is over, or the server gave up because it was

_LEFT: ContextVar[Callable[[], float] | None] = ContextVar("seconds left", default=None)


def left() -> float | None:
    """The seconds that are left, more than 0; None where there is no limit.  Raises LibraryError where none is."""
    counted = _LEFT.get()
    seconds = None if counted is None else counted()
    if seconds is not None and seconds <= 0:
        raise LibraryError("the time that a search may wait for servers is over; raise search_timeout", code=OVER)
    return seconds


def is_set() -> bool:
    """Whether there is a limit, be it over or not."""
    return _LEFT.get() is not None


def at_most(seconds: float) -> float:
    """These seconds, or those that are left where they are fewer.  Raises as ``left``."""
    limit = left()
    return seconds if limit is None else min(seconds, limit)


@contextmanager
def share(part: float) -> Iterator[None]:
    """What is asked in here has this part of the time that is left, so that something is left for what follows."""
    seconds = left()
    if seconds is None:
        yield
        return
    with _ending(time.monotonic() + part * seconds):
        yield


@contextmanager
def each(seconds: float) -> Iterator[None]:
    """Each question in here has so many seconds, however long what lies between takes; 0 is no limit."""
    token = _LEFT.set((lambda: seconds) if _is_limit(seconds) else None)
    try:
        yield
    finally:
        _LEFT.reset(token)


class Limit:
    """The seconds that a search waits, all its questions together; 0 is no limit."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds if _is_limit(seconds) else None

    @property
    def is_over(self) -> bool:
        return self._left is not None and self._left <= 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """The time in here is counted."""
        if self._left is None:
            yield
            return
        began = time.monotonic()
        try:
            with _ending(began + self._left):
                yield
        finally:
            self._left -= time.monotonic() - began


def _is_limit(seconds: float) -> bool:
    return 0 < seconds < math.inf


@contextmanager
def _ending(end: float) -> Iterator[None]:
    token = _LEFT.set(lambda: end - time.monotonic())
    try:
        yield
    finally:
        _LEFT.reset(token)
