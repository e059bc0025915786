"""What is read from EXIF, and that nothing in it can do harm."""

from __future__ import annotations

import io
import struct
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from mmsearch.media.metadata import read_metadata
from mmsearch.types import Exif

MAKE, MODEL, DATE, LENS = 0x010F, 0x0110, 0x0132, 0xA434
ORIGINAL, DIGITIZED = 0x9003, 0x9004
FRACTION, FRACTION_ORIGINAL = 0x9290, 0x9291
ZONE, ZONE_ORIGINAL = 0x9010, 0x9011

Tags = dict[int, Any]


def read_exif(image: Image.Image) -> Exif:
    return read_metadata(image).exif


def image_with(top: Tags | None = None, sub: Tags | None = None, gps: Tags | None = None) -> Image.Image:
    """A picture in memory with these tags, as Pillow holds them after reading: any type, right or wrong."""
    image = Image.new("RGB", (1, 1))
    exif = image.getexif()
    exif.update(top or {})
    exif._ifds[0x8769], exif._ifds[0x8825] = sub or {}, gps or {}
    return image


def place(*parts: Any, letters: str = "NE") -> Exif:
    """Latitude of these parts, longitude 10 degrees."""
    return read_exif(image_with(gps={1: letters[0], 2: parts, 3: letters[1], 4: (10.0, 0.0, 0.0)}))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_all_fields_are_read_from_a_file(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[MAKE], exif[MODEL] = "Canon", "Canon EOS 5D"
    exif.get_ifd(0x8769).update({ORIGINAL: "2019:07:14 18:30:05", ZONE_ORIGINAL: "+02:00", LENS: "EF 50mm"})
    half = IFDRational(30, 1)
    exif.get_ifd(0x8825).update(
        {1: "S", 2: (IFDRational(33, 1), half, IFDRational(0)), 3: "W", 4: (IFDRational(70), half, IFDRational(0, 1))}
    )
    path = tmp_path / f"photo.{suffix}"
    Image.new("RGB", (8, 8)).save(path, exif=exif.tobytes())
    with Image.open(path) as image:
        assert read_exif(image) == Exif(
            taken_at=datetime(2019, 7, 14, 18, 30, 5, tzinfo=timezone(timedelta(hours=2))),
            camera="Canon EOS 5D",
            lens="EF 50mm",
            latitude=-33.5,
            longitude=-70.5,
        )


EXPOSURE, F_NUMBER, ISO, SHUTTER, APERTURE, FOCAL = 0x829A, 0x829D, 0x8827, 0x9201, 0x9202, 0x920A


@pytest.mark.parametrize(
    ("tags", "exif"),
    [
        ({EXPOSURE: IFDRational(1, 250), F_NUMBER: IFDRational(28, 10), ISO: 400, FOCAL: IFDRational(50, 1)},
         Exif(exposure=0.004, aperture=2.8, iso=400, focal=50.0)),
        ({EXPOSURE: IFDRational(1, 3), ISO: (200, 0), FOCAL: IFDRational(425, 100)},
         Exif(exposure=0.333333, iso=200, focal=4.25)),
        ({SHUTTER: IFDRational(5, 1), APERTURE: IFDRational(2, 1)}, Exif(exposure=0.03125, aperture=2.0)),
        ({EXPOSURE: IFDRational(0, 1), SHUTTER: IFDRational(-1, 1)}, Exif(exposure=2.0)),
        ({ISO: 65535, 0x8832: 102_400}, Exif(iso=102_400)),
        ({EXPOSURE: IFDRational(0, 0), F_NUMBER: 0, ISO: 0, FOCAL: IFDRational(0, 1)}, Exif()),
        ({EXPOSURE: "x", F_NUMBER: -1.0, ISO: (), FOCAL: float("inf"), SHUTTER: 10**9}, Exif()),
    ],
)  # fmt: skip
def test_exposure(tags: Tags, exif: Exif) -> None:
    assert read_exif(image_with(sub=tags)) == exif


def test_a_picture_without_exif_has_empty_fields() -> None:
    assert read_exif(Image.new("RGB", (1, 1))) == Exif()


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("EASTMAN KODAK COMPANY", "KODAK DC240", "KODAK DC240"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("SONY", "DSC-RX100  ", "SONY DSC-RX100"),
        ("Canon\0\0\0", "PowerShot\0garbage", "Canon PowerShot"),
        (b"Canon", b"EOS \xff", "Canon EOS \ufffd"),
        ("Panasonic", None, "Panasonic"),
        (None, "DMC-TZ7", "DMC-TZ7"),
        ("", "   ", None),
        ("----", "\0\0", None),
        (("Canon",), 5, None),
        ("a\x1b[31m\nb", None, "a [31m b"),
        ("x" * 500, "y" * 500, "x" * 200),
    ],
)
def test_camera(make: object, model: object, camera: str | None) -> None:
    assert read_exif(image_with({MAKE: make, MODEL: model})) == Exif(camera=camera)


