"""Who is believed where EXIF, XMP and IPTC of one file say different things."""

from __future__ import annotations

import io
import struct
from datetime import datetime, timezone
from typing import Any

import pytest
from PIL import Image

from mmsearch.media.decode import decode
from mmsearch.types import Annotations, Decoded, Exif, Preprocess

ORIGINAL, DIGITIZED, CHANGED, RATING = 0x9003, 0x9004, 0x0132, 0x4746
XMP = (
    '<r xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" {}/>'
)


def jpeg(xmp: str = "", iptc: dict[tuple[int, int], str] | None = None, **exif: Any) -> bytes:
    """A JPEG with these attributes of XMP, fields of IPTC, and tags of EXIF."""
    tags = Image.Exif()
    names = {"original": ORIGINAL, "digitized": DIGITIZED}
    tags.get_ifd(0x8769).update({names[name]: value for name, value in exif.items() if name in names})
    tags.update({{"changed": CHANGED, "rating": RATING}[n]: value for n, value in exif.items() if n not in names})
    options = {"xmp": XMP.format(xmp).encode()} if xmp else {}
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "green").save(buffer, "JPEG", exif=tags.tobytes(), **options)
    data = b"".join(
        struct.pack(">BBBH", 0x1C, *key, len(value.encode())) + value.encode() for key, value in (iptc or {}).items()
    )
    block = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(data)) + data + b"\0" * (len(data) % 2)
    segment = b"Photoshop 3.0\0" + block
    made = buffer.getvalue()
    return made[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + made[2:] if data else made


def read(content: bytes) -> Decoded:
    return decode(io.BytesIO(content), "a.jpg", Preprocess(8))


def year(date: datetime | None) -> int | None:
    return date.year if date else None


XMP_ORIGINAL = 'exif:DateTimeOriginal="2002-01-01"'
IPTC_DATE = {(2, 55): "20030101"}


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (jpeg(XMP_ORIGINAL, IPTC_DATE, original="2001:01:01 00:00:00"), 2001),
        (jpeg(XMP_ORIGINAL, IPTC_DATE), 2002),
        (jpeg("", IPTC_DATE), 2003),
        # The date of the shutter before that of the scan, whoever says it; then that of the last change.
        (jpeg(XMP_ORIGINAL, digitized="2010:01:01 00:00:00", changed="2020:01:01 00:00:00"), 2002),
        (jpeg("", IPTC_DATE, digitized="2010:01:01 00:00:00"), 2003),
        (jpeg('xmp:CreateDate="2011-01-01"', digitized="2010:01:01 00:00:00"), 2010),
        (jpeg('xmp:CreateDate="2011-01-01"', changed="2020:01:01 00:00:00"), 2011),
        (jpeg("", changed="2020:01:01 00:00:00"), 2020),
        (jpeg(XMP_ORIGINAL, original="0000:00:00 00:00:00"), 2002),
    ],
)
def test_order_of_dates(content: bytes, taken: int) -> None:
    assert year(read(content).exif.taken_at) == taken


@pytest.mark.parametrize(
    ("fields", "date"),
    [
        ({(2, 55): "19850714", (2, 60): "120000+0000"}, datetime(1985, 7, 14, 12, tzinfo=timezone.utc)),
        ({(2, 55): "19850714", (2, 60): "120000"}, datetime(1985, 7, 14, 12)),
        ({(2, 55): "19850714"}, datetime(1985, 7, 14)),
        ({(2, 55): "19850700", (2, 60): "120000"}, datetime(1985, 7, 1)),
        ({(2, 55): "19850000"}, datetime(1985, 1, 1)),
        ({(2, 55): "00000000"}, None),
        ({(2, 55): "today"}, None),
        ({(2, 62): "20100102"}, datetime(2010, 1, 2)),
    ],
)
def test_dates_of_iptc(fields: dict[tuple[int, int], str], date: datetime | None) -> None:
    assert read(jpeg(iptc=fields)).exif == Exif(taken_at=date)


def test_places_towns_and_stars() -> None:
    place = 'exif:GPSLatitude="48,30N" exif:GPSLongitude="2,15E"'
    found = read(jpeg(f'{place} photoshop:City="Paris" xmp:Rating="4"', {(2, 90): "Lyon"}, rating=2))
    assert found.exif == Exif(latitude=48.5, longitude=2.25)
    assert found.annotations == Annotations("Paris", (), 2)
    assert found.description == "Lyon, Paris"
    assert read(jpeg(iptc={(2, 90): "Lyon", (2, 101): "France"})).annotations == Annotations("Lyon")
    assert read(jpeg("", rating=0)).annotations == Annotations()
