"""A process that kills itself at a named point: SIGKILL, so nothing can be tidied up."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any


class Killing:
    """Ends this process when it comes to a point for the ``count``-th time."""

    def __init__(self, point: str, count: int) -> None:
        self.point, self._left = point, count

    def reached(self, name: str) -> None:
        """The process is at the point of this name."""
        if name == self.point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, before: str | None = None, after: str | None = None) -> None:
        """There are points before and after what ``owner`` calls ``name``."""
        whole: Callable[..., Any] = getattr(owner, name)

        def wrapped(*given: Any, **named: Any) -> Any:
            if before:
                self.reached(before)
            result = whole(*given, **named)
            if after:
                self.reached(after)
            return result

        setattr(owner, name, wrapped)
