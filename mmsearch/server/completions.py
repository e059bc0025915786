"""What the word before the cursor of a query may become: fields, and values that photos have."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from mmsearch.library.facets import FacetValue
from mmsearch.library.library import Library
from mmsearch.query.fields import FORMATS, SHAPES
from mmsearch.query.parser import FIELDS

MOST = 20
VALUES = 2000  # of each facet, those of the most photos
FRESH = 30.0  # seconds that the values of one state of the library are used: tags do not change its generation

_PIECE = re.compile(r'(?:"[^"]*"?|[^\s"])+$')  # up to the cursor; what stands in quotes may have spaces
_FACETS = {
    "camera": "camera", "city": "city", "date": "year", "in": "folder", "person": "person", "tag": "tag",
    "taken": "year", "type": "type",
}  # fmt: skip
_CHOICES = {
    "has": ("text", "gps"),
    "orientation": tuple(SHAPES),
    "sort": ("score", "date", "date-asc", "name", "size"),
    "type": tuple(dict.fromkeys(FORMATS.values())),
}
_NAMED = ("tag", "person", "city", "camera")  # fields whose values are offered for a word without a field


class Completions:
    """Offers of one library.  Safe from several threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._state: object = None
        self._at = 0.0
        self._values: dict[str, tuple[FacetValue, ...]] = {}  # facet -> values

    def of(self, text: str, at: int) -> tuple[int, list[dict[str, str]]]:
        """Where the piece before the cursor begins, and what it may become, the likeliest first."""
        found = _PIECE.search(text[: max(0, at)])
        if found is None:
            return at, []
        piece = found.group()
        sign = piece[:1] if piece[:1] in "+-" and piece[1:] else ""
        field, colon, value = piece[len(sign) :].partition(":")
        offers = self._in_field(field.lower(), value) if colon else self._of_word(field)
        told: dict[str, dict[str, str]] = {}
        for insert, label, kind in offers:
            told.setdefault(insert, {"insert": f"{sign}{insert}", "label": label, "kind": kind})
            if len(told) == MOST:
                break
        return found.start(), list(told.values())

    def tags(self, beginning: str, most: int) -> list[dict[str, Any]]:
        """The tags with a word that begins so, and how many photos have each; those of the most photos first."""
        lower = beginning.strip().lower()
        fitting = (one for one in self._known().get("tag", ()) if _fits(one.value, lower))
        return [{"tag": one.value, "count": one.count} for one in islice(fitting, most)]

    def forget(self) -> None:
        """Look anew next time: somebody has changed tags, which the library's generation does not tell."""
        with self._lock:
            self._state = None

    def _of_word(self, word: str) -> Iterator[tuple[str, str, str]]:
        lower = word.strip('"').lower()
        if not lower:
            return
        for field in FIELDS:
            if field.startswith(lower):
                yield f"{field}:", f"{field}:", "field"
        for field in _NAMED:
            for one in self._known().get(field, ()):
                if _fits(one.value, lower):
                    yield one.query, one.value, field

    def _in_field(self, field: str, value: str) -> Iterator[tuple[str, str, str]]:
        """After a field, and after others of its values and a comma."""
        before, comma, last = value.rpartition(",")
        lower = last.strip('"').lower()
        begin = f"{field}:{before}{comma}"
        for one in self._known().get(_FACETS.get(field, ""), ()):
            if _fits(one.value, lower):
                yield begin + one.query.partition(":")[2], one.value, field
        for name, number in self._clusters() if field == "cluster" else ():
            if _fits(name, lower) or str(number).startswith(lower):
                yield f"{begin}{number}", f"{number}: {name}", field
        for choice in _CHOICES.get(field, ()):
            if choice.startswith(lower):
                yield begin + choice, choice, field

    def _clusters(self) -> list[tuple[str, int]]:
        """Names and numbers of the clusters of the last map."""
        last = self._library.last_map()
        return [] if last is None else [(one.name, one.number) for one in last.clusters if one.size]

    def _known(self) -> dict[str, tuple[FacetValue, ...]]:
        with self._lock:
            state, now = self._library.store.generation(), time.monotonic()
            if state != self._state or now - self._at > FRESH:
                found = self._library.facets(most=VALUES).facets if self._library.store.model() is not None else ()
                self._values = {one.field: one.values for one in found}
                self._state, self._at = state, now
            return self._values


def _fits(value: str, beginning: str) -> bool:
    """Whether a word of a value begins so."""
    lower = value.lower()
    return lower.startswith(beginning) or any(word.startswith(beginning) for word in re.split(r"[\s/_-]+", lower))
