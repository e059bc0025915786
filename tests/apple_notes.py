"""Maker notes as Apple's telephones write them, made byte by byte."""

from __future__ import annotations

import struct

from PIL import Image

IDENTIFIER = "6C4D6A8E-2F1B-4D3A-9F00-0123456789AB"


def maker_note(text: str = IDENTIFIER, order: str = ">") -> bytes:
    """A directory of three entries, of which the second is the content identifier."""
    value = text.encode("utf-8") + b"\0"
    start = 14 + 2 + 3 * 12 + 4
    entries = struct.pack(f"{order}HHII", 0x01, 9, 1, 14)
    entries += struct.pack(f"{order}HHII", 0x11, 2, len(value), start)
    entries += struct.pack(f"{order}HHII", 0x14, 9, 1, 10)
    head = b"Apple iOS\0\0\1" + (b"MM" if order == ">" else b"II")
    return head + struct.pack(f"{order}H", 3) + entries + bytes(4) + value


def with_note(exif: Image.Exif, note: bytes) -> Image.Exif:
    """The same EXIF with this maker note."""
    exif.get_ifd(0x8769)[0x927C] = note
    exif.get_ifd(0x8769)  # Pillow writes the directory with its note only once it was asked for
    return exif
