"""Motion photos: a photo with a film of its moment in the same file.  The photo is what is read; this says so."""

from __future__ import annotations

import re
from typing import BinaryIO

from PIL import Image

from mmsearch.media.spliced import size_of

MOTION_PHOTO = "motion photo"  # a line of its description, so that it can be looked for
# Google's and Xiaomi's properties of XMP (GCamera), now and before 2020, as an attribute or an element.
_SAID = re.compile(rb"""(?:MotionPhoto|MicroVideo)\s*(?:=\s*["']\s*1\s*["']|>\s*1\s*<)""")
_BEGIN, _END, _FILM = b"SEFH", b"SEFT", b"\x30\x0a"  # of Samsung's directory behind the picture, and a kind in it
_TRAILER = 2**16  # bytes of its directory, at most


def is_motion_photo(image: Image.Image, file: BinaryIO) -> bool:
    """Whether a picture that was opened has a film of its moment with it; ``file`` is what it is read from."""
    packet = image.info.get("xmp")
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    if isinstance(packet, bytes) and _SAID.search(packet):
        return True
    return image.format in ("JPEG", "MPO") and _has_samsung_film(file)


def _has_samsung_film(file: BinaryIO) -> bool:
    """A directory at the end names the blocks before it, of 12 bytes each: kind, place counted backwards, length."""
    size = size_of(file)
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if len(end) < 8 or end[4:] != _END or not 12 <= length <= min(_TRAILER, size - 8):
        return False
    file.seek(size - 8 - length)
    directory = file.read(length)
    return directory.startswith(_BEGIN) and any(
        directory[place + 2 : place + 4] == _FILM for place in range(12, length - 11, 12)
    )