def test_lens_is_cut_at_200_characters() -> None:
    assert read_exif(image_with(sub={LENS: "é" * 5000})) == Exif(lens="é" * 200)


@pytest.mark.parametrize(
    ("top", "sub", "taken_at"),
    [
        ({}, {ORIGINAL: "2019:07:14 18:30:05"}, datetime(2019, 7, 14, 18, 30, 5)),
        ({DATE: "2020:01:01 00:00:00"}, {DIGITIZED: "2018:01:01 00:00:00"}, datetime(2018, 1, 1)),
        ({DATE: "2020:01:01 00:00:00"}, {ORIGINAL: "0000:00:00 00:00:00"}, datetime(2020, 1, 1)),
        ({DATE: "2020:01:01 00:00:00"}, {ORIGINAL: "    :  :     :  :  "}, datetime(2020, 1, 1)),
        ({DATE: "2020:01:01 00:00:00", ORIGINAL: "2017:01:01 00:00:00"}, {}, datetime(2017, 1, 1)),
        ({}, {ORIGINAL: "2019-07-14T18:30:05Z"}, datetime(2019, 7, 14, 18, 30, 5)),
        ({}, {ORIGINAL: "2019:07:14 18:30\0"}, datetime(2019, 7, 14, 18, 30)),
        ({}, {ORIGINAL: b"2019:07:14"}, datetime(2019, 7, 14)),
        ({}, {ORIGINAL: "2019:07:14 18:30:05", FRACTION_ORIGINAL: "5"}, datetime(2019, 7, 14, 18, 30, 5, 500_000)),
        (
            {DATE: "2019:07:14 18:30:05"},
            {FRACTION: "1234567 ", FRACTION_ORIGINAL: "9", ZONE: "-03:30", ZONE_ORIGINAL: "+01:00"},
            datetime(2019, 7, 14, 18, 30, 5, 123_456, timezone(-timedelta(hours=3, minutes=30))),
        ),
        ({}, {ORIGINAL: "2019:07:14 18:30:05", ZONE_ORIGINAL: "Z"}, datetime(2019, 7, 14, 18, 30, 5, 0, timezone.utc)),
        ({}, {ORIGINAL: "2019:07:14 18:30:05", ZONE_ORIGINAL: "+99:99"}, datetime(2019, 7, 14, 18, 30, 5)),
        ({}, {ORIGINAL: "2019:07:14 18:30:05", ZONE_ORIGINAL: "   :  "}, datetime(2019, 7, 14, 18, 30, 5)),
        ({}, {ORIGINAL: "2019:07:14 24:08:19"}, datetime(2019, 7, 14, 0, 8, 19)),
        ({}, {ORIGINAL: "2019:07:14 18:30:60"}, datetime(2019, 7, 14, 18, 30)),
        ({}, {ORIGINAL: "2019:07:14 18:99:05"}, datetime(2019, 7, 14, 18, 0, 5)),
        ({}, {ORIGINAL: "2019:07:14   :  :  "}, datetime(2019, 7, 14)),
        ({}, {ORIGINAL: "2019:02:30 00:00:00"}, None),
        ({}, {ORIGINAL: "2019:07"}, None),
        ({}, {ORIGINAL: "0001:01:01 00:00:00"}, None),
        ({}, {ORIGINAL: "9999:01:01 00:00:00"}, None),
        ({}, {ORIGINAL: ("2019:07:14", "18:30:05")}, None),
        ({}, {ORIGINAL: 20190714}, None),
    ],
)
def test_taken_at(top: Tags, sub: Tags, taken_at: datetime | None) -> None:
    assert read_exif(image_with(top, sub)) == Exif(taken_at=taken_at)


