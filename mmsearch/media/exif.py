"""What the camera wrote beside the pixels: when, with what, where."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from PIL import Image

from mmsearch.types import Exif

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_MAKE, _MODEL, _LENS_MODEL = 0x010F, 0x0110, 0xA434
_DATES = (  # (date, fraction of the second, time zone), the most trusted first
    (0x9003, 0x9291, 0x9011),  # DateTimeOriginal: the shutter
    (0x9004, 0x9292, 0x9012),  # DateTimeDigitized: the scan
    (0x0132, 0x9290, 0x9010),  # DateTime: the last change
)
_LATITUDE, _LONGITUDE = (1, 2, "NS", 90.0), (3, 4, "EW", 180.0)  # (tag of the letter, tag of the angle, letters, limit)

_DATE = re.compile(r"\s*(\d{4})[:./-](\d{1,2})[:./-](\d{1,2})(?:[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?)?", re.ASCII)
_ZONE = re.compile(r"([+-])(\d{1,2}):?(\d{2})", re.ASCII)
_LONGEST_TEXT = 200  # characters

_Tags = dict[int, Any]


def read_exif(image: Image.Image) -> Exif:
    """The EXIF fields of an opened picture; those that are missing, damaged or nonsense are None.  Never raises.

    Read it before ``ImageOps.exif_transpose``.
    """
    try:
        exif = image.getexif()
    except Exception:  # whatever Pillow throws at damaged EXIF: struct.error, SyntaxError, KeyError, ...
        return Exif()
    tags = _top_tags(exif) | _sub_tags(exif, _EXIF_IFD)
    latitude, longitude = _position(_sub_tags(exif, _GPS_IFD))
    return Exif(
        taken_at=_taken_at(tags),
        camera=_camera(_text(tags.get(_MAKE)), _text(tags.get(_MODEL))),
        lens=_text(tags.get(_LENS_MODEL)),
        latitude=latitude,
        longitude=longitude,
    )


def _top_tags(exif: Image.Exif) -> _Tags:
    tags = {}
    for tag in list(exif):
        with suppress(Exception):  # Pillow reads a value when it is asked for; one damaged value must not cost the rest
            tags[tag] = exif[tag]
    return tags


def _sub_tags(exif: Image.Exif, ifd: int) -> _Tags:
    try:
        return dict(exif.get_ifd(ifd))
    except Exception:  # here one damaged value does cost the rest of its group
        return {}


def _text(value: object) -> str | None:
    """One printable line of at most 200 characters; None where there is neither letter nor digit, as in "----"."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    value = value.lstrip("\0").partition("\0")[0]  # what follows a NUL is what was in the camera's memory before
    line = " ".join("".join(c if c.isprintable() else " " for c in value[: 4 * _LONGEST_TEXT]).split())
    line = line[:_LONGEST_TEXT].rstrip()
    return line if any(c.isalnum() for c in line) else None


def _camera(make: str | None, model: str | None) -> str | None:
    """Make and model, or the model alone where it repeats the make, as in NIKON CORPORATION, NIKON D90."""
    if make is None or model is None:
        return make or model
    if model.split()[0].casefold() in make.casefold().split():
        return model
    return f"{make} {model}"[:_LONGEST_TEXT].rstrip()


def _taken_at(tags: _Tags) -> datetime | None:
    for date_tag, fraction_tag, zone_tag in _DATES:
        date = _date(_text(tags.get(date_tag)))
        if date is not None:
            return date.replace(microsecond=_microseconds(tags.get(fraction_tag)), tzinfo=_zone(tags.get(zone_tag)))
    return None


def _date(text: str | None) -> datetime | None:
    match = _DATE.match(text or "")
    if match is None:
        return None
    try:
        date = datetime(*(int(part or 0) for part in match.groups()))  # type: ignore[arg-type]
    except ValueError:  # month 0, 30 February
        return None
    return date if 1800 <= date.year < 2200 else None  # no photo is older; years far off break time zones later


def _microseconds(value: object) -> int:
    digits = re.match(r"\d{1,6}", _text(value) or "", re.ASCII)  # "5" is half a second
    return int(digits.group().ljust(6, "0")) if digits else 0


def _zone(value: object) -> timezone | None:
    text = _text(value) or ""
    if text in ("Z", "UTC"):
        return timezone.utc
    match = _ZONE.match(text)
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset > timedelta(hours=14) or int(minutes) > 59:  # no place on Earth
        return None
    return timezone(-offset if sign == "-" else offset)


def _position(tags: _Tags) -> tuple[float | None, float | None]:
    latitude, longitude = _degrees(tags, *_LATITUDE), _degrees(tags, *_LONGITUDE)
    if latitude is None or longitude is None or latitude == longitude == 0.0:  # (0, 0) is a receiver with no satellite
        return None, None
    return latitude, longitude


def _degrees(tags: _Tags, letter_tag: int, angle_tag: int, letters: str, limit: float) -> float | None:
    letter = (_text(tags.get(letter_tag)) or " ")[0].upper()
    angle = tags.get(angle_tag)
    parts = list(angle[:3]) if isinstance(angle, (tuple, list)) else [angle]
    numbers = [_number(part) for part in parts]
    if letter not in letters or not numbers or numbers[0] is None:
        return None
    degrees, minutes, seconds = (number or 0.0 for number in (*numbers, 0.0, 0.0)[:3])  # 0/0 minutes are no minutes
    total = degrees + minutes / 60 + seconds / 3600
    if min(degrees, minutes, seconds) < 0 or total > limit:
        return None
    return -total if letter == letters[1] and total else total


def _number(value: Any) -> float | None:
    """A finite float, or None."""
    if isinstance(value, (str, bytes)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, ArithmeticError):  # zero denominators, integers beyond floats
        return None
    return number if math.isfinite(number) else None
