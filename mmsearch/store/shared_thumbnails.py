"""Thumbnails in the object store of a library: made by the first machine that shows a photo, and shown by all."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mmsearch.errors import LibraryError
from mmsearch.store.breaker import Breaker
from mmsearch.store.objects import Objects

log = logging.getLogger(__name__)


class SharedThumbnails:
    """The ``Shared`` of ``media/thumbnail_cache.py``.  A cache: whoever deletes its folder loses nothing but time.

    Where the store does not answer, or takes nothing, it is left alone for a while and each machine makes its own.
    """

    def __init__(self, objects: Objects, folder: Callable[[], str]) -> None:
        """``folder`` is asked once for that of this library."""
        self._objects, self._ask_folder = objects, folder
        self._folder: str | None = None
        self._reading = Breaker("thumbnails", objects.place)
        self._writing = Breaker("thumbnails", objects.place)  # who may not write may read

    def get(self, name: str) -> bytes | None:
        """What is kept by a name; None where nothing is, or cannot be had."""
        try:
            with self._reading.asked(_fails):
                return self._objects.get(self._key(name), "search")
        except LibraryError as error:
            log.debug("a thumbnail was not read: %s", error)
            return None

    def put(self, name: str, content: bytes) -> None:
        """Keep it by a name, if that can be done."""
        try:
            with self._writing.asked(_fails):
                self._objects.put(self._key(name), content)
        except LibraryError as error:
            log.debug("a thumbnail was not kept: %s", error)

    def _key(self, name: str) -> str:
        if self._folder is None:
            self._folder = self._ask_folder()
        return f"{self._folder}/{name[:2]}/{name}"


def _fails(error: BaseException) -> bool:
    return isinstance(error, LibraryError)
