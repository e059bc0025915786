"""Work that takes long, in a bounded number of threads: never on the event loop, and never a queue without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from mmsearch.server.errors import Refused
from mmsearch.store.steps import Listener, heard

T = TypeVar("T")


class Workers:
    """``threads`` that work, and at most ``waiting`` calls that wait for one of them."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"mmsearch-{name}")
        self._room = threading.Semaphore(threads + waiting)
        self._lock = threading.Lock()
        self.most, self.taken = threads + waiting, 0  # calls that there may be, and that there are
        self.listener: Listener | None = None  # hears the steps of what is done

    async def run(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What ``work`` gives in one of the threads.  Raises Refused where too many wait, and what ``work`` raises."""
        if not self._room.acquire(blocking=False):
            raise Refused(503, "busy", "the server has too much to do; try again in a second", {"Retry-After": "1"})
        try:
            future: Future[T] = self._pool.submit(self._done, partial(work, *args, **kwargs))
        except RuntimeError as error:  # it was closed
            self._room.release()
            raise Refused(503, "closing", "the server is closing", {"Retry-After": "5"}) from error
        # Whoever waits may go; the thread works on, and its place is free when it is done.
        self._count(1)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _done(self, work: Callable[[], T]) -> T:
        if self.listener is None:
            return work()
        with heard(self.listener):
            return work()

    def _leave(self, _: Future[Any]) -> None:
        self._room.release()
        self._count(-1)

    def _count(self, more: int) -> None:
        with self._lock:
            self.taken += more

    def close(self) -> None:
        """Take no more work; what waits is dropped, what is being done is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
