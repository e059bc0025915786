"""The files of an export, which other programs can read: what is in them, and how values are written as text.

vectors.npy     (n, dim) float16, a row per different picture, moment or page; zeros for those of sound, which has none
regions.npy     (n, bytes) uint8, region tokens as ``encoders/region_codec.py`` packs them; all 0 where there are none
photos.csv      a row per file: where it is, which row of vectors.npy is its, and what is known of it; of a film a row
                per moment, and of a document a row per page, with the same path; with x, y and cluster of the last map
                where there is one
photos.parquet  the same, where pyarrow is installed
model.json      which model made the vectors, how many there are, and the folders that were indexed

Paths are bytes.  One that is no UTF-8 has these in ``path_bytes``, in hexadecimal digits, and ``path`` is then only for
people.  Spreadsheet programs run what begins like a formula: in the CSV such a text has a ' before it, which an import
takes off again.  The Parquet file has all texts as they are.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from datetime import datetime
from typing import Any

from mmsearch.language.tag_names import tag_key
from mmsearch.media.said import place, stars
from mmsearch.store.types import ExportRow
from mmsearch.types import Annotations, Exif, Film, Found, Sidecar

# Of the files; a later version of mmsearch reads the earlier ones.  2 has files of several rows; an export without such
# files is written as 1, because an earlier version reads it too.
FORMAT, ONE_ROW = 2, 1
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
    "taken_at": str,  # ISO 8601; this and what follows as the file says it
    "camera": str,
    "lens": str,
    "latitude": float,  # degrees
    "longitude": float,
    "description": str,  # in the file
    "city": str,
    "people": list,  # in the CSV as JSON
    "rating": int,
    "label": str,
    "iso": int,
    "aperture": float,  # f-number
    "exposure": float,  # seconds
    "focal": float,  # millimetres
    "sidecar": str,  # in files beside it
    "sidecar_facts": str,  # when, where and who by these, as JSON: see ``_facts``
    "caption": str,
    "text": str,  # read in the picture
    "tags": list,  # the surest first; in the CSV as JSON
    "tag_scores": list,  # one a tag; in the CSV as JSON
    "dhash": str,  # hexadecimal digits
    "facts": int,  # which version read what is in the file
    "sidecar_stamp": str,
    "caption_model": str,
    "caption_confidence": float,
    "text_engine": str,
    "tags_vocabulary": str,
    "part": int,  # of a moment of a film or a page of a document: its place among them, from 0
    "parts": int,  # how many there are
    "start_ms": int,  # of a moment, from the beginning of the film
    "end_ms": int,
    "at_ms": int,  # the frame that the vector is of
    "part_words": str,  # a JSON object: words that belong to it by where they stand, "inside" the file or "beside" it
    "duration_ms": int,  # of a film
    "fps": float,
    "codec": str,
    "audio": int,  # 1 where it has sound
    "own_tags": list,  # that people gave the file; in the CSV as JSON
    "content_identifier": str,  # Apple's: the same of a picture and its clip
}

# Columns that an export has where the library has a map; an import leaves them out.
MAP_COLUMNS: dict[str, type] = {"x": float, "y": float, "cluster": int, "cluster_name": str}

SHOT = ("iso", "aperture", "exposure", "focal")
FILM = ("duration_ms", "fps", "codec", "audio")
PART = ("part", "parts", "start_ms", "end_ms", "at_ms")
ADDED = (
    "city",
    "people",
    "rating",
    "sidecar_facts",
    "label",
    *SHOT,
    *PART,
    "part_words",
    *FILM,
    "own_tags",
    "content_identifier",
)  # columns that exports of earlier versions do not have
NEEDED = ("hash", "size", "mtime_ns", "width", "height", "format", "facts")  # columns that an export always fills
_SAME = [field.name for field in fields(ExportRow) if field.name in COLUMNS]  # what a row calls as the column is called

Columns = dict[str, Any]  # column -> value of its type, None for none

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # the beginning of one, or of a text that was guarded


def columns(row: ExportRow, vector: int) -> Columns:
    """What the tables say of a file, whose vector is row ``vector`` of vectors.npy."""
    path, path_bytes = path_columns(row.file.path)
    return {name: getattr(row, name, None) for name in COLUMNS} | {
        "path": path,
        "path_bytes": path_bytes or None,
        "hash": row.hash.hex(),
        "row": vector,
        "size": row.file.size,
        "mtime_ns": row.file.mtime_ns,
        "dhash": None if row.dhash is None else row.dhash.hex(),
        "facts": row.metadata_version,
        "tags": list(row.tags),
        "tag_scores": list(row.tags.values()),
        "people": list(row.people) or None,
        "own_tags": list(row.own_tags) or None,
        "sidecar": None if row.sidecar is None else row.sidecar.text,
        "sidecar_facts": None if row.sidecar is None else _facts(row.sidecar),
        "part_words": json.dumps(row.part_words, ensure_ascii=False) if row.part_words else None,
        **({} if row.film is None else {**vars(row.film), "audio": int(row.film.audio)}),
    }


def _facts(sidecar: Sidecar) -> str | None:
    """When and where, town, people and stars, then when and where by Takeout, and a label where there is one.

    None where nothing is said.
    """

    def exif(one: Exif) -> list[Any]:
        return [one.taken_at and one.taken_at.isoformat(), one.latitude, one.longitude]

    noted = sidecar.annotations
    facts = [*exif(sidecar.exif), noted.city, list(noted.people), noted.rating, *exif(sidecar.fallback)]
    facts += [] if noted.label is None else [noted.label]
    return json.dumps(facts, ensure_ascii=False) if any(fact not in (None, []) for fact in facts) else None


def _sidecar(text: str, facts: str | None) -> Sidecar:
    """What was given to ``_facts``.  Raises ValueError, TypeError or RecursionError."""
    if facts is None:
        return Sidecar(text)
    taken, latitude, longitude, city, people, rating, later, later_latitude, later_longitude, *label = json.loads(facts)
    if len(label) > 1:
        raise ValueError(f"{facts!r} are no facts of a sidecar")
    return Sidecar(
        text,
        _exif(taken, latitude, longitude),
        _annotations(city, people, rating, *label),
        _exif(later, later_latitude, later_longitude),
    )


def _exif(taken_at: str | None, latitude: float | None, longitude: float | None) -> Exif:
    degrees = None if latitude is None else float(latitude), None if longitude is None else float(longitude)
    if place(*degrees) != degrees:
        raise ValueError(f"{latitude}, {longitude} is no place")
    return Exif(None if taken_at is None else datetime.fromisoformat(taken_at), None, None, *degrees)


def _annotations(
    city: str | None, people: list[str] | None, rating: int | None, label: str | None = None
) -> Annotations:
    names = [city or "", label or "", *(people or ())]
    if not all(isinstance(name, str) and "\n" not in name for name in names) or stars(rating) != rating:
        raise ValueError(f"{city!r}, {people!r}, {rating!r} are no town, people and rating")
    return Annotations(city, tuple(people or ()), rating, label)


def export_row(path: str, values: Columns) -> ExportRow:
    """What was given to ``columns``, of the file at ``path``.

    Raises ValueError, TypeError or RecursionError for what no export writes.  ``NEEDED`` columns must be there.
    """
    if values["taken_at"] is not None:
        datetime.fromisoformat(values["taken_at"])
    content_hash = bytes.fromhex(values["hash"])
    dhash = None if values["dhash"] is None else bytes.fromhex(values["dhash"])
    scores = [float(score) for score in values["tag_scores"] or ()]
    names = values["tags"] or ()
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError("tags must be texts")
    tags = dict(zip(names, scores, strict=True))
    if len(content_hash) != 16 or (dhash is not None and len(dhash) != 8):
        raise ValueError("hash must have 32 hexadecimal digits, dhash 16 or none")
    own_tags = tuple(values["own_tags"] or ())
    if not all(tag_key(tag) for tag in own_tags):
        raise ValueError(f"own_tags must be tags, not {short(values['own_tags'])}")
    noted = _annotations(values["city"], values["people"], values["rating"])
    beside = values["sidecar_stamp"] is not None
    others = {
        "people": noted.people,
        "sidecar": _sidecar(values["sidecar"] or "", values["sidecar_facts"]) if beside else None,
        "file": Found(path, values["size"], values["mtime_ns"]),
        "hash": content_hash,
        "dhash": dhash,
        "metadata_version": values["facts"],
        "tags": tags,
        "own_tags": own_tags,
        # A picture without text in it has an empty one, which a CSV does not tell from none.
        "text": None if values["text_engine"] is None else values["text"] or "",
        "film": _film(values),
        "part_words": _words(values["part_words"]),
    }
    row = ExportRow(**{**{name: values[name] for name in _SAME}, **others})
    _check(row)
    return row


def _film(values: Columns) -> Film | None:
    duration, fps, codec, audio = (values[name] for name in FILM)
    if duration is None:
        if any(value is not None for value in (fps, codec, audio)):
            raise ValueError("fps, codec and audio are of a film, which has duration_ms")
        return None
    if duration < 0 or (fps is not None and not 0 < fps < float("inf")) or audio not in (None, 0, 1):
        raise ValueError("a film has duration_ms from 0 on, fps above 0, and audio 0 or 1")
    return Film(duration, fps, codec, bool(audio))


def _words(text: str | None) -> dict[str, str]:
    words = {} if text is None else json.loads(text)
    if not (isinstance(words, dict) and all(isinstance(said, str) and said for said in words.values())):
        raise ValueError(f"{short(text)} are no words of a part")
    return words


def _check_part(row: ExportRow) -> None:
    """Raises ValueError."""
    if row.part is None or row.parts is None:
        if row.part_words or any(getattr(row, name) is not None for name in PART):
            raise ValueError("start_ms, end_ms, at_ms and part_words are of a part, which has part and parts")
        return
    if not 0 <= row.part < row.parts:
        raise ValueError(f"part is {row.part} of {row.parts}; wanted is a number from 0, below parts")
    if row.start_ms is None or row.end_ms is None:
        if (row.start_ms, row.end_ms, row.at_ms) != (None, None, None):
            raise ValueError("start_ms, end_ms and at_ms go together")
    elif not 0 <= row.start_ms <= (row.start_ms if row.at_ms is None else row.at_ms) <= row.end_ms:
        raise ValueError("start_ms, at_ms and end_ms must not go back in time")


def _check(row: ExportRow) -> None:
    """What ``verify`` would find wrong in a library that has this row.  Raises ValueError."""
    _check_part(row)
    if (row.width < 1 or row.height < 1) and not row.is_sound:
        raise ValueError(f"{row.width} x {row.height} pixels are no picture")
    if row.file.size < 0 or not 0 <= row.metadata_version < 2**31:
        raise ValueError("size and facts must be 0 or more")
    if (row.latitude is None) != (row.longitude is None):
        raise ValueError("latitude and longitude go together")
    if not (-90 <= (row.latitude or 0) <= 90 and -180 <= (row.longitude or 0) <= 180):
        raise ValueError(f"{row.latitude}, {row.longitude} is no place on the earth")
    for name in SHOT:
        if (number := getattr(row, name)) is not None and not 0 < number < float("inf"):
            raise ValueError(f"{name} must be above 0, not {number}")
    if row.caption is not None and None in (row.caption_model, row.caption_confidence):
        raise ValueError("a caption needs caption_model and caption_confidence")
    surely = [*row.tags.values(), *([] if row.caption_confidence is None else [row.caption_confidence])]
    if not all(0 <= score <= 1 for score in surely):  # nor is NaN
        raise ValueError("tag_scores and caption_confidence must be between 0 and 1")
    texts = [value for value in vars(row).values() if isinstance(value, str)]
    texts += [*row.part_words, *row.part_words.values(), *([row.film.codec or ""] if row.film else ())]
    if row.sidecar is not None:
        noted = row.sidecar.annotations
        texts += [row.sidecar.text, noted.city or "", noted.label or "", *noted.people]
    for text in (*texts, *row.tags, *row.people):
        text.encode()  # half letters cannot be stored
        if "\0" in text:
            raise ValueError("a text holds the character NUL")


def short(value: object, longest: int = 100) -> str:
    """A value for a message, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


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
