"""Work in threads that whoever asked for it can call off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

import anyio
import anyio.to_thread

from mmsearch.types import Progress

T = TypeVar("T")

_called_off: ContextVar[threading.Event | None] = ContextVar("called_off", default=None)  # of the call in this thread


class CalledOff(Exception):
    """Nobody waits for this any more."""


def go_on(_: Progress) -> None:
    """For long work, as its ``progress``.  Raises CalledOff where nobody waits for it any more."""
    event = _called_off.get()
    if event is not None and event.is_set():
        raise CalledOff


async def in_thread(work: Callable[[], T], limiter: anyio.CapacityLimiter) -> T:
    """What ``work`` gives, in one of the limiter's threads.

    Whoever cancels need not wait: long work ends when it calls ``go_on`` next, other work when it is done.
    """
    event = threading.Event()
    token = _called_off.set(event)  # a thread is given the context of who starts it
    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
    except anyio.get_cancelled_exc_class():
        event.set()
        raise
    finally:
        _called_off.reset(token)
