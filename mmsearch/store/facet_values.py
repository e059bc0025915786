"""What counts of files mean as values of facets, whichever engine has counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping

from mmsearch.query.fields import FORMATS

YEARS = (1000, 9999)  # that a query can ask for


def types(formats: Mapping[str, int]) -> Counter[str]:
    """Those that a query can ask for: "jpeg" stands for "mpo" too (see ``Format``)."""
    found: Counter[str] = Counter()
    for name, files in sorted(formats.items()):
        known = "jpeg" if name == "mpo" else name
        if known in FORMATS.values():
            found[known] += files
    return found


def up_to(folder: str, roots: set[str]) -> list[str]:
    """The folders around a folder, up to the outermost one that was indexed; none where it is in none."""
    above: list[str] = []
    found = 0
    while (parent := os.path.dirname(folder)) != folder:
        folder = parent
        above.append(folder)
        if folder in roots:
            found = len(above)
    return above[:found]


def containing(texts: Mapping[str, int], folded: Callable[[str], str], count: int) -> list[tuple[str, int]]:
    """The lines of these texts and how many files have a text that contains each, as conditions compare them.

    Spellings that are the same when they are ``folded`` are one value, written as most of them are.
    """
    spelled: dict[str, Counter[str]] = {}  # folded line -> its spellings -> files
    for text, files in texts.items():
        for line in dict.fromkeys(text.split("\n")):
            if line.strip():
                spelled.setdefault(folded(line), Counter())[line] += files
    spelled.pop("", None)
    whole: list[tuple[str, int]] = []
    found = []
    for key, _ in Counter({key: lines.total() for key, lines in spelled.items()}).most_common(count):
        line, files = spelled[key].most_common(1)[0]
        if len(spelled[key]) > 1 or any(key in other for other in spelled if other != key):
            whole = whole or [(folded(text), files) for text, files in texts.items()]
            files = sum(files for text, files in whole if key in text)
        found.append((line, files))
    return sorted(found, key=lambda one: (-one[1], one[0]))
