"""What the camera wrote beside the pixels: when, with what, where, how exposed."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime
from typing import Any

from PIL import Image

from mmsearch.media.dates import microseconds, parsed, zone
from mmsearch.media.maker_note import content_identifier
from mmsearch.media.said import LONGEST_NAME, Said, one_line, place, stars

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_MAKE, _MODEL, _LENS_MODEL, _MAKER_NOTE = 0x010F, 0x0110, 0xA434, 0x927C
# Of a date, the fraction of its second, and its time zone.
_ORIGINAL = (0x9003, 0x9291, 0x9011)  # DateTimeOriginal: the shutter
_DIGITIZED = (0x9004, 0x9292, 0x9012)  # DateTimeDigitized: the scan
_CHANGED = (0x0132, 0x9290, 0x9010)  # DateTime: the last change
_RATING = 0x4746  # of Windows: stars
# The second of two is as a power of two (APEX), which some cameras write alone.
_EXPOSURE, _SHUTTER = 0x829A, 0x9201  # ExposureTime, ShutterSpeedValue
_F_NUMBER, _APERTURE = 0x829D, 0x9202  # FNumber, ApertureValue
_FOCAL = 0x920A  # FocalLength
_ISO = (0x8833, 0x8832, 0x8831, 0x8827)  # the last cannot say more than 65535 and says that then
_MOST = {"iso": 1e8, "aperture": 1e4, "exposure": 1e7, "focal": 1e6}  # beyond is nonsense
_LATITUDE, _LONGITUDE = (1, 2, "NS", 90.0), (3, 4, "EW", 180.0)  # (tag of the letter, tag of the angle, letters, limit)

_Tags = dict[int, Any]


def exif_said(image: Image.Image) -> Said:
    """The EXIF fields of an opened picture but for texts; missing, damaged and nonsense ones are None.  Never raises.

    Read it before ``ImageOps.exif_transpose``.
    """
    try:
        exif = image.getexif()
    except Exception:  # whatever Pillow throws at damaged EXIF: struct.error, SyntaxError, KeyError, ...
        return Said()
    tags = _top_tags(exif) | _sub_tags(exif, _EXIF_IFD)
    gps = _sub_tags(exif, _GPS_IFD)
    latitude, longitude = place(_degrees(gps, *_LATITUDE), _degrees(gps, *_LONGITUDE))
    rating = tags.get(_RATING)
    return Said(
        original=_taken_at(tags, *_ORIGINAL),
        digitized=_taken_at(tags, *_DIGITIZED),
        changed=_taken_at(tags, *_CHANGED),
        camera=camera_name(one_line(tags.get(_MAKE)), one_line(tags.get(_MODEL))),
        lens=one_line(tags.get(_LENS_MODEL)),
        latitude=latitude,
        longitude=longitude,
        rating=stars(rating) if isinstance(rating, int) else None,
        iso=_iso(tags),
        aperture=_amount("aperture", tags.get(_F_NUMBER), tags.get(_APERTURE), 0.5),
        exposure=_amount("exposure", tags.get(_EXPOSURE), tags.get(_SHUTTER), -1.0),
        focal=_amount("focal", tags.get(_FOCAL)),
        content_identifier=content_identifier(tags.get(_MAKER_NOTE)),
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


def camera_name(make: str | None, model: str | None) -> str | None:
    """Make and model, or the model alone where it repeats the make, as in NIKON CORPORATION, NIKON D90."""
    if make is None or model is None:
        return make or model
    if model.split()[0].casefold() in make.casefold().split():
        return model
    return f"{make} {model}"[:LONGEST_NAME].rstrip()


def _taken_at(tags: _Tags, date_tag: int, fraction_tag: int, zone_tag: int) -> datetime | None:
    date = parsed(one_line(tags.get(date_tag)))
    if date is None:
        return None
    fraction, offset = one_line(tags.get(fraction_tag)), one_line(tags.get(zone_tag))
    return date.replace(microsecond=microseconds(fraction), tzinfo=zone(offset))


def _degrees(tags: _Tags, letter_tag: int, angle_tag: int, letters: str, limit: float) -> float | None:
    letter = (one_line(tags.get(letter_tag)) or " ")[0].upper()
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


def _iso(tags: _Tags) -> int | None:
    for tag in _ISO:
        value = tags.get(tag)
        number = _amount("iso", value[0] if isinstance(value, (tuple, list)) and value else value)
        if number is not None and number >= 1:
            return round(number)
    return None


def _amount(name: str, value: Any, power: Any = None, times: float = 0.0) -> float | None:
    """A number above 0 of 6 digits; where there is none, 2 to the ``power``, which is multiplied before."""
    number, exponent = _number(value), _number(power)
    if not number and exponent is not None and abs(exponent) < 64:
        number = 2 ** (exponent * times)
    if number is None or not 0 < number <= _MOST[name]:
        return None
    return float(f"{number:.6g}") or None


def _number(value: Any) -> float | None:
    """A finite float, or None."""
    if isinstance(value, (str, bytes)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, ArithmeticError):  # zero denominators, integers beyond floats
        return None
    return number if math.isfinite(number) else None
