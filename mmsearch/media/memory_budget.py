"""A limit on what several threads may hold at once."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Shares of ``limit``, in any unit, that are taken and given back; who wants more than is left waits."""

    def __init__(self, limit: float) -> None:
        self.limit, self.taken = limit, 0.0
        self._changed = threading.Condition()

    @contextmanager
    def share(self, amount: float) -> Iterator[None]:
        """Hold ``amount`` for as long as the block lasts.  What is over the whole limit is held alone.

        A thread that holds a share must not ask for another one.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self.taken or self.taken + amount <= self.limit)
            self.taken += amount
        try:
            yield
        finally:
            with self._changed:
                self.taken -= amount
                self._changed.notify_all()


def trim() -> None:
    """Have glibc return unused memory to the system; elsewhere nothing.

    It keeps what a thread has freed for that thread, in blocks of up to 32 MB: eight threads that each decoded one
    picture of 100 megapixels kept 3 GB.
    """
    try:
        give_back = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or none by that name
        return
    give_back(0)
