"""Paths as the store keeps them: bytes, so that file names need not be UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import ColumnElement, and_, or_

from mmsearch.errors import SourceError
from mmsearch.types import PathLike


def inside(path: str) -> tuple[bytes, bytes]:
    """The range of the stored paths that lie below a folder: from the first, and up to before the second."""
    first = os.fsencode(path.rstrip(os.sep) + os.sep)
    return first, first[:-1] + bytes([first[-1] + 1])


def at_or_below(column: ColumnElement[bytes], path: str) -> ColumnElement[bool]:
    """Whether a stored path is ``path`` or inside it; a range, so that the index on paths serves it."""
    first, after = inside(path)
    return or_(column == os.fsencode(path), and_(column >= first, column < after))


def spellings(path: PathLike) -> list[str]:
    """How the store may write a path: its root has links followed, what the walk found below is as it found it.

    The fewer links are followed, the earlier.  Raises SourceError for an empty path.
    """
    if not os.fspath(path):
        raise SourceError("the path is empty; for the current folder write .")
    written = Path(os.path.abspath(os.path.expanduser(path)))
    ways = [os.path.join(os.path.realpath(parent), written.relative_to(parent)) for parent in reversed(written.parents)]
    return list(dict.fromkeys([*ways, os.path.realpath(written)]))
