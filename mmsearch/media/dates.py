"""Dates as cameras and programs write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_DATE = re.compile(
    r"\s*(\d{4})(?:[:./-](\d{1,2})(?:[:./-](\d{1,2})"
    r"(?:[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d{1,9}))?)?\s*(Z|[+-]\d{1,2}:?\d{2})?)?)?)?",
    re.ASCII,
)
_ZONE = re.compile(r"([+-])(\d{1,2}):?(\d{2})", re.ASCII)


def parsed(text: str | None, part: bool = False) -> datetime | None:
    """A date in EXIF's form, "2019:07:14 18:30:05", or in ISO 8601; None for what is none.

    A part of the time that no clock shows, hour 24 or second 60, counts as 0: the day is right all the same.  With
    ``part`` a year, or a year and a month, is its first day.  It has a time zone only where the text has one.
    """
    match = _DATE.match(text or "")
    if match is None:
        return None
    year, month, day, *clock, fraction, zone_text = match.groups()
    if (day is None and not part) or not 1800 <= int(year) < 2200:  # no photo is older; far years break time zones
        return None
    hour, minute, second = (
        int(one or 0) if int(one or 0) < most else 0 for one, most in zip(clock, (24, 60, 60), strict=True)
    )
    try:
        date = datetime(int(year), int(month or 1), int(day or 1), hour, minute, second)
    except ValueError:  # month 0, 30 February
        return None
    return date.replace(microsecond=microseconds(fraction), tzinfo=zone(zone_text))


def microseconds(digits: str | None) -> int:
    """Of the digits after the point of a second: "5" is half a second."""
    match = re.match(r"\d{1,6}", digits or "", re.ASCII)
    return int(match.group().ljust(6, "0")) if match else 0


def zone(text: str | None) -> timezone | None:
    """ "+02:00", "-0330", "Z"; None for what no place on Earth has."""
    if text in ("Z", "UTC"):
        return timezone.utc
    match = _ZONE.match(text or "")
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset > timedelta(hours=14) or int(minutes) > 59:
        return None
    return timezone(-offset if sign == "-" else offset)
