"""The JSON files that Google Takeout writes beside photos: which belongs to which photo, and what it says.

Takeout calls the file of ``a.jpg`` ``a.jpg.supplemental-metadata.json``, and ``a.jpg.json`` in older archives.  It cuts
the name before ".json" after 46 characters, puts the number of a second ``a.jpg`` at the end, may leave ``.jpg`` out,
and writes none for ``a-edited.jpg``.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from mmsearch.media.said import Said, one_line, place

LONGEST_JSON = 2**20  # bytes
_CUT = 46  # characters of a name that Takeout keeps, without number and ".json"
_MARKER = "supplemental-metadata"
_STEM = re.compile(r"(?P<base>.+?)(?:\.(?P<marker>[a-z-]*))?(?P<number>\(\d+\))?", re.DOTALL)
_NUMBERED = re.compile(r"(?P<plain>.+)(?P<number>\(\d+\))", re.DOTALL)
_EDITED = "-edited"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_YEARS = range(1800, 2200)


def comparable(name: str) -> str:
    """Names that look the same are the same then: "Käse" in one letter or two for ä, and in small letters or large."""
    return unicodedata.normalize("NFC", name).lower()


def keys_of_json(stem: str) -> list[str]:
    """What a photo must be looked up by to have the JSON file of this name without ".json"."""
    stem = comparable(stem)
    match = _STEM.fullmatch(stem)
    if match is None:
        return []
    base, marker, number = match["base"], match["marker"], match["number"] or ""
    if marker is not None and not _MARKER.startswith(marker):
        base, marker = f"{base}.{marker}", None  # the suffix of the photo
    cut = len(stem) - len(number) >= _CUT
    keys = [_key(base, number)]
    if marker == _MARKER or (marker is not None and cut):
        keys.append("bare " + keys[0])  # the photo's suffix may be missing
    return keys


def keys_of_photo(name: str) -> Iterator[str]:
    """What its JSON file may be listed under; the first that there is one of counts."""
    stem, suffix = os.path.splitext(comparable(name))
    numbered = _NUMBERED.fullmatch(stem)
    # A number may be a part of the name, or Takeout's.
    read = [(stem, "")] + ([(numbered["plain"], numbered["number"])] if numbered else [])
    originals = [(plain.removesuffix(_EDITED), number) for plain, number in read if plain.endswith(_EDITED)]
    for some in (read, originals):
        yield from (_key(plain + suffix, number) for plain, number in some)
        yield from ("bare " + _key(plain, number) for plain, number in some)


def _key(name: str, number: str) -> str:
    return f"json {name[:_CUT]} {number}"


def takeout_said(content: bytes) -> Said:
    """Description, people, date and place; nothing of what is no such file.  Never raises.

    The date is in UTC, because Takeout has no other, and the place that which a person gave, or else the camera's.
    """
    try:
        said: Any = json.loads(content)
    except (ValueError, RecursionError):
        return Said()
    if not isinstance(said, dict):
        return Said()
    description, listed = said.get("description"), said.get("people")
    people = listed if isinstance(listed, list) else []
    names = [name for one in people if isinstance(one, dict) and (name := one_line(one.get("name")))]
    places = (_place(said.get(key)) for key in ("geoData", "geoDataExif"))
    latitude, longitude = next((one for one in places if one[0] is not None), (None, None))
    return Said(
        original=_time(said.get("photoTakenTime")),
        latitude=latitude,
        longitude=longitude,
        people=tuple(names),
        texts=(description,) if isinstance(description, str) else (),
        keywords=tuple(names),
    )


def _time(given: Any) -> datetime | None:
    """Of seconds since 1970; 0 is what stands there where nobody knows."""
    seconds = _number(given.get("timestamp")) if isinstance(given, dict) else None
    if not seconds:
        return None
    try:
        time = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return time if time.year in _YEARS else None


def _place(given: Any) -> tuple[float | None, float | None]:
    if not isinstance(given, dict):
        return None, None
    return place(_number(given.get("latitude")), _number(given.get("longitude")))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
