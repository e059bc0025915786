"""Which driver a library's store has: the one place that knows them all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import LibraryError
from mmsearch.store.writer_lock import LOCK

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store
    from mmsearch.store.types import ServerState

# What lies in a library's folder.
DATABASE = "library.sqlite"
INDEX = "index"  # a folder
ON_SERVERS = "libraries"  # in the cache of a person: what is made here of libraries on servers, a folder each
THUMBNAILS = "thumbnails"  # a folder of small pictures, which may be deleted (``media/thumbnail_cache.py``)
MAPS = "map"  # a folder with the last map, which may be deleted (``kept_map.py``)
SEARCHES = "searches.json"  # those that people saved (``server/saved.py``)
CALIBRATIONS = "calibration-*.json"  # fitted to the library, one a model (``library/calibrating.py``)
MARK = ".mmsearch-decoding"  # while pictures are decoded

# A library may be made beside these: what one has beside its database, and what systems put into empty folders.
_HARMLESS = re.compile(
    rf"\.?{re.escape(DATABASE)}.*|{INDEX}|{THUMBNAILS}|{MAPS}|{re.escape(MARK)}|{re.escape(LOCK)}|background-[0-9a-f]{{16}}-.*\.npy"
    r"|decoding|\.[0-9a-f]{12}\.partial|lost\+found|\.DS_Store|Thumbs\.db|desktop\.ini"
)


def open_store(folder: Path) -> Store:
    """The store of the library in ``folder``, made or brought up to date as needed.

    Raises NewerLibraryError for one of a newer version, LibraryError where it cannot be opened.
    """
    from mmsearch.store.sqlite.store import SqliteStore

    return SqliteStore(folder / DATABASE)


def open_address(
    address: str,
    cache: Path,
    pool: int,
    create: bool = True,
    milvus: tuple[str, str] | None = None,
    blobs: str | None = None,
) -> Store:
    """The store of the library at an address of a server, made or brought up to date as needed.

    What is made of it on this machine goes below ``cache``; ``pool`` connections are kept.  ``milvus`` is the address
    and token of the Milvus that searches its vectors, if one does; ``blobs`` where its region tokens are, if that is an
    object store or a folder: None is where the library has them.  Raises NoModelError where there is none and none is
    to be created, NewerLibraryError, LibraryError.
    """
    with _needing_packages():
        from mmsearch.store.objects import Objects
        from mmsearch.store.postgres.store import PostgresStore
    objects = None if blobs is None else Objects(blobs)
    if milvus is None:
        return PostgresStore(address, cache / ON_SERVERS, pool, create, objects)
    from mmsearch.store.milvus import PostgresWithMilvus
    from mmsearch.store.milvus_client import Milvus

    return PostgresWithMilvus(address, cache / ON_SERVERS, pool, create, Milvus(*milvus), objects)


def server_state(address: str) -> ServerState:
    """What is at an address of a server, which is not changed.  Raises LibraryError where nobody lets one in."""
    with _needing_packages():
        from mmsearch.store.postgres.server_state import state_of
    return state_of(address)


@contextlib.contextmanager
def _needing_packages() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise LibraryError(
            f"a library in PostgreSQL needs more: pip install 'mmsearch[postgres]' ({error})", code="needs-postgres"
        ) from error


def beginnings(folder: Path, field: str, start: str, most: int = 50) -> list[str]:
    """Values of a field in the library of ``folder`` that begin with ``start``, the most frequent first; reads quickly.

    Empty for a field whose values nobody lists, and where there is no library that can be read as it is.
    """
    from mmsearch.store.sqlite import beginnings as sqlite

    return sqlite.beginnings(folder / DATABASE, field, start, most) if field in sqlite.FIELDS else []


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
    if INDEX in names and not foreign:
        from mmsearch.indexes.manifest import is_own

        foreign = [os.path.join(INDEX, name) for name in _inside(folder / INDEX) if not is_own(name)]
    if THUMBNAILS in names and not foreign:
        from mmsearch.media.thumbnail_cache import SHARD

        within = _inside(folder / THUMBNAILS)
        foreign = [os.path.join(THUMBNAILS, name) for name in within if not SHARD.fullmatch(name)]
    if MAPS in names and not foreign:
        from mmsearch.store.kept_map import OWN

        foreign = [os.path.join(MAPS, name) for name in _inside(folder / MAPS) if not OWN.fullmatch(name)]
    if foreign:
        raise LibraryError(
            f"{folder} holds other files, such as {foreign[0]!r}, and no library; a library wants a folder of its own: "
            "name one that is new or empty",
            code="folder-in-use",
            folder=folder,
        )


def _inside(folder: Path) -> list[str]:
    """The names in a folder; one that is nobody's where it is none, or a link."""
    return sorted(os.listdir(folder)) if folder.is_dir() and not folder.is_symlink() else [""]


def has_store(folder: Path) -> bool:
    """Whether there is a library in ``folder``."""
    return (folder / DATABASE).exists()