def test_minutes_and_seconds_are_parts_of_a_degree() -> None:
    found = place(IFDRational(48), IFDRational(51), IFDRational(2970, 100))
    assert (found.latitude, found.longitude) == (48 + 51 / 60 + 29.7 / 3600, 10.0)


@pytest.mark.parametrize(
    ("parts", "letters", "latitude"),
    [
        ((45.5,), "SE", -45.5),
        ((45, Fraction(30)), "NE", 45.5),
        ((IFDRational(45), IFDRational(0, 0), IFDRational(0, 0)), "NE", 45.0),
        ((90, 0, 0), "NE", 90.0),
    ],
)
def test_latitude(parts: tuple[Any, ...], letters: str, latitude: float) -> None:
    assert place(*parts, letters=letters) == Exif(latitude=latitude, longitude=10.0)


@pytest.mark.parametrize(
    ("parts", "letters"),
    [
        ((90, 0, 1), "NE"),
        ((-1, 0, 0), "NE"),
        ((IFDRational(0, 0), 5, 5), "NE"),
        ((IFDRational(1, 0), 0, 0), "NE"),
        ((float("nan"), 0, 0), "NE"),
        ((float("inf"), 0, 0), "NE"),
        ((10**400, 0, 0), "NE"),
        (("45", 0, 0), "NE"),
        (((4, 5), 0, 0), "NE"),
        ((None,), "NE"),
        ((), "NE"),
        ((45, 0, 0), " E"),
        ((45, 0, 0), "EE"),
        ((45, 0, 0), "N\0"),
    ],
)
def test_nonsense_is_no_place(parts: tuple[Any, ...], letters: str) -> None:
    assert place(*parts, letters=letters) == Exif()


def test_zero_zero_is_no_place_but_the_equator_is() -> None:
    assert read_exif(image_with(gps={1: "N", 2: (0, 0, 0), 3: "E", 4: (0, 0, 0)})) == Exif()
    assert place(0, 0, 0, letters="SE") == Exif(latitude=0.0, longitude=10.0)


def test_a_longitude_alone_is_no_place() -> None:
    assert read_exif(image_with(gps={3: "E", 4: (10, 0, 0)})) == Exif()


def test_one_damaged_value_does_not_cost_the_others() -> None:
    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return struct.pack("<HHI", tag, kind, count) + value

    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 2)
    data += entry(MAKE, 2, 4, b"Abc\0") + entry(MODEL, 5, 1, b"\0\0\0\0") + b"\0\0\0\0"  # a rational at offset 0
    image = Image.new("RGB", (1, 1))
    image.info["exif"] = b"Exif\0\0" + data
    assert read_exif(image) == Exif(camera="Abc")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of damaged EXIF
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_exif_never_raises(data: st.DataObject) -> None:
    exif = Image.Exif()
    exif[MAKE] = "Canon"
    exif.get_ifd(0x8769).update({ORIGINAL: "2019:07:14 18:30:05"})
    exif.get_ifd(0x8825).update({1: "S", 2: (IFDRational(33), IFDRational(0), IFDRational(0))})
    raw = bytearray(exif.tobytes())
    for position in data.draw(st.lists(st.integers(6, len(raw) - 1), max_size=6)):
        raw[position] = data.draw(st.integers(0, 255))
    image = Image.new("RGB", (1, 1))
    image.info["exif"] = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    assert isinstance(read_exif(image), Exif)


def test_an_opened_file_whose_exif_is_rubbish_has_empty_fields() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", exif=b"Exif\0\0rubbish")
    with Image.open(buffer) as image:
        assert read_exif(image) == Exif()
