"""What a file is by its first bytes: a photo, a film, sound alone or a document.  No library is imported for that."""

from __future__ import annotations

import os
from typing import BinaryIO, Literal

from mmsearch.media import tiff
from mmsearch.media.formats import DOCUMENT_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES
from mmsearch.media.raw import is_raw

NO_PICTURE = "it is sound: there is no picture in it"  # the reason of an ImageError
Kind = Literal["photo", "video", "sound", "document"]

_OLD_MOV = frozenset((b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))  # first box, where that is not "ftyp"
_PHOTO_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1 avif avis crx jxl".split())
_SIGNATURES = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"0&\xb2u\x8ef\xcf\x11",  # ASF: WMV
    b"OggS",
    b"FLV\x01",
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG video
)
_TIFF = (b"II*\0", b"MM\0*")
_PHOTOS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", *_TIFF)
_PACKET = (188, 192)  # bytes of a packet of an MPEG transport stream, without and with a time before it


def kind_of(file: BinaryIO, path: str) -> Kind:
    """What an open file is: by its content, and by the suffix of ``path`` where the content does not tell.

    A TIFF with several pages is a document.  A photo is also what nobody knows: its decoder says what is wrong with it.
    ``file`` is left where it was.
    """
    place = file.tell()
    file.seek(0)
    head = file.read(5 + 2 * max(_PACKET))
    file.seek(place)
    suffix = os.path.splitext(path)[1].lower()
    if head.startswith(b"%PDF-") or (suffix in DOCUMENT_SUFFIXES and not head.startswith(_PHOTOS)):
        return "document"
    if head.startswith(_TIFF) and not is_raw(path, head) and tiff.pages(file, 2):
        file.seek(place)
        return "document"
    if suffix in SOUND_SUFFIXES and not _is_photo(head):
        return "sound"  # the same containers hold films: who names a file says which it is
    if _is_film(head) or (suffix in VIDEO_SUFFIXES and not _is_photo(head)):
        return "video"
    return "photo"


def _is_film(head: bytes) -> bool:
    if head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12].strip() not in _PHOTO_BRANDS
    old = head[4:8] in _OLD_MOV and (head[4:8] == b"mdat" or head[:1] == b"\0")  # its length comes before
    return old or _is_transport_stream(head)


def _is_photo(head: bytes) -> bool:
    """Whether it begins like a photo that was only called like a film."""
    if head[4:8] == b"ftyp":
        return head[8:12].strip() in _PHOTO_BRANDS
    return head.startswith(_PHOTOS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _is_transport_stream(head: bytes) -> bool:
    return any(
        head[start : start + 1] == head[start + length : start + length + 1] == b"G" == head[start + 2 * length :][:1]
        for start, length in zip((0, 4), _PACKET, strict=True)
    )
