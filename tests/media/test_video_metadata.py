"""What a film says of itself: when with its zone, where, with what, and in words."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone

import pytest
from films import Making, film, photos

from mmsearch.media.decode import decode
from mmsearch.types import Annotations, Decoded, Exif, Preprocess

pytest.importorskip("av")
UTC = timezone.utc
KEYS = {"movflags": "use_metadata_tags"}
APPLE = "com.apple.quicktime."


def read(codec: str, tags: dict[str, str], muxer: dict[str, str] | None = None) -> Decoded:
    content = film(photos()[:1], Making(codec, tags=tags, muxer=muxer or {}))
    return decode(io.BytesIO(content), "a", Preprocess(64))


def test_a_telephone_says_when_with_its_zone_and_where() -> None:
    found = read("h264 mov", {
        f"{APPLE}creationdate": "2023-05-01T14:22:11+0200",
        f"{APPLE}make": "Apple",
        f"{APPLE}model": "iPhone 14 Pro",
        f"{APPLE}location.ISO6709": "+48.8583+002.2945+035.000/",
        f"{APPLE}description": "At the tower",
        f"{APPLE}title": "Paris",
        f"{APPLE}keywords": "tower,holiday",
        "creation_time": "2023-05-03T09:00:00Z",
    }, KEYS)  # fmt: skip
    assert found.exif == Exif(
        taken_at=datetime(2023, 5, 1, 14, 22, 11, tzinfo=timezone(timedelta(hours=2))),
        camera="Apple iPhone 14 Pro",
        latitude=48.8583,
        longitude=2.2945,
    )
    assert found.description == "Paris\nAt the tower\ntower, holiday"
    assert found.format == "mov"


def test_another_telephone() -> None:
    found = read("h264 mp4", {
        "creation_time": "2021-12-31T23:30:00Z",
        "com.android.manufacturer": "Google",
        "com.android.model": "Pixel 7",
        "location": "-33.8568+151.2153/",
    }, KEYS)  # fmt: skip
    assert found.exif == Exif(
        taken_at=datetime(2021, 12, 31, 23, 30, tzinfo=UTC),
        camera="Google Pixel 7",
        latitude=-33.8568,
        longitude=151.2153,
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("+48.8583+002.2945/", (48.8583, 2.2945)),
        ("+4851.498+00217.67+010/", (48.8583, 2.294500)),
        ("-485129.88-0021740.2/", (-48.858300, -2.294500)),
        ("+00.0000+000.0000/", (None, None)),
        ("+91.0000+002.0000/", (None, None)),
        ("somewhere", (None, None)),
    ],
)
def test_places(text: str, place: tuple[float | None, float | None]) -> None:
    found = read("h264 mov", {f"{APPLE}location.ISO6709": text}, KEYS)
    assert (found.exif.latitude, found.exif.longitude) == (
        pytest.approx(place, abs=1e-6) if place[0] is not None else place
    )


@pytest.mark.parametrize("text", ["1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "0000-00-00", "yesterday"])
def test_a_clock_that_nobody_set_says_nothing(text: str) -> None:
    assert read("h264 mov", {f"{APPLE}creationdate": text}, KEYS).exif.taken_at is None


def test_matroska_and_avi() -> None:
    found = read("h264 mkv", {"title": "A walk", "DATE_RECORDED": "2019-07-04", "COMMENT": "with the dog"})
    assert (found.exif.taken_at, found.description) == (datetime(2019, 7, 4), "A walk\nwith the dog")
    found = read("mpeg4 avi", {"title": "Old film", "date": "2004-02-29"})
    assert (found.exif.taken_at, found.description) == (datetime(2004, 2, 29), "Old film")


def test_xmp_in_a_box_of_its_own() -> None:
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
        b' xmlns:dc="http://purl.org/dc/elements/1.1/" xmp:Rating="4" photoshop:City="Bonn">'
        b"<dc:description><rdf:Alt><rdf:li>A ship</rdf:li></rdf:Alt></dc:description>"
        b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    box = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + packet
    content = film(photos()[:1]) + (len(box) + 8).to_bytes(4, "big") + b"uuid" + box
    found = decode(io.BytesIO(content), "a.mp4", Preprocess(64))
    assert found.annotations == Annotations(city="Bonn", rating=4)
    assert found.description == "A ship\nBonn"


def test_what_is_no_text_is_left_out() -> None:
    found = read("h264 mkv", {"title": "\x07\x08", "comment": "Lavf61.7.100"})
    assert found.description is None


def test_film_without_metadata() -> None:
    found = read("h264 mkv", {})
    assert (found.exif, found.annotations, found.description) == (Exif(), Annotations(), None)
