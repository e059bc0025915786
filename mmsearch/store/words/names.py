"""The words of a path, for full-text search."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence

from mmsearch.language.letters import plain

FOLDERS = 3  # the nearest ones; those further up are the same for all
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", re.ASCII)
_PADDED = re.compile(r"(?<!\d)0+([1-9]\d*)")


def name_parts(path: str) -> list[str]:
    """File name without its suffix, then the nearest folders, nearest first.  Bytes that are no UTF-8 are left out."""
    name, *folders = _parts(path)
    return [name.rpartition(".")[0] or name, *folders]


def _parts(path: str) -> list[str]:
    parts = path.replace("\\", "/").split("/")[-1 - FOLDERS :]
    readable = [part.encode("utf-8", "ignore").decode() for part in reversed(parts)]
    return [part for part in readable if part] or [""]


def taken_apart(text: str) -> str:
    """``text`` with spaces where capitals or digits begin: "BeachTrip2024" -> "Beach Trip 2024"."""
    if text.isascii():
        return _HUMPS.sub(" ", text)
    apart = [text[:1]]
    for before, char in itertools.pairwise(text):
        humps = (before.islower() and char.isupper()) or (
            before.isdigit() != char.isdigit() and before.isalnum() and char.isalnum()
        )
        apart.append(f" {char}" if humps else char)
    return "".join(apart)


def file_name(path: str) -> str:
    """The file's own name in plain letters, without bytes that are no UTF-8."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return plain(name if name.isascii() else name.encode("utf-8", "ignore").decode())


def has_words(names: Iterable[str], words: Sequence[str]) -> list[bool]:
    """Which of these plain names have these plain words, perhaps with another English ending."""
    stems = [_stem(word) for word in words]
    return [all(stem in name for stem in stems) for name in names]


def _stem(word: str) -> str:
    """About what is left of a word without its ending."""
    return word[: max(3, len(word) - 3)] if word.isascii() and word.isalpha() else word


def name_words(path: str) -> str:
    """File name and nearest folders as text: ``/a/BeachTrip2024/IMG_2041.jpg`` -> words to find it by.

    Names stay as they are written, and what is joined by capitals or digits is there once more in parts: "IMG_2041.jpg
    BeachTrip2024 IMG_2041 Beach Trip 2024".  So are numbers without the zeros before them.
    """
    readable, whole = (unicodedata.normalize("NFKC", " ".join(parts)) for parts in (name_parts(path), _parts(path)))
    apart = taken_apart(readable)
    words = whole if apart == readable else f"{whole} {apart}"
    return " ".join([words, *_PADDED.findall(apart)])
