"""What people wrote into a picture file about it: captions, titles, comments, keywords."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from PIL import Image

LONGEST = 2000  # characters of a description
_EXIF_IFD = 0x8769
_IMAGE_DESCRIPTION, _USER_COMMENT = 0x010E, 0x9286
_XP_TITLE, _XP_COMMENT, _XP_KEYWORDS, _XP_SUBJECT = 0x9C9B, 0x9C9C, 0x9C9E, 0x9C9F  # of Windows, in UTF-16
_TEXT_CHUNKS = ("Title", "Description", "Comment", "Subject", "Keywords")  # of PNG

# What cameras, telephones and programs write where a description belongs.  Compared with a whole text.
_PROGRAMS = (
    "gimp|imagemagick|photoshop|adobe|paint|canva|inkscape|krita|ezgif|matplotlib|vsco|snapseed|picsart|picasa|irfanview"
    "|lightroom|microsoft|acd|jpegmini|ffmpeg|sketch|figma|polarr|meitu|ave_pdf|tinypng|gd|xv|handmade|corel|ulead"
)
_JUNK = re.compile(
    # cameras
    r"(?:(?:olympus|(?:konica )?minolta|kodak|samsung|sanyo|vivitar|hp|jenoptik|pentax|panasonic|casio|fujifilm|nikon)?"
    r"\W*digital (?:still ?)?camera|kodak digital science.*|(?:sony|minolta|nikon|canon) dsc|dcim\b.*"
    r"|samsung(?: camera pictures)?|samsung techwin.*|exif[_ ]jpeg[_ ]picture|my beautiful picture|imacon color scanner"
    # telephones
    r"|(?-i:(?:oznor|hdrpl|vhdr|rhdr|hdr|dav|cof|mde|sdr|edf|fbt|rpt|ptr|nor|bty|dsc|sunp|pano|btf)(?:[A-Z]\w*)?)"
    r"|oplus_\d+|(?:.*\b)?(?:filter: ?-?\d|f[il]+ete?rintensity|captureorientation|hw-remosaic|ai_scene: ?).*"
    # programs
    r"|creator: (?:gd-jpeg|xv).*|cmp\d+(?:\.\d+)+\w*(?: 0x[0-9a-f]+)?|(?:optimized by )?jpegmini.*|lav[cf][\d.]+"
    r"|lead technologies.*|u-?lead systems.*|handmade software.*|file written by .*|intel\(r\) jpeg library.*"
    r"|jpeg encoder copyright.*|paint tool -sai-.*|acd systems digital imaging.*|applemark|binary comment"
    rf"|(?:created|processed|made|edited|compressed|converted|optimized|generated|written|saved)"
    rf" (?:with|by|using|in|from) (?:the )?(?:{_PROGRAMS})\b.*|processed with .*"
    r"|processed by ebay.*|compressed by jpeg-recompress|imagej=.*|charset=\w+|\{.*\}|<.*>"
    # what stands where nobody wrote anything, and long codes
    r"|untitled(?: \d+)?|default|ascii|unicode|xmp|jpeg|image|photo|none|null|(?=\w*\d)[a-z0-9+/]{24,}={0,2})",
    re.IGNORECASE | re.DOTALL,
)


def joined(texts: Iterable[str], keywords: Iterable[str] = ()) -> str | None:
    """One text: a line for each different one, and the different keywords; None where no letter or digit is left."""
    lines = _first(line for text in texts if (line := printable(text)) and not _JUNK.fullmatch(line))
    words = _first(word for keyword in keywords if (word := printable(keyword)))
    if words:
        lines += [", ".join(words)]
    return "\n".join(lines)[:LONGEST].rstrip() or None


def printable(text: str) -> str:
    """``text`` in one line, without what cannot be printed; empty where it has neither letter nor digit."""
    text = text.lstrip("\0").partition("\0")[0][: 4 * LONGEST]  # what follows a NUL was in the memory before
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())[:LONGEST].rstrip()
    return line if any(char.isalnum() for char in line) else ""


def _first(lines: Iterable[str]) -> list[str]:
    """The different ones, as many as are shown."""
    found: dict[str, str] = {}
    length = 0
    for line in lines:
        if line.casefold() not in found:
            found[line.casefold()] = line
            length += len(line)
            if length >= LONGEST:
                break
    return list(found.values())


def exif_texts(image: Image.Image) -> tuple[list[str], list[str]]:
    """Texts and keywords of EXIF; none where it is damaged."""
    try:
        exif = image.getexif()
        texts = [guessed(_value(exif, _IMAGE_DESCRIPTION))]
        texts += [_utf16(_value(exif, tag)) for tag in (_XP_TITLE, _XP_SUBJECT, _XP_COMMENT)]
        keywords = re.split("[;,]", _utf16(_value(exif, _XP_KEYWORDS)))
        endian = exif.endian
    except Exception:  # what else is there can be read all the same
        return [], []
    try:
        comment = _user_comment(exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT), endian)
    except Exception:  # one damaged value costs the rest of its group
        comment = ""
    return [*texts, comment], keywords


def _value(exif: Image.Exif, tag: int) -> Any:
    try:
        return exif.get(tag)
    except Exception:
        return None


def guessed(value: Any) -> str:
    """A text whose encoding nobody says: UTF-8 where it can be that, else Latin-1."""
    if isinstance(value, str):
        try:
            value = value.encode("latin-1")  # as which Pillow has read it
        except UnicodeEncodeError:
            return str(value)
    if not isinstance(value, bytes):
        return ""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _utf16(value: Any) -> str:
    if isinstance(value, tuple):
        value = bytes(value)
    return value.decode("utf-16-le", "ignore") if isinstance(value, bytes) else ""


def _user_comment(value: Any, endian: str | None) -> str:
    """EXIF 2.32, 4.6.5: eight bytes that name the encoding, then the text."""
    if not isinstance(value, bytes):
        return guessed(value)
    code, text = value[:8], value[8:]
    if code == b"UNICODE\0":
        # Zeros are the upper halves of Latin letters: some programs use another order of bytes than that of the file.
        high, low = text[0::2].count(0), text[1::2].count(0)
        big = high > low if high != low else endian in (">", "MM")
        return text.decode("utf-16-be" if big else "utf-16-le", "ignore").lstrip("\ufeff")
    if code == b"JIS\0\0\0\0\0":
        return text.decode("iso2022_jp", "ignore")
    return guessed(text if code in (b"ASCII\0\0\0", bytes(8)) else value)


def chunk_texts(image: Image.Image) -> tuple[list[str], list[str]]:
    """Texts and keywords in text chunks of PNG, and the comment of a JPEG or GIF file."""
    wanted = _TEXT_CHUNKS if image.format == "PNG" else ("comment",)
    values = {name: guessed(image.info.get(name)) for name in wanted}
    keywords = re.split("[;,]", values.pop("Keywords", ""))
    return list(values.values()), keywords
