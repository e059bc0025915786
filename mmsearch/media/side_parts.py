"""Pictures without what stands beside their pixels: profiles, texts and notes, whatever these are like.

A decoder that stumbles over one of them would else cost the picture.  What says something about it and is as it should
be is kept.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from mmsearch.media.spliced import Part, size_of, spliced

_PNG_PIXELS, _PNG_TEXTS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"), (b"eXIf", b"tEXt", b"iTXt")
_PNG_CLEAR = {b"\0": (2,), b"\2": (6,), b"\3": range(1, 257)}  # kind of colour -> bytes that say what is transparent
_ZEROS = 64  # bytes: so many at the end of a file are no data
_MOST_PARTS = 2**16  # that are looked at one by one: pictures have some dozens, large PNGs thousands
_LONGEST_TEXTS = 2**20  # bytes of all of a picture

# Tags without which the pixels of a TIFF cannot be made, by their places in the specification.
_TIFF_PIXELS = frozenset((
    254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 284, 292, 293, 317, 320, 322, 323, 324,
    325, 332, 334, 338, 339, 340, 341, 347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532,
))  # fmt: skip


def without_side_parts(file: BinaryIO, format: str | None) -> BinaryIO | None:
    """The picture in ``file`` without its side parts, read through ``file``; None where nothing is known of ``format``.

    ``format`` is Pillow's name.  Raises what reading raises, and struct.error where the file ends too early.
    """
    bare = _BARE.get(format or "")
    return None if bare is None else bare(file)


def without_zeros(file: BinaryIO) -> BinaryIO | None:
    """A JPEG without the zeros at its end that a broken copy has in the place of data; None where there are none.

    To a decoder they are pixels of some colour.  In data they never come by the dozen; behind the end of a picture some
    cameras write them.
    """
    end = size_of(file)
    file.seek(max(0, end - _ZEROS))
    if end < _ZEROS or any(file.read(_ZEROS)):
        return None
    while end:
        start = max(0, end - 2**16)
        file.seek(start)
        block = file.read(end - start).rstrip(b"\0")
        end = start + len(block)
        if block:
            break
    file.seek(max(0, end - 2))
    return None if file.read(2) == b"\xff\xd9" else spliced(file, (0, end))


def _bare_png(file: BinaryIO) -> BinaryIO:
    file.seek(25)
    clear = _PNG_CLEAR.get(file.read(1))
    parts: list[Part] = [(0, 8)]
    left = _LONGEST_TEXTS
    for kind, start, length in _chunks(file):
        kept = kind in _PNG_PIXELS or kind in _PNG_TEXTS
        if kind in _PNG_TEXTS:
            left -= length
            kept = left >= 0
        if kind == b"tRNS":
            kept = clear is not None and length in clear
        if kept and kind in (*_PNG_TEXTS, b"tRNS"):
            kept = _sound(file, kind, start, length)
        if kept:
            parts.append((start, start + 12 + length))
    return spliced(file, *parts)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of each chunk of a PNG, as far as they follow each other; the last may be cut."""
    end, start = size_of(file), 8
    for _ in range(_MOST_PARTS):
        if start + 12 > end:
            return
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        if not kind.isalpha():
            return
        yield kind, start, min(length, end - start - 12)
        start += 12 + length


def _sound(file: BinaryIO, kind: bytes, start: int, length: int) -> bool:
    """Whether a side chunk has its checksum and is not compressed, which may hide any size."""
    if length > _LONGEST_TEXTS:
        return False
    file.seek(start + 8)
    body, check = file.read(length), file.read(4)
    compressed = kind == b"iTXt" and body.partition(b"\0")[2][:1] != b"\0"
    return check == struct.pack(">I", zlib.crc32(kind + body)) and not compressed


def _bare_jpeg(file: BinaryIO) -> BinaryIO:
    """EXIF and XMP stay, and what Adobe says of the colours."""
    end, start = size_of(file), 2
    parts: list[Part] = [b"\xff\xd8"]
    for _ in range(_MOST_PARTS):
        if start + 4 > end:
            break
        file.seek(start)
        head = file.read(18)
        (marker, length) = struct.unpack_from(">HH", head)
        if marker < 0xFF00:
            break
        if marker in (0xFFDA, 0xFFD9):
            break
        if marker in (0xFF00, 0xFFFF):  # padding
            start += 1
            continue
        application = 0xFFE0 <= marker <= 0xFFEF or marker == 0xFFFE
        told = marker == 0xFFE1 or (marker == 0xFFEE and head[4:9] == b"Adobe" and length >= 14)
        if told or not application:
            parts.append((start, min(end, start + 2 + length)))
        start += 2 + length
    return spliced(file, *parts, (min(start, end), end))


def _bare_tiff(file: BinaryIO) -> BinaryIO:
    """A new directory at the end of the file, of those tags alone that the pixels need."""
    end = size_of(file)
    file.seek(0)
    header = file.read(8)
    order = "<" if header[:2] == b"II" else ">"
    file.seek(struct.unpack_from(order + "I", header, 4)[0])
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = [file.read(12) for _ in range(count)]
    kept = [one for one in entries if len(one) == 12 and struct.unpack_from(order + "H", one)[0] in _TIFF_PIXELS]
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    return spliced(file, header[:4] + struct.pack(order + "I", end), (8, end), directory)


_BARE: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    "PNG": _bare_png,
    "JPEG": _bare_jpeg,
    "MPO": _bare_jpeg,
    "TIFF": _bare_tiff,
}
