"""The files of an export, which other programs can read: what is in them, and how values are written as text.

vectors.npy     (n, dim) float16, a row per different picture
regions.npy     (n, bytes) uint8, region tokens as ``encoders/region_codec.py`` packs them; all 0 where there are none
photos.csv      a row per file: where it is, which row of vectors.npy is its, and what is known of it
photos.parquet  the same, where pyarrow is installed
model.json      which model made the vectors, how many there are, and the folders that were indexed

Paths are bytes.  One that is no UTF-8 has these in ``path_bytes``, in hexadecimal digits, and ``path`` is then only for
people.  Spreadsheet programs run what begins like a formula: in the CSV such a text has a ' before it, which an import
takes off again.  The Parquet file has all texts as they are.
"""

from __future__ import annotations

import os
import re

FORMAT = 1  # of the files; a later version of mmsearch reads the earlier ones
VECTORS, REGIONS, CSV, PARQUET, MODEL = "vectors.npy", "regions.npy", "photos.csv", "photos.parquet", "model.json"

# Columns and what they hold.  Those after ``tags`` keep an import from having to do work again.
COLUMNS: dict[str, type] = {
    "path": str,
    "path_bytes": str,  # hexadecimal digits; empty where the path is UTF-8
    "hash": str,  # BLAKE2b of the file's content, 16 bytes in hexadecimal digits
    "row": int,  # of vectors.npy, from 0
    "size": int,  # bytes
    "mtime_ns": int,
    "width": int,  # upright, in pixels
    "height": int,
    "format": str,
    "taken_at": str,  # ISO 8601
    "camera": str,
    "lens": str,
    "latitude": float,  # degrees
    "longitude": float,
    "description": str,  # in the file
    "sidecar": str,  # in files beside it
    "caption": str,
    "text": str,  # read in the picture
    "tags": list,  # the surest first; in the CSV as JSON
    "tag_scores": list,  # one a tag; in the CSV as JSON
    "dhash": str,  # hexadecimal digits
    "facts": int,  # which version read description and dhash
    "sidecar_stamp": str,
    "caption_model": str,
    "caption_confidence": float,
    "text_engine": str,
    "tags_vocabulary": str,
}

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # the beginning of one, or of a text that was guarded


def guarded(text: str) -> str:
    """A text that no spreadsheet program takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """What was given to ``guarded``."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def path_columns(path: str) -> tuple[str, str]:
    """``path`` and ``path_bytes`` of a path as ``os.fsdecode`` makes it."""
    written = os.fsencode(path)
    try:
        return written.decode("utf-8"), ""
    except UnicodeDecodeError:
        return written.decode("utf-8", "backslashreplace"), written.hex()


def path_of(path: str, path_bytes: str) -> str:
    """The path again.  Raises ValueError for what are no hexadecimal digits."""
    return os.fsdecode(bytes.fromhex(path_bytes)) if path_bytes else path
