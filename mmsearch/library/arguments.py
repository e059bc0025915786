"""What callers give, as the other rooms take it: absolute paths, stored spellings of paths, parsed queries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmsearch.errors import SourceError
from mmsearch.query.files import parse, parse_conditions
from mmsearch.query.model import Condition, Query
from mmsearch.store.paths import spellings
from mmsearch.store.types import StoredModel
from mmsearch.types import PathLike, Paths, path_list

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store


def absolute(path: PathLike) -> str:
    """One name for one file: links followed, ``~`` expanded.  Raises SourceError for an empty path."""
    if not os.fspath(path):
        raise SourceError("the path is empty; for the current folder write .")
    return os.path.realpath(os.path.expanduser(path))


def globs(exclude: str | Sequence[str] | None, roots: Sequence[str]) -> tuple[str, ...] | None:
    """What to leave out of these roots, one pattern or several; empty ones leave out nothing.  None says nothing of it.

    One that names what is there, seen from the current folder (as a shell completes it), is that path.
    """
    if exclude is None:
        return None
    given = [exclude] if isinstance(exclude, str) else exclude
    return tuple(dict.fromkeys(_from_here(glob, roots) for glob in given if glob))


def _from_here(glob: str, roots: Sequence[str]) -> str:
    path = os.path.realpath(glob)
    if os.sep not in glob.strip(os.sep) or not os.path.lexists(path):
        return glob
    meant = any(os.path.lexists(os.path.join(root, glob)) for root in roots)
    return glob if meant or not any(path.startswith(f"{root}{os.sep}") for root in roots) else path


def real_paths(paths: Sequence[PathLike]) -> list[str]:
    """Example pictures: links followed, ``~`` expanded."""
    return [os.path.realpath(os.path.expanduser(path)) for path in paths]


def parsed(query: Paths | Query, where: str | Sequence[Condition] = ()) -> Query:
    """What was asked; ``where`` adds conditions, in the query language or as values.  Raises QueryError."""
    if not isinstance(query, Query):
        # A path object is always a file; "./" says so to the parser where it is relative.
        query = parse([os.path.abspath(word) if isinstance(word, os.PathLike) else word for word in path_list(query)])
    conditions = parse_conditions(where) if isinstance(where, str) else tuple(where)
    return replace(query, conditions=(*query.conditions, *conditions))


def known(store: Store, model: StoredModel, paths: Paths) -> list[str]:
    """How the store may write these paths.  Raises SourceError for one where no picture can be found."""
    for path in path_list(paths):
        if not os.fspath(path) or not len(store.searchable(model, spellings(path))):
            raise SourceError(f"{os.fspath(path)!r}: no picture of the library lies there", code="unknown-path")
    return [way for path in path_list(paths) for way in spellings(path)]


def known_or_existing(store: Store, model: StoredModel, paths: Paths) -> list[str]:
    """How the store may write these paths.  Raises SourceError for one that is neither there nor known."""
    for path in path_list(paths):
        if not os.path.lexists(absolute(path)) and not len(store.searchable(model, spellings(path))):
            raise SourceError(f"{os.fspath(path)}: no such file or folder, and no picture is known there")
    return [way for path in path_list(paths) for way in spellings(path)]
