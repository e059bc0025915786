"""One writer a library."""

from __future__ import annotations

import os
from pathlib import Path

from mmsearch.errors import LibraryBusyError, LibraryError


class WriterLock:
    """Held while something is written; the operating system frees it when its holder dies."""

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock

        self._folder, self._file = folder, FileLock(folder / "writer.lock")

    def __enter__(self) -> None:
        from filelock import Timeout

        if not os.access(self._folder, os.W_OK):
            raise LibraryError(f"the library {self._folder} may not be written; check its permissions")
        try:
            self._file.acquire(timeout=0)
        except Timeout as error:
            raise LibraryBusyError(
                f"another mmsearch is writing to the library {self._folder}; wait until it is done"
            ) from error

    def __exit__(self, *_: object) -> None:
        self._file.release()
