"""What a person types, to a ``Query``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmsearch.errors import QueryError
from mmsearch.images.find import picture_suffixes
from mmsearch.query import Example, Query, Words


def parse(words: Sequence[str]) -> Query:
    """Command-line words to a query.

    A word that is written as a path (``./a.jpg``, ``/b.png``, ``~/c``) or ends like a picture file is an example
    picture.  A word with spaces in it is a phrase of its own; other words next to each other form one phrase,
    so that ``a dog on a beach`` needs no quotes.  Raises QueryError where nothing is left, or a path leads nowhere.
    """
    terms: list[Words | Example] = []
    phrase: list[str] = []

    def close_phrase() -> None:
        if phrase:
            terms.append(Words(" ".join(phrase)))
            phrase.clear()

    for word in words:
        if _is_path(word):
            close_phrase()
            terms.append(Example(_existing(word)))
        elif len(word.split()) > 1:
            close_phrase()
            terms.append(Words(word.strip()))
        elif word.strip():
            phrase.append(word.strip())
    close_phrase()
    if not terms:
        raise QueryError("the query is empty: say what to look for, or give a picture")
    return Query(tuple(terms))


def _is_path(word: str) -> bool:
    starts = ("./", "../", "/", "~/") if os.sep == "/" else ("./", "../", "/", "~/", ".\\", "..\\", "\\", "~\\")
    if word == "~" or word.startswith(starts) or Path(word).drive:
        return True
    return len(word.split()) == 1 and Path(word).suffix.lower() in picture_suffixes()


def _existing(word: str) -> str:
    path = Path(os.path.expanduser(word))
    if path.is_dir():
        raise QueryError(f"{word} is a folder; a query takes words or picture files (to search inside it: --in {word})")
    if not path.exists():
        raise QueryError(f"{word}: no such file")
    if not path.is_file():
        raise QueryError(f"{word} is no picture file")
    return os.path.realpath(path)
