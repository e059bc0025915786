"""One writer a library."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from mmsearch.errors import LibraryBusyError, LibraryError

log = logging.getLogger(__name__)

LOCK = "writer.lock"  # in the library's folder
POLL = 0.2  # seconds between looks whether the other one is done


class WriterLock:
    """Held while something is written; the operating system frees it when its holder dies.

    With ``wait``, whoever comes second waits for the first; else LibraryBusyError is raised.
    """

    def __init__(self, folder: Path, wait: bool = False) -> None:
        from filelock import FileLock

        self._folder, self._file, self._wait = folder, FileLock(folder / LOCK), wait

    def __enter__(self) -> None:
        from filelock import Timeout

        if not os.access(self._folder, os.W_OK):
            raise LibraryError(f"the library {self._folder} may not be written; check its permissions")
        try:
            self._file.acquire(timeout=0)
        except Timeout as error:
            if self._wait:
                log.info("another mmsearch is writing to the library %s: waiting until it is done", self._folder)
                self._file.acquire(poll_interval=POLL)
                return
            raise LibraryBusyError(
                f"another mmsearch is writing to the library {self._folder}; wait until it is done"
            ) from error

    def __exit__(self, *_: object) -> None:
        self._file.release()
