"""Which driver a library's store has: the one place that knows them all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import LibraryError

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

DATABASE = "library.sqlite"  # in the library's folder

# What a library has beside its database, and what systems put into empty folders: no reason not to make one there.
_HARMLESS = re.compile(
    r"\.?library\.sqlite.*|writer\.lock|index|decoding|\.mmsearch-decoding|background-[0-9a-f]{16}-.*\.npy"
    r"|\.[0-9a-f]{12}\.partial|lost\+found|\.DS_Store|Thumbs\.db|desktop\.ini"
)


def open_store(folder: Path) -> Store:
    """The store of the library in ``folder``, made or brought up to date as needed.

    Raises NewerLibraryError for one of a newer version, LibraryError where it cannot be opened.
    """
    from mmsearch.store.sqlite.store import SqliteStore

    return SqliteStore(folder / DATABASE)


def check_new(folder: Path) -> None:
    """Raises LibraryError where a library would be made among files of somebody else.

    It keeps what it makes in its folder, and deletes some of it again: so it wants one of its own.
    """
    if has_store(folder):
        return
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise LibraryError(f"{folder} cannot be made a library: {error.strerror or error}") from error
    foreign = [name for name in names if not _HARMLESS.fullmatch(name)]
    if "index" in names and not foreign:
        from mmsearch.indexes.manifest import is_own

        place = folder / "index"
        inside = sorted(os.listdir(place)) if place.is_dir() and not place.is_symlink() else [""]
        foreign = [os.path.join("index", name) for name in inside if not is_own(name)]
    if foreign:
        raise LibraryError(
            f"{folder} holds other files, such as {foreign[0]!r}, and no library; a library wants a folder of its own: "
            "name one that is new or empty",
            code="folder-in-use",
            folder=folder,
        )


def has_store(folder: Path) -> bool:
    """Whether there is a library in ``folder``."""
    return (folder / DATABASE).exists()
