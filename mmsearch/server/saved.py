"""Saved searches: a file beside the library, that every browser sees."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from mmsearch.media.filesystem import atomic_write, read_text
from mmsearch.server.errors import Refused
from mmsearch.store.open import SEARCHES

MOST = 500


class SavedSearches:
    """Names with queries, in the order in which they were saved.  Safe from several threads."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / SEARCHES
        self._lock = threading.Lock()

    def all(self) -> dict[str, str]:
        """Name -> query.  Raises Refused where the file cannot be read."""
        try:
            found = json.loads(read_text(self._file))["searches"]
            return {str(name): str(query) for name, query in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            text = f"the saved searches cannot be read: {error}; mend or remove {SEARCHES} in the library's folder"
            raise Refused(500, "searches-unreadable", text) from error

    def save(self, name: str, query: str) -> None:
        """Keep a search, in the place of one with this name.  Raises Refused where there are too many."""
        with self._lock:
            searches = {**self.all(), name: query}
            if len(searches) > MOST:
                raise Refused(409, "too-many-searches", f"there are {MOST} saved searches; forget some first")
            self._write(searches)

    def forget(self, name: str) -> bool:
        """Whether there was one."""
        with self._lock:
            searches = self.all()
            if searches.pop(name, None) is None:
                return False
            self._write(searches)
            return True

    def _write(self, searches: dict[str, str]) -> None:
        atomic_write(self._file, json.dumps({"searches": searches}, indent=1).encode("ascii"))
