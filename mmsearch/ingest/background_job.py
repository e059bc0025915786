"""Work that goes on beside an index run, each time that many more pictures are stored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

LEAST = 2_000  # pictures stored since the last time …
SHARE = 0.2  # … and their share of all, before the work is due again
SECONDS = 0.2  # between two looks at whether it is done


class Beside:
    """A thread that does the work; a context manager.

    At the end of the block work that has begun is waited for, and ended by ``stop`` where an error leaves the block.
    """

    def __init__(
        self, work: Callable[[], object], stop: Callable[[], object], held: int, waits: Callable[[], object]
    ) -> None:
        """``held`` pictures are stored already; ``waits`` is called again and again while this waits for the work."""
        self._work, self._stop, self._waits = work, stop, waits
        self._held, self._before = held, 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mmsearch-beside")
        self._running: Future[None] | None = None

    def stored(self, count: int) -> None:
        """So many pictures have been stored since the block began."""
        due = count - self._before >= max(LEAST, SHARE * (self._held + self._before))
        if due and (self._running is None or self._running.done()):
            self._before = count
            self._running = self._pool.submit(self._done)

    def _done(self) -> None:
        try:
            self._work()
        except Exception as error:  # the work is done again at the end of the run, and what is wrong said there
            log.info("beside the index run: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        try:
            while failed is None and self._running is not None and not self._running.done():
                wait([self._running], SECONDS)
                self._waits()
        except BaseException:
            failed = True
            raise
        finally:
            if failed is not None:
                self._stop()
            self._pool.shutdown()
