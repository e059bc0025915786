"""Queries of whoever sits at this machine, whose paths are files here; and of others, whose paths are words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date

from mmsearch.errors import ArgumentError, QueryError, SourceError
from mmsearch.media.in_memory import described
from mmsearch.media.remote_path import is_remote, normal
from mmsearch.query import parser
from mmsearch.query.model import Condition, Query, Term


class PictureFiles:
    """The ``Examples`` of this machine's files; ``~`` is a home folder, a relative path starts where the process is."""

    def exists(self, path: str) -> bool:
        """Whether something is there, a file, a folder or a link; an address is never taken for words."""
        return is_remote(path.strip()) or os.path.lexists(_expanded(path.strip()))

    def resolve(self, path: str) -> str:
        """The file with all links followed.  Raises QueryError where it is a folder, is not there, or is no file."""
        if is_remote(path):
            try:
                return normal(path)
            except SourceError as error:
                raise QueryError(str(error)) from error
        full = _expanded(path)
        if os.path.isdir(full):
            raise QueryError(
                f"{path} is a folder; a query takes words or picture files (to search inside it: in:{path})"
            )
        if not os.path.exists(full):
            hint = f"; to find pictures by this name: words:{path}" if path[0].isalnum() and " " not in path else ""
            raise QueryError(f"{path}: no such file{hint}")
        if not os.path.isfile(full):
            raise QueryError(f"{path} is no picture file")
        return os.path.realpath(full)


class NoFiles:
    """``Examples`` of a client: no path leads to anything."""

    def exists(self, path: str) -> bool:
        """Nothing is there: a word that looks like a path is a word."""
        return False

    def resolve(self, path: str) -> str:
        """Raises QueryError, whatever is asked for."""
        raise QueryError(
            "a picture cannot be named by its path here: give the id of a photo, or send the picture", code="no-paths"
        )


def parse(
    words: str | Sequence[str],
    options: Sequence[tuple[str, str]] = (),
    today: date | None = None,
    beside: Sequence[Term] = (),
) -> Query:
    """Command-line words to a query, as ``parser.parse`` reads them; paths are looked at.  ``beside`` are more terms.

    Raises QueryError where a path leads nowhere, QuerySyntaxError where nothing is left, and with the column where the
    text is wrong.

    >>> query = mmsearch.parse(["a dog on a beach", "-people", "width:>800"])
    >>> [(term.text, term.exclude) for term in query.terms]
    [('a dog on a beach', False), ('people', True)]
    >>> query.conditions[0].fits
    Compare(fact='width', operator='>', value=800.0)
    """
    texts = [words] if isinstance(words, str) else words
    for place, one in enumerate(texts if isinstance(texts, (list, tuple)) else [texts]):
        if not isinstance(one, str):
            name = f"words[{place}]" if one is not texts else "words"
            raise ArgumentError(name, described(one), "a text or a list of texts")
    return parser.parse(texts, PictureFiles(), options, today, beside)


def parse_conditions(text: str, today: date | None = None) -> tuple[Condition, ...]:
    """A text of conditions alone, such as ``date:2024 -type:png``.  Raises QuerySyntaxError with the column."""
    if not isinstance(text, str):
        raise ArgumentError("text", described(text), "a text (str)")
    return parser.parse_conditions(text, PictureFiles(), today)


def _expanded(path: str) -> str:
    return path if "\0" in path else os.path.expanduser(path)
