"""What callers give, as the other rooms take it: absolute paths, stored spellings of paths, queries, examples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from mmsearch.errors import ArgumentError, QueryError, SourceError
from mmsearch.media import in_memory
from mmsearch.media.remote_path import is_remote, normal
from mmsearch.query.files import parse, parse_conditions
from mmsearch.query.model import Condition, Example, Picture, Query, Shown, Term, Vector
from mmsearch.store.paths import spellings
from mmsearch.store.types import StoredModel
from mmsearch.types import PathLike, Paths, PictureData, path_list

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from mmsearch.store.protocol import Store

# What can be looked for: words, a picture (a ``Path``, or one in memory), a vector of the model, a term.
Asked: TypeAlias = "PathLike | PictureData | NDArray[Any] | Term"
# What can be an example: all of these but words; a text is the path of a file.
ShownAs: TypeAlias = "PathLike | PictureData | NDArray[Any] | Shown"

_ASKED = (
    "words, a path, a picture (bytes of its file, a Pillow image, an array (height, width, 3)), a vector of the model "
    "(an array), a term or a Query"
)
_SHOWN = "a path, a picture (bytes of its file, a Pillow image, an array (height, width, 3)) or a vector of the model"


def absolute(path: PathLike) -> str:
    """One name for one file: links followed, ``~`` expanded; an address is written in one way.

    Raises SourceError for an empty path, or an address that leads nowhere.
    """
    if not os.fspath(path):
        raise SourceError("the path is empty; for the current folder write .")
    if isinstance(path, str) and is_remote(path):
        return normal(path)
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


def shown(argument: str, given: ShownAs | Sequence[ShownAs]) -> tuple[Shown, ...]:
    """Example pictures, one or several; of paths links are followed, ``~`` is expanded.

    Raises ArgumentError, QueryError for a picture or vector without sense.
    """
    found = []
    for name, one in _several(argument, given, f"{_SHOWN}, or a list of these"):
        term = _path_or_term(name, one)
        if isinstance(term, str):
            if not term:
                raise QueryError(f"{name}: the path of a picture is empty")
            term = Example(_example(name, term))
        if not isinstance(term, Shown):
            raise ArgumentError(name, in_memory.described(one), _SHOWN)
        found.append(term)
    return tuple(found)


def _example(name: str, path: str) -> str:
    try:
        return absolute(path)
    except SourceError as error:
        raise QueryError(f"{name}: {error}") from error


def parsed(query: Asked | Sequence[Asked] | Query, where: str | Sequence[Condition] = ()) -> Query:
    """What was asked; ``where`` adds conditions, in the query language or as values.

    Raises QueryError, ArgumentError.
    """
    if not isinstance(query, Query):
        words, terms = [], []
        for name, one in _several("query", query, f"{_ASKED}, or a list of these"):
            term = _path_or_term(name, one)
            if isinstance(term, str):
                # A path object is always a file; "./" says so to the parser where it is relative.
                words.append(os.path.abspath(term) if isinstance(one, os.PathLike) else term)
            elif isinstance(term, Term):
                terms.append(term)
            else:
                raise ArgumentError(name, in_memory.described(one), _ASKED)
        query = parse(words, beside=terms)
    if isinstance(where, str):
        return replace(query, conditions=(*query.conditions, *parse_conditions(where)))
    if not isinstance(where, (list, tuple)) or not all(isinstance(one, Condition) for one in where):
        wanted = 'a text, such as "date:2024 type:png", or a list of Conditions'
        raise ArgumentError("where", in_memory.described(where), wanted)
    return replace(query, conditions=(*query.conditions, *where))


def _several(argument: str, given: object, wanted: str) -> list[tuple[str, object]]:
    """One thing, or those of a list, each with what it is called in errors."""
    one = isinstance(given, (str, os.PathLike, Term)) or in_memory.is_picture(given) or hasattr(given, "__array__")
    if one:
        return [(argument, given)]
    if isinstance(given, dict) or hasattr(given, "read") or not isinstance(given, Iterable):  # lines of a file are none
        raise ArgumentError(argument, in_memory.described(given), wanted)
    return [(f"{argument}[{place}]", one) for place, one in enumerate(given)]


def _path_or_term(name: str, given: object) -> str | Term | None:
    """A text or path as it is written, anything else as a term; None for what is none of these."""
    if isinstance(given, os.PathLike):
        path = os.fspath(given)
        return path if isinstance(path, str) else None
    if isinstance(given, (str, Term)):
        return given
    try:
        if in_memory.is_picture(given):
            return Picture(given)  # type: ignore[arg-type]
        array = in_memory.array_of(given)
        return None if array is None or not array.ndim else Vector(array) if array.ndim == 1 else Picture(array)
    except (QueryError, ValueError) as error:
        raise QueryError(f"{name}: {error}") from error


def known(store: Store, model: StoredModel, paths: Paths) -> list[str]:
    """How the store may write these paths.  Raises SourceError for one where no picture can be found."""
    for path in path_list(paths):
        if not os.fspath(path) or not len(store.searchable(model, spellings(path))):
            raise SourceError(f"{os.fspath(path)!r}: no picture of the library lies there", code="unknown-path")
    return [way for path in path_list(paths) for way in spellings(path)]


def known_or_existing(store: Store, model: StoredModel, paths: Paths) -> list[str]:
    """How the store may write these paths.  Raises SourceError for one that is neither there nor known."""
    for path in path_list(paths):
        there = not is_remote(path) and os.path.lexists(absolute(path))
        if not there and not len(store.searchable(model, spellings(path))):
            raise SourceError(f"{os.fspath(path)}: no such file or folder, and no picture is known there")
    return [way for path in path_list(paths) for way in spellings(path)]
