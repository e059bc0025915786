"""The words of a path, for full-text search."""

from __future__ import annotations

import re

FOLDERS = 3  # the nearest ones; those further up are the same for all
_HUMPS = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_PADDED = re.compile(r"(?<!\d)0+([1-9]\d*)")


def name_parts(path: str) -> list[str]:
    """File name without its suffix, then the nearest folders, nearest first.  Bytes that are no UTF-8 are left out."""
    parts = path.replace("\\", "/").split("/")[-1 - FOLDERS :]
    parts[-1] = parts[-1].rpartition(".")[0] or parts[-1]
    return [part.encode("utf-8", "ignore").decode() for part in reversed(parts) if part]


def taken_apart(text: str) -> str:
    """``text`` with spaces where capitals or digits begin: "BeachTrip2024" -> "Beach Trip 2024"."""
    return _HUMPS.sub(" ", text)


def name_words(path: str) -> str:
    """File name and nearest folders as text: ``/a/BeachTrip2024/IMG_2041.jpg`` -> words to find it by.

    Names stay as they are written, and what is joined by capitals or digits is there once more in parts: "BeachTrip2024
    Beach Trip 2024".  So are numbers without the zeros before them.
    """
    readable = " ".join(name_parts(path))
    apart = taken_apart(readable)
    words = readable if apart == readable else f"{readable} {apart}"
    return " ".join([words, *_PADDED.findall(apart)])
