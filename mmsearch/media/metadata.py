"""What a picture file says of itself beside its pixels: when, where, with what, who, and in words.

Who is believed where they differ: EXIF, then XMP, then IPTC, as the Metadata Working Group has it (Guidelines for
handling image metadata 2.0, 2010) but for the order of the last two, which differ where an old program changed one of
them.  A date of the shutter goes before a date of a scan, and that before a date of the last change, in all three.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from mmsearch.media.embedded_text import chunk_texts, exif_texts, joined
from mmsearch.media.exif import exif_said
from mmsearch.media.iptc import iptc_said
from mmsearch.media.said import Said, annotated, believed
from mmsearch.media.xmp import read_xmp
from mmsearch.types import Annotations, Exif


@dataclass(frozen=True)
class Metadata:
    """What a file says of its picture."""

    exif: Exif
    annotations: Annotations
    description: str | None  # at most 2,000 printable characters


def read_metadata(image: Image.Image) -> Metadata:
    """What the file of a loaded picture says of it; what is missing, damaged or nonsense is None or empty.

    The description is from EXIF, IPTC, XMP, PNG text chunks and comments: a line for each different text, keywords in
    the last one.  What cameras write there by themselves is left out.  Read it before ``ImageOps.exif_transpose``.
    Never raises.
    """
    exif, iptc, xmp = exif_said(image), iptc_said(image), _xmp_said(image)
    texts: list[str] = []
    keywords: list[str] = []
    for some, words in (exif_texts(image), (iptc.texts, iptc.keywords), (xmp.texts, xmp.keywords), chunk_texts(image)):
        texts += some
        keywords += words
    trusted = (exif, xmp, iptc)
    return Metadata(believed(trusted), annotated(trusted), joined(texts, keywords))


def _xmp_said(image: Image.Image) -> Said:
    packet = image.info.get("xmp")
    if not isinstance(packet, (bytes, str)) or not packet:
        return Said()
    return read_xmp(packet.encode("utf-8", "replace") if isinstance(packet, str) else packet)
