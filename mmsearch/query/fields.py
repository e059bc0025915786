"""The values of a query's fields, such as ``2024-06..2024-08``: read from text, and written as text."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import TypeVar

from mmsearch.errors import QueryError, SourceError
from mmsearch.media.formats import RAW_SUFFIXES, SOUND_FORMATS
from mmsearch.media.remote_path import is_remote, normal
from mmsearch.query import dates
from mmsearch.query.dates import read_date
from mmsearch.query.lexer import Piece
from mmsearch.query.model import (
    Album,
    Between,
    Camera,
    City,
    Clustered,
    Codec,
    Compare,
    Date,
    EveryYear,
    Format,
    HasPlace,
    HasText,
    Kind,
    Label,
    Lens,
    Near,
    OfKind,
    OneFits,
    Person,
    Shape,
    Shaped,
    Tagged,
    Within,
)
from mmsearch.query.numbers import AMOUNT, FACTS, NUMBER, UNITS, no_commas, number_text, read_number, write_number

T = TypeVar("T")

# What people call the formats, in Pillow's names; "jpeg" stands for "mpo" too (see ``Format``).
FORMATS: dict[str, str] = {
    **dict.fromkeys(("jpeg", "jpg", "jpe", "jfif", "jif", "pjpeg", "pjp", "jpg_large", "jpg-large", "insp"), "jpeg"),
    **dict.fromkeys(("mpo", "jps"), "mpo"),
    **dict.fromkeys(("png", "apng"), "png"),
    **dict.fromkeys(("heif", "heic", "heics", "heifs", "hif"), "heif"),
    **dict.fromkeys(("avif", "avifs"), "avif"),
    **dict.fromkeys(("tiff", "tif"), "tiff"),
    **dict.fromkeys(("bmp", "dib"), "bmp"),
    **dict.fromkeys(("jpeg2000", "jp2", "j2k", "jpf", "jpx", "jpc", "j2c"), "jpeg2000"),
    **dict.fromkeys(("ppm", "pgm", "pbm", "pnm", "pfm"), "ppm"),
    **{name: name for name in ("webp", "gif", "bmp", "ico", "tga", "pcx", "dds", "psd", "jxl")},
    **dict.fromkeys(("mp4", "m4v", "insv"), "mp4"),
    **dict.fromkeys(("mpegts", "mts", "m2ts"), "mpegts"),
    **dict.fromkeys(("mpeg", "mpg", "vob"), "mpeg"),
    **{name: name for name in ("mov", "mkv", "webm", "avi", "3gp", "wmv", "ogv", "flv", "pdf")},
    **{suffix[1:]: one.name for one in SOUND_FORMATS for suffix in one.suffixes},
    **dict.fromkeys(("raw", *(suffix[1:] for suffix in sorted(RAW_SUFFIXES))), "raw"),
}
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("photo", "photos", "picture", "pictures", "image", "images"), "photo"),
    **dict.fromkeys(("video", "videos", "film", "films", "movie", "movies"), "video"),
    **dict.fromkeys(("audio", "sound", "sounds", "song", "songs", "music"), "audio"),
    **dict.fromkeys(("document", "documents"), "document"),
}
SHAPES: dict[str, Shape] = {"portrait": "portrait", "landscape": "landscape", "square": "square"}

# Fields of other programs, and what they are called here.
ELSEWHERE = {
    "after": "date:>2024",
    "f-number": "aperture:",
    "f-stop": "aperture:",
    "fnumber": "aperture:",
    "fstop": "aperture:",
    "before": "date:<2024",
    "caption": "words:",
    "collection": "album:",
    "colour": "label:",
    "color": "label:",
    "country": "words:",
    "description": "words:",
    "duration": "length:",
    "dir": "in:",
    "directory": "in:",
    "ext": "type:",
    "extension": "type:",
    "filename": "words:",
    "face": "person:",
    "filetype": "type:",
    "focallength": "focal:",
    "folder": "in:",
    "format": "type:",
    "gps": "near: or has:gps",
    "keyword": "tag: or words:",
    "keywords": "tag: or words:",
    "location": "city: or near:",
    "make": "camera:",
    "model": "camera:",
    "month": "date:2024-06",
    "name": "words:",
    "not": "-",
    "ocr": "words: or has:text",
    "order": "sort:",
    "path": "in:",
    "people": "person:",
    "place": "city: or near:",
    "rated": "rating:",
    "shutter": "exposure:",
    "similar": "like:",
    "since": "date:>=2024",
    "star": "rating:",
    "stars": "rating:",
    "text": "words: or has:text",
    "title": "words:",
    "town": "city:",
    "until": "date:<=2024",
    "without": "-",
    "year": "date:2024",
}

_PLAIN = re.compile(NUMBER, re.ASCII)
_KILOMETRES = {"": 1.0, "km": 1.0, "m": 0.001, "mi": 1.609344}


def read(field: str, pieces: list[Piece], today: date) -> list[OneFits]:
    """What the values of a field mean, one of which should be so.  Raises QuerySyntaxError with the column."""
    if field in FACTS:
        no_commas(field, pieces)
    if field in ("date", "taken"):
        for before, after in itertools.pairwise(pieces):
            dates.no_comma_in_a_day(before, after)
    try:
        return _places(pieces) if field == "near" else [_READERS[field](piece, today) for piece in pieces]
    except QueryError as error:
        if error.column is not None:
            raise
        raise pieces[0].wrong(str(error)) from error


def write(fits: OneFits) -> tuple[str, str]:
    """Field and value, such that ``read`` makes the same of them; texts are not yet in quotes."""
    if isinstance(fits, (Date, EveryYear)):
        return ("taken" if fits.camera_only else "date"), dates.text_of(fits)
    if isinstance(fits, Camera):
        return "camera", fits.text
    if isinstance(fits, Lens):
        return "lens", fits.text
    if isinstance(fits, City):
        return "city", fits.text
    if isinstance(fits, Person):
        return "person", fits.text
    if isinstance(fits, Album):
        return "album", fits.text
    if isinstance(fits, Clustered):
        return "cluster", fits.text
    if isinstance(fits, Label):
        return "label", fits.text
    if isinstance(fits, Within):
        return "in", fits.path
    if isinstance(fits, Near):
        place = (fits.latitude, fits.longitude, fits.kilometres)
        return "near", ",".join(number_text(number) for number in place) + "km"
    if isinstance(fits, Format):
        return "type", fits.name
    if isinstance(fits, OfKind):
        return "type", fits.kind
    if isinstance(fits, Codec):
        return "codec", fits.text
    if isinstance(fits, (Compare, Between)):
        return write_number(fits)
    if isinstance(fits, Shaped):
        return "orientation", fits.shape
    if isinstance(fits, Tagged):
        return "tag", fits.name
    return "has", "text" if isinstance(fits, HasText) else "gps"


def goes_on(field: str, value: str, word: str) -> bool:
    """Whether a word after a value, with a space between them, belongs to it: a unit, or the time of a day."""
    if field in ("date", "taken"):
        return dates.goes_on(value, word)
    units = _KILOMETRES if field == "near" else UNITS.get(field, {})
    return word.lower() in units and value[-1:].isdigit()


def choose(piece: Piece, choices: Mapping[str, T], what: str, shown: Iterable[str] = ()) -> T:
    """One of these names, whatever its capitals.  Raises QueryError that names the likeliest, and those to be shown."""
    found = choices.get(piece.text.lower())
    if found is None:
        listed = ", ".join(shown or choices)
        raise piece.wrong(f"{piece.text!r} is no {what}; {_meant(piece.text, choices)}there are {listed}")
    return found


def _meant(text: str, choices: Iterable[str]) -> str:
    """ "did you mean X? " where one of the choices is spelt much like the text, else nothing."""
    import difflib

    near = difflib.get_close_matches(text.lower(), list(choices), 1)
    return f"did you mean {near[0]}? " if near else ""


# The rest


def _number_reader(field: str) -> Callable[[Piece, date], OneFits]:
    return lambda piece, _: read_number(field, piece)


def _places(pieces: list[Piece]) -> list[OneFits]:
    """Each place is three values."""
    if len(pieces) % 3:
        raise pieces[0].wrong("near: wants latitude, longitude and distance: near:48.85,2.35,10km")
    return [_place(*pieces[start : start + 3]) for start in range(0, len(pieces), 3)]


def _place(latitude: Piece, longitude: Piece, distance: Piece) -> Near:
    degrees: list[float] = []
    for piece, name in ((latitude, "latitude"), (longitude, "longitude")):
        if _PLAIN.fullmatch(piece.text) is None:
            raise piece.wrong(
                f"{piece.text!r} is no {name} in degrees, south and west below 0; write near:48.85,2.35,10km"
            )
        degrees.append(float(piece.text))
    match = AMOUNT.fullmatch(distance.text)
    if match is None or match[4].lower() not in _KILOMETRES:
        raise distance.wrong(f"{distance.text!r} is no distance; write 10km, 500m or 5mi")
    return Near(degrees[0], degrees[1], float(match[1]) * _KILOMETRES[match[4].lower()])


def _within(piece: Piece, _: date) -> Within:
    Within(piece.text)  # refuses what cannot be a path
    try:
        return Within(normal(piece.text) if is_remote(piece.text) else os.path.abspath(os.path.expanduser(piece.text)))
    except SourceError as error:
        raise piece.wrong(str(error)) from error


def _format(piece: Piece, _: date) -> Format | OfKind:
    name = piece.part(1) if piece.text.startswith(".") else piece
    choices: dict[str, Format | OfKind] = {name: OfKind(kind) for name, kind in _KINDS.items()}
    choices |= {name: Format(format_) for name, format_ in FORMATS.items()}
    return choose(name, choices, "format of pictures", dict.fromkeys([*_KINDS.values(), *FORMATS.values()]))


def _has(piece: Piece, _: date) -> HasText | HasPlace:
    choices: dict[str, HasText | HasPlace] = {"text": HasText(), "gps": HasPlace()}
    return choose(piece, choices, "thing that a picture can have")


_READERS: dict[str, Callable[[Piece, date], OneFits]] = {
    "date": read_date,
    "taken": lambda piece, today: read_date(piece, today, camera_only=True),
    "camera": lambda piece, _: Camera(piece.text),
    "lens": lambda piece, _: Lens(piece.text),
    "city": lambda piece, _: City(piece.text),
    "person": lambda piece, _: Person(piece.text),
    "album": lambda piece, _: Album(piece.text),
    "cluster": lambda piece, _: Clustered(piece.text),
    "label": lambda piece, _: Label(piece.text),
    "in": _within,
    "type": _format,
    "codec": lambda piece, _: Codec(piece.text),
    **{field: _number_reader(field) for field in FACTS},
    "orientation": lambda piece, _: Shaped(choose(piece, SHAPES, "orientation")),
    "has": _has,
    "tag": lambda piece, _: Tagged(piece.text),
}
CONDITIONS = (*_READERS, "near")
