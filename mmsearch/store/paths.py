"""Paths as the store keeps them: bytes, so that file names need not be UTF-8."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import ColumnElement, and_, or_

from mmsearch.errors import SourceError
from mmsearch.media.remote_path import is_remote, normal, real
from mmsearch.types import PathLike

MOST = 10_000  # files of a folder that are looked at for links, for one query


def storable(path: str) -> bool:
    """Whether a library may hold this path of a file or folder, as ``index`` writes it: absolute, and written one way.

    ``/`` is one, as ``index`` takes it; what is relative, empty, or has ``..``, a doubled ``/`` or a zero byte is none.
    An address of an object store or the web is one too.
    """
    if is_remote(path):
        try:
            return normal(path) == path
        except SourceError:
            return False
    if "\0" in path or path.startswith("//"):  # which normpath leaves
        return False
    return os.path.isabs(path) and os.path.normpath(path) == path


def as_walked(folder: Path, path: str) -> str:
    """A path that a table in ``folder`` names, as the walk of ``index`` would write it.

    Links of its folder are followed, it itself is not.  Raises SourceError for an address that leads nowhere.
    """
    if is_remote(path):
        return normal(path)
    place, name = os.path.split(os.path.join(folder, os.path.expanduser(path)))
    return os.path.join(os.path.realpath(place), name)


def file_name_key(path: bytes) -> bytes:
    """What files are sorted by when they are sorted by name: bytes, as a name need not be UTF-8.

    An address that ends in ``/`` has no name, and is sorted by all of it.
    """
    name = os.fsdecode(path)
    last = os.path.basename(name)
    return os.fsencode((name if not last and is_remote(name) else last).casefold())


def inside(path: str) -> tuple[bytes, bytes]:
    """The range of the stored paths that lie below a folder: from the first, and up to before the second."""
    separator = "/" if is_remote(path) else os.sep
    first = os.fsencode(path.rstrip(separator) + separator)
    return first, first[:-1] + bytes([first[-1] + 1])


def at_or_below(column: ColumnElement[bytes], path: str) -> ColumnElement[bool]:
    """Whether a stored path is ``path`` or inside it; a range, so that the index on paths serves it."""
    first, after = inside(path)
    return or_(column == os.fsencode(path), and_(column >= first, column < after))


def by_links(path: str, listed: Collection[str]) -> list[str]:
    """Where the photos at or below ``path`` may be, if none is listed there: paths that lead to the same by links.

    ``listed`` are the folders in which photos are.  Those whose real path is in ``path`` are meant, and what the links
    in ``path`` lead to, as an album of links has them, among the first 10,000 files there.
    """
    if not listed or is_remote(path):
        return []
    meant = os.path.realpath(path)
    found = []
    for folder in listed:
        lies = real(folder)
        if lies == meant or lies.startswith(meant.rstrip(os.sep) + os.sep):
            found.append(folder)
        elif lies == os.path.dirname(meant):
            found.append(os.path.join(folder, os.path.basename(meant)))
    left = MOST
    for place, folders, files in os.walk(meant):
        links = [link for name in (*folders, *files) if os.path.islink(link := os.path.join(place, name))]
        for link in links:
            with contextlib.suppress(OSError):  # nobody may look where it leads to
                found.append(os.path.realpath(link))
        left -= len(folders) + len(files)
        if left < 0:
            break
    return found


def spellings(path: PathLike) -> list[str]:
    """How the store may write a path: its root has links followed, what the walk found below is as it found it.

    The fewer links are followed, the earlier.  Raises SourceError for an empty path.
    """
    if not os.fspath(path):
        raise SourceError("the path is empty; for the current folder write .")
    if isinstance(path, str) and is_remote(path):
        return [normal(path)]
    written = Path(os.path.abspath(os.path.expanduser(path)))
    ways = [os.path.join(os.path.realpath(parent), written.relative_to(parent)) for parent in reversed(written.parents)]
    return list(dict.fromkeys([*ways, os.path.realpath(written)]))
