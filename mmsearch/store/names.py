"""The words of a path, for full-text search."""

from __future__ import annotations

import re

FOLDERS = 3  # the nearest ones; those further up are the same for all
_HUMPS = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")


def name_words(path: str) -> str:
    """File name and nearest folders as text: ``/a/BeachTrip2024/IMG_2041.jpg`` -> words to find it by.

    Names stay as they are written, and what is joined by capitals or digits is there once more in parts: "BeachTrip2024
    Beach Trip 2024".  Bytes that are no UTF-8 are left out.
    """
    parts = path.replace("\\", "/").split("/")[-1 - FOLDERS :]
    parts[-1] = parts[-1].rpartition(".")[0] or parts[-1]
    readable = " ".join(part.encode("utf-8", "ignore").decode() for part in reversed(parts) if part)
    taken_apart = _HUMPS.sub(" ", readable)
    return readable if taken_apart == readable else f"{readable} {taken_apart}"
