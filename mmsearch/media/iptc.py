"""What IPTC fields (IIM, in the Photoshop segment of a JPEG, or a TIFF) say of a picture."""

from __future__ import annotations

from typing import Any

from PIL import Image, IptcImagePlugin

from mmsearch.media.dates import parsed
from mmsearch.media.embedded_text import guessed
from mmsearch.media.said import Said, one_line

_TITLE, _KEYWORDS, _HEADLINE, _CAPTION = (2, 5), (2, 25), (2, 105), (2, 120)
_CREATED, _CREATED_TIME, _DIGITIZED, _DIGITIZED_TIME = (2, 55), (2, 60), (2, 62), (2, 63)  # 20190714, 183005+0200
_CITY, _SUBLOCATION, _STATE, _COUNTRY = (2, 90), (2, 92), (2, 95), (2, 101)


def iptc_said(image: Image.Image) -> Said:
    """The fields of an opened picture; where they are damaged nothing.  Never raises."""
    try:
        fields: Any = IptcImagePlugin.getiptcinfo(image) or {}  # type: ignore[arg-type]
    except Exception:
        return Said()

    def of(*keys: tuple[int, int]) -> list[str]:
        values = [fields.get(key, []) for key in keys]
        return [guessed(one) for value in values for one in (value if isinstance(value, list) else [value])]

    def date(day: tuple[int, int], time: tuple[int, int]) -> str:
        return _iso(next(iter(of(day)), ""), next(iter(of(time)), ""))

    return Said(
        original=parsed(date(_CREATED, _CREATED_TIME), part=True),
        digitized=parsed(date(_DIGITIZED, _DIGITIZED_TIME), part=True),
        city=next((city for one in of(_CITY) if (city := one_line(one))), None),
        texts=tuple(of(_TITLE, _HEADLINE, _CAPTION)),
        keywords=tuple(of(_KEYWORDS, _SUBLOCATION, _CITY, _STATE, _COUNTRY)),
    )


def _iso(day: str, time: str) -> str:
    """As ``parsed`` reads them: 20190714 and 183005+0200; month or day 00 is one that nobody knows."""
    parts = [part for part in (day[4:6], day[6:8]) if part.strip("0")]
    written = "-".join([day[:4], *parts])
    if len(parts) < 2 or not time[:6].isdigit() or len(time[:6]) < 6:
        return written
    return f"{written}T{time[:2]}:{time[2:4]}:{time[4:6]}{time[6:]}"
