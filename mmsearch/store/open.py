"""Which driver a library's store has: the one place that knows them all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

DATABASE = "library.sqlite"  # in the library's folder


def open_store(folder: Path) -> Store:
    """The store of the library in ``folder``, made or brought up to date as needed.

    Raises NewerLibraryError for one of a newer version, LibraryError where it cannot be opened.
    """
    from mmsearch.store.sqlite.store import SqliteStore

    return SqliteStore(folder / DATABASE)


def has_store(folder: Path) -> bool:
    """Whether there is a library in ``folder``."""
    return (folder / DATABASE).exists()
