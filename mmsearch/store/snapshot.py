"""Answers of one state of a database, kept as long as it stays so."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

MOST = 64 * 2**20  # bytes that are kept, of what was asked for last
ENTRY = 500  # bytes that keeping anything takes

T = TypeVar("T")


class Snapshot:
    """Answers of one state of a database; at most ``MOST`` bytes, those that were asked for last."""

    def __init__(self) -> None:
        self._version = -1
        self._values: OrderedDict[object, tuple[object, int]] = OrderedDict()
        self.nbytes = 0

    def of(self, key: object, read: Callable[[], T], size: Callable[[T], int] = lambda _: 0) -> T:
        """What is kept under this key, or else what ``read`` gives now, and how many bytes that takes."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]  # type: ignore[return-value]  # of this key it is always a T
        value = read()
        taken = ENTRY + size(value)
        self._values[key] = value, taken
        self.nbytes += taken
        while self.nbytes > MOST:
            self.nbytes -= self._values.popitem(last=False)[1][1]
        return value

    def valid_for(self, version: int) -> None:
        """Forget all that is of another state."""
        if version != self._version:
            self._values.clear()
            self.nbytes, self._version = 0, version
