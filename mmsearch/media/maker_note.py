"""What Apple's cameras write into the maker note of EXIF: the identifier that both files of a live photo have.

A maker note is a directory of its own, after a header.  Apple does not describe it; the layout is that of ExifTool's
table of Apple's tags (Harvey, https://exiftool.org/TagNames/Apple.html).
"""

from __future__ import annotations

import re
import struct

_HEADER = b"Apple iOS\0"  # two bytes of a version and two of the byte order follow, then the directory
_DIRECTORY = 14  # bytes before it; places of values count from the beginning of the note
_IDENTIFIER = 0x0011
_LETTERS = 2  # the type of a text
_MOST_ENTRIES = 512  # of a directory; telephones write some forty
_WRITTEN = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{7,63}", re.ASCII)  # a UUID, most often


def content_identifier(note: object) -> str | None:
    """The content identifier in a maker note; None where it is none of Apple's, says nothing or is damaged.

    Never raises.
    """
    if not isinstance(note, (bytes, bytearray)) or not note.startswith(_HEADER) or len(note) < _DIRECTORY + 2:
        return None
    order = {b"MM": ">", b"II": "<"}.get(bytes(note[_DIRECTORY - 2 : _DIRECTORY]))
    if order is None:
        return None
    (count,) = struct.unpack_from(f"{order}H", note, _DIRECTORY)
    for number in range(min(count, _MOST_ENTRIES)):
        start = _DIRECTORY + 2 + 12 * number
        if start + 12 > len(note):
            return None
        tag, kind, length, place = struct.unpack_from(f"{order}HHII", note, start)
        if tag == _IDENTIFIER:
            text = bytes(note[place : place + length]) if kind == _LETTERS and length <= 100 else b""
            return identifier(text.split(b"\0")[0].decode("latin-1"))
    return None


def identifier(text: str) -> str | None:
    """An identifier as it is compared: without blanks around it, in capitals; None for what cannot be one."""
    stripped = text.strip()
    return stripped.upper() if _WRITTEN.fullmatch(stripped) else None
