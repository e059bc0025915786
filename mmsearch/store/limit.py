"""How long servers may take: a limit on the seconds that a search waits for them, whichever engine is asked.

Only waiting counts: a model that is loaded, or a busy machine, is no server that does not answer.  The limit belongs to
the thread, so it reaches every driver without being handed through all that lies between.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmsearch.errors import LibraryError

OVER = "search-timeout"  # code of a LibraryError: the time is over, or the server gave up because it was


class Limit:
    """Seconds that servers may be waited for, all questions together; 0 is no limit.  For one thread."""

    def __init__(self, seconds: float, around: Limit | None = None) -> None:
        """What is waited counts for the limit ``around`` this one too."""
        self._left = seconds if 0 < seconds < math.inf else math.inf
        self._around = around
        self._began: float | None = None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """What is asked in here is."""
        token = _LIMIT.set(self)
        try:
            yield
        finally:
            _LIMIT.reset(token)

    @property
    def seconds(self) -> float:
        """That are left; 0 or less where none are."""
        return self._left if self._around is None else min(self._left, self._around.seconds)

    def begin(self) -> None:
        """From now on a server is waited for."""
        if self._began is None:
            self._began = time.monotonic()

    def end(self) -> None:
        """It is no longer; nothing where none was."""
        if self._began is not None:
            self.took(time.monotonic() - self._began)
            self._began = None

    def took(self, seconds: float) -> None:
        """So many seconds were waited."""
        self._left -= seconds
        if self._around is not None:
            self._around.took(seconds)


_LIMIT: ContextVar[Limit | None] = ContextVar("limit", default=None)


def is_set() -> bool:
    """Whether there is a limit, be it over or not."""
    limit = _LIMIT.get()
    return limit is not None and limit.seconds < math.inf


def left() -> float | None:
    """The seconds that are left, more than 0; None where there is no limit.  Raises LibraryError where none is."""
    limit = _LIMIT.get()
    seconds = math.inf if limit is None else limit.seconds
    if seconds <= 0:
        raise LibraryError("the time that a search waits for servers is over; raise search_timeout", code=OVER)
    return None if seconds == math.inf else seconds


def at_most(seconds: float) -> float:
    """These seconds, or those that are left where they are fewer.  Raises as ``left``."""
    own = left()
    return seconds if own is None else min(seconds, own)


def begin() -> None:
    """From now on a server is waited for, until ``end``."""
    limit = _LIMIT.get()
    if limit is not None:
        limit.begin()


def end() -> None:
    """It is no longer."""
    limit = _LIMIT.get()
    if limit is not None:
        limit.end()


@contextmanager
def waiting() -> Iterator[None]:
    """A server is waited for in here."""
    begin()
    try:
        yield
    finally:
        end()


@contextmanager
def share(part: float) -> Iterator[None]:
    """What is asked in here has this part of the seconds that are left, so that some are left for what follows."""
    seconds = left()
    if seconds is None:
        yield
        return
    with Limit(part * seconds, _LIMIT.get()).applied():
        yield


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """What is asked in here may take so many seconds, and no more than a limit around it; 0 adds none."""
    with Limit(seconds, _LIMIT.get()).applied():
        yield
