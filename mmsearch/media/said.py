"""What one source says of a picture: EXIF, XMP, IPTC or a file beside it; and who is believed where several do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from mmsearch.types import Annotations, Exif

_Value = TypeVar("_Value")

LONGEST_NAME = 200  # characters of the name of a camera, a town, a person
MOST_PEOPLE = 100


@dataclass(frozen=True)
class Said:
    """What one source says; None and empty where it says nothing that can be."""

    original: datetime | None = None  # when the shutter was released, or what a person set for a scan
    digitized: datetime | None = None  # of a scan, when it was made
    changed: datetime | None = None  # when the file was written
    latitude: float | None = None  # degrees; both or none
    longitude: float | None = None
    camera: str | None = None
    lens: str | None = None
    iso: int | None = None
    aperture: float | None = None
    exposure: float | None = None  # seconds
    focal: float | None = None  # millimetres
    city: str | None = None
    people: tuple[str, ...] = ()
    rating: int | None = None
    label: str | None = None
    texts: tuple[str, ...] = ()  # as they were written
    keywords: tuple[str, ...] = ()
    content_identifier: str | None = None


def believed(sources: Sequence[Said]) -> Exif:
    """When, with what and where, of sources that are believed in this order.

    A date of the shutter goes before one of a scan, whoever says it, and that before one of the last change.
    """
    dates = [
        *(one.original for one in sources),
        *(one.digitized for one in sources),
        *(one.changed for one in sources),
    ]
    place = next((one for one in sources if one.latitude is not None and one.longitude is not None), Said())
    return Exif(
        taken_at=_first(dates),
        camera=_first(one.camera for one in sources),
        lens=_first(one.lens for one in sources),
        latitude=place.latitude,
        longitude=place.longitude,
        iso=_first(one.iso for one in sources),
        aperture=_first(one.aperture for one in sources),
        exposure=_first(one.exposure for one in sources),
        focal=_first(one.focal for one in sources),
        content_identifier=_first(one.content_identifier for one in sources),
    )


def annotated(sources: Sequence[Said]) -> Annotations:
    """Town, rating and label of the first source that has one, and the people of all."""
    return Annotations(
        city=_first(one.city for one in sources),
        people=different(name for one in sources for name in one.people)[:MOST_PEOPLE],
        rating=_first(one.rating for one in sources),
        label=_first(one.label for one in sources),
    )


def different(texts: Iterable[str]) -> tuple[str, ...]:
    """Each of them once; capitals do not matter, the first one stays."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(text.casefold(), text)
    return tuple(found.values())


def one_line(value: object) -> str | None:
    """One printable line of at most 200 characters; None where there is neither letter nor digit, as in "----"."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    value = value.lstrip("\0").partition("\0")[0]  # what follows a NUL is what was in the camera's memory before
    line = " ".join("".join(c if c.isprintable() else " " for c in value[: 4 * LONGEST_NAME]).split())
    line = line[:LONGEST_NAME].rstrip()
    return line if any(c.isalnum() for c in line) else None


def place(latitude: float | None, longitude: float | None) -> tuple[float | None, float | None]:
    """Degrees that can be on Earth; None for both where not, and for (0, 0): a receiver with no satellite."""
    if latitude is None or longitude is None or not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None, None
    if abs(latitude) > 90 or abs(longitude) > 180 or latitude == longitude == 0.0:
        return None, None
    return latitude, longitude


def stars(rating: float | None) -> int | None:
    """1 to 5, or -1 for what was rejected; None for 0, which programs write where nobody rated, and for nonsense."""
    if rating is None or not math.isfinite(rating):
        return None
    rounded = round(rating)
    return rounded if rounded == -1 or 1 <= rounded <= 5 else None


def _first(values: Iterable[_Value | None]) -> _Value | None:
    return next((value for value in values if value is not None), None)
