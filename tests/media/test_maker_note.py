"""The content identifier of Apple's maker notes, and notes that are broken in every way that could be thought of."""

from __future__ import annotations

import io
import struct

import pytest
from apple_notes import IDENTIFIER, maker_note, with_note
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmsearch.media.exif import exif_said
from mmsearch.media.maker_note import content_identifier, identifier


@pytest.mark.parametrize("order", [">", "<"])
def test_the_identifier_is_read(order: str) -> None:
    assert content_identifier(maker_note(order=order)) == IDENTIFIER
    assert (
        content_identifier(maker_note("0a1b2c3d-0000-4000-8000-abcdefabcdef")) == "0A1B2C3D-0000-4000-8000-ABCDEFABCDEF"
    )


def test_a_jpeg_with_such_a_note() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=with_note(Image.Exif(), maker_note()))
    with Image.open(file) as image:
        assert exif_said(image).content_identifier == IDENTIFIER


def entry(tag: int = 0x11, kind: int = 2, length: int = 37, place: int = 28) -> bytes:
    return b"Apple iOS\0\0\1MM" + struct.pack(">HHHII", 1, tag, kind, length, place) + IDENTIFIER.encode() + b"\0"


@pytest.mark.parametrize(
    "note",
    [
        None, 7, "Apple iOS", b"", b"Apple iOS\0", b"Apple iOS\0\0\1MM", b"Apple iOS\0\0\1XX\0\1" + bytes(12),
        b"Nikon\0" + maker_note(), maker_note()[:20], b"Apple iOS\0\0\1MM\xff\xff",
        b"Apple iOS\0\0\1MM\xff\xff" + bytes(12),
        entry(tag=0x12), entry(kind=7), entry(length=0), entry(length=2**32 - 1), entry(place=2**32 - 1),
        entry(length=3), entry(place=27), maker_note("a b"), maker_note("x" * 65), maker_note("ÄÖÜ-ÄÖÜ-ÄÖÜ"),
        maker_note("\N{KELVIN SIGN}" * 9),
    ],
)  # fmt: skip
def test_broken_and_other_notes_say_nothing(note: object) -> None:
    assert content_identifier(note) is None


def test_the_entry_itself_is_right() -> None:
    """What the broken ones are made of."""
    assert content_identifier(entry()) == IDENTIFIER


def test_a_directory_of_thousands_of_entries_is_not_gone_through() -> None:
    many = 60_000
    rest = struct.pack(">HHII", 1, 4, 1, 0) * (many - 1) + struct.pack(">HHII", 0x11, 2, 37, 16 + 12 * many)
    assert content_identifier(b"Apple iOS\0\0\1MM" + struct.pack(">H", many) + rest + IDENTIFIER.encode()) is None


@given(st.binary(max_size=200), st.integers(0, 80), st.binary(max_size=8))
def test_whatever_bytes_it_holds_it_never_raises(noise: bytes, place: int, other: bytes) -> None:
    whole = maker_note()
    for note in (b"Apple iOS\0\0\1MM" + noise, whole[:place] + other + whole[place + len(other) :], whole[:place]):
        found = content_identifier(note)
        assert found is None or identifier(found) == found
