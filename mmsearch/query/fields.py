"""The values of a query's fields, such as ``2024-06..2024-08``: read from text, and written as text."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import TypeVar

from mmsearch.errors import QueryError
from mmsearch.media.formats import RAW_SUFFIXES
from mmsearch.query.lexer import Piece
from mmsearch.query.model import (
    Between,
    Camera,
    City,
    Compare,
    Date,
    Fact,
    Format,
    HasPlace,
    HasText,
    Lens,
    Near,
    OneFits,
    Operator,
    Person,
    Shape,
    Shaped,
    Tagged,
    Within,
)

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
    **dict.fromkeys(("raw", *(suffix[1:] for suffix in sorted(RAW_SUFFIXES))), "raw"),
}
SHAPES: dict[str, Shape] = {"portrait": "portrait", "landscape": "landscape", "square": "square"}

# Fields of other programs, and what they are called here.
ELSEWHERE = {
    "after": "date:>2024",
    "album": "in:",
    "before": "date:<2024",
    "caption": "words:",
    "country": "words:",
    "description": "words:",
    "dir": "in:",
    "directory": "in:",
    "ext": "type:",
    "extension": "type:",
    "filename": "words:",
    "face": "person:",
    "filetype": "type:",
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

_FACTS: dict[str, Fact] = {
    "width": "width",
    "height": "height",
    "megapixels": "megapixels",
    "size": "bytes",
    "rating": "rating",
}
_OPERATORS: dict[str, Operator] = {">=": ">=", "<=": "<=", "≥": ">=", "≤": "<=", ">": ">", "<": "<", "=": "="}
# Unit -> (power of ten, factor): "1.1MB" is the float of 1.1e6 then, not that of 1.1 times a million.
_PIXELS = {"": (0, 1), "px": (0, 1)}
_BYTES = {"": (0, 1), "b": (0, 1), "kb": (3, 1), "mb": (6, 1), "gb": (9, 1), "tb": (12, 1)}
_UNITS: dict[str, dict[str, tuple[int, int]]] = {
    "width": _PIXELS,
    "height": _PIXELS,
    "megapixels": {"": (0, 1), "mp": (0, 1)},
    "rating": {"": (0, 1)},
    "size": _BYTES | {"kib": (0, 2**10), "mib": (0, 2**20), "gib": (0, 2**30)},
}
_EXAMPLES = {
    "width": ">2000 or 1000..2000",
    "height": ">2000 or 1000..2000",
    "megapixels": ">12 or 8..12",
    "size": ">5MB or 100kB..2MB",
    "rating": "5 or >=4",
}
_NUMBER = r"[+-]?(?:\d+(?:\.(\d*))?|\.(\d+))"
_AMOUNT = re.compile(rf"({_NUMBER})\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_PLAIN = re.compile(rf"{_NUMBER}", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[Tt ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?)?)?", re.ASCII
)
_ZONE = re.compile(r".*\d{2}:\d{2}\S*?\s*(?:[+-]\d{2}(?::?\d{2})?|[Zz]|UTC|GMT)", re.ASCII)
_PRECISIONS = (4, 7, 10, 16, 19, 26)  # characters of an ISO date: year, month, day, minute, second, microsecond
_KILOMETRES = {"": 1.0, "km": 1.0, "m": 0.001, "mi": 1.609344}
_DAY = re.compile(r"\d{4}-\d{1,2}-\d{1,2}$", re.ASCII)
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?", re.ASCII)


def read(field: str, pieces: list[Piece], today: date) -> list[OneFits]:
    """What the values of a field mean, one of which should be so.  Raises QuerySyntaxError with the column."""
    if field in _FACTS:
        _no_commas(field, pieces)
    try:
        return _places(pieces) if field == "near" else [_READERS[field](piece, today) for piece in pieces]
    except QueryError as error:
        if error.column is not None:
            raise
        raise pieces[0].wrong(str(error)) from error


def write(fits: OneFits) -> tuple[str, str]:
    """Field and value, such that ``read`` makes the same of them; texts are not yet in quotes."""
    if isinstance(fits, Date):
        return ("taken" if fits.camera_only else "date"), _span_text(fits)
    if isinstance(fits, Camera):
        return "camera", fits.text
    if isinstance(fits, Lens):
        return "lens", fits.text
    if isinstance(fits, City):
        return "city", fits.text
    if isinstance(fits, Person):
        return "person", fits.text
    if isinstance(fits, Within):
        return "in", fits.path
    if isinstance(fits, Near):
        place = (fits.latitude, fits.longitude, fits.kilometres)
        return "near", ",".join(number_text(number) for number in place) + "km"
    if isinstance(fits, Format):
        return "type", fits.name
    if isinstance(fits, Compare):
        field = next(name for name, fact in _FACTS.items() if fact == fits.fact)
        return field, ("=" if fits.operator == "=" else fits.operator) + number_text(fits.value)
    if isinstance(fits, Between):
        field = next(name for name, fact in _FACTS.items() if fact == fits.fact)
        return field, f"{number_text(fits.least)}..{number_text(fits.most)}"
    if isinstance(fits, Shaped):
        return "orientation", fits.shape
    if isinstance(fits, Tagged):
        return "tag", fits.name
    return "has", "text" if isinstance(fits, HasText) else "gps"


def goes_on(field: str, value: str, word: str) -> bool:
    """Whether a word after a value, with a space between them, belongs to it: a unit, or the time of a day."""
    if field in ("date", "taken"):
        return bool(_DAY.search(value) and _TIME.fullmatch(word))
    units = _KILOMETRES if field == "near" else _UNITS.get(field, {})
    return word.lower() in units and value[-1:].isdigit()


def number_text(number: float) -> str:
    """The shortest digits that are read as the same number, without an exponent."""
    if float(number).is_integer():
        return str(int(number))
    plain = repr(float(number))
    if "e" in plain:
        from decimal import Decimal

        return format(Decimal(plain), "f")
    return plain


def choose(piece: Piece, choices: Mapping[str, T], what: str, shown: Iterable[str] = ()) -> T:
    """One of these names, whatever its capitals.  Raises QueryError that names the likeliest, and those to be shown."""
    found = choices.get(piece.text.lower())
    if found is None:
        listed = ", ".join(shown or choices)
        raise piece.wrong(f"{piece.text!r} is no {what}; {meant(piece.text, choices)}there are {listed}")
    return found


def meant(text: str, choices: Iterable[str], suffix: str = "", cutoff: float = 0.6) -> str:
    """ "did you mean X? " where one of the choices is spelt much like the text, else nothing."""
    import difflib

    near = difflib.get_close_matches(text.lower(), list(choices), 1, cutoff)
    return f"did you mean {near[0]}{suffix}? " if near else ""


# Dates


def _date(piece: Piece, today: date) -> Date:
    return Date(*_span(piece, today))


def _taken(piece: Piece, today: date) -> Date:
    return Date(*_span(piece, today), camera_only=True)


def _span(piece: Piece, today: date) -> tuple[datetime | None, datetime | None]:
    ends = piece.split("..")
    if len(ends) == 2:
        first, last = ends
        start = _moments(first, today)[0] if first.text else None
        end = _moments(last, today)[1] if last.text else None
        if start is not None and end is not None and start >= end:
            raise piece.wrong(f"{piece.text}: the time ends before it begins; the earlier date comes first")
        return start, end
    sign, value = _operator(piece)
    start, end = _moments(value, today)
    if sign == ">":
        return end, None
    if sign == ">=":
        return start, None
    if sign == "<":
        return None, start
    return (None, end) if sign == "<=" else (start, end)


def _moments(piece: Piece, today: date) -> tuple[datetime, datetime]:
    """The first moment of a year, month, day, minute or second, and the first one after it."""
    if piece.text.lower() in ("today", "yesterday"):
        day = datetime(today.year, today.month, today.day) - timedelta(days=piece.text.lower() == "yesterday")
        return day, _later(day, timedelta(days=1))
    match = _MOMENT.fullmatch(piece.text)
    if match is None:
        if _ZONE.fullmatch(piece.text):
            raise piece.wrong(
                f"{piece.text!r} has a time zone; dates are compared with the clock of the camera: leave it out"
            )
        raise piece.wrong(
            f"{piece.text!r} is no date; write 2024, 2024-06, 2024-06-01, today or yesterday, "
            "a span such as 2024-06..2024-08, or >2024"
        )
    year, month, day_, hour, minute, second, fraction = match.groups()
    try:
        start = datetime(
            int(year),
            int(month or 1),
            int(day_ or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "").ljust(6, "0")),
        )
    except ValueError as error:
        raise piece.wrong(f"{piece.text!r} is no date: {error}") from error
    if fraction:
        return start, _later(start, timedelta(microseconds=10 ** (6 - len(fraction))))
    for part, step in ((second, {"seconds": 1}), (minute, {"minutes": 1}), (day_, {"days": 1})):
        if part:
            return start, _later(start, timedelta(**step))
    years, month_after = divmod(start.month, 12) if month else (1, 0)
    if start.year + years > 9999:
        return start, datetime.max
    return start, start.replace(year=start.year + years, month=month_after + 1)


def _later(moment: datetime, step: timedelta) -> datetime:
    try:
        return moment + step
    except OverflowError:
        return datetime.max


def _span_text(span: Date) -> str:
    if span.end == datetime.min:
        return "<0001"
    last = None if span.end is None else span.end - timedelta(microseconds=1)
    day = date.min  # nothing here is said by "today"
    start_precision = end_precision = 0
    if span.start is not None:
        start_precision = next(n for n in _PRECISIONS if _moments(_iso(span.start, n), day)[0] == span.start)
    if last is not None:
        end_precision = next(n for n in _PRECISIONS if _moments(_iso(last, n), day)[1] == span.end)
    precision = max(start_precision, end_precision)
    first_text = "" if span.start is None else _iso(span.start, precision).text
    last_text = "" if last is None else _iso(last, precision).text
    return first_text if first_text and first_text == last_text else f"{first_text}..{last_text}"


def _iso(moment: datetime, precision: int) -> Piece:
    return Piece(moment.isoformat(timespec="microseconds")[:precision], 0)


# Numbers


def _number_reader(field: str) -> Callable[[Piece, date], OneFits]:
    def read_number(piece: Piece, _: date) -> OneFits:
        return _numbers(field, piece)

    return read_number


def _no_commas(field: str, pieces: list[Piece]) -> None:
    """Raises QuerySyntaxError where a comma seems to stand inside a number, as in >2,000 or <12,5MB."""
    for before, piece in itertools.pairwise(pieces):
        compared = before.text[:1] in ("<", ">", "≤", "≥") and _AMOUNT.fullmatch(piece.text)
        if compared or re.match(r"0\d", piece.text, re.ASCII):
            either = f"; for one of two values {field}:{before.text},={piece.text}" if piece.text[0] != "0" else ""
            raise before.wrong(f"{before.text},{piece.text}: write numbers without commas, as 2000 or 12.5{either}")


def _numbers(field: str, piece: Piece) -> OneFits:
    fact = _FACTS[field]
    ends = piece.split("..")
    if len(ends) == 2 and (ends[0].text or ends[1].text):
        least, most = (_amount(field, end)[0] if end.text else None for end in ends)
        if least is None or most is None:
            return Compare(fact, "<=", most) if most is not None else Compare(fact, ">=", least or 0.0)
        if least > most:
            raise piece.wrong(f"{piece.text}: the smaller number comes first")
        return Between(fact, least, most)
    sign, value = _operator(piece)
    amount, step = _amount(field, value)
    if sign is None and step:  # 12 megapixels are what a camera's label says: 11.5 to 12.5
        return Between(fact, round(amount - step / 2, 9), round(amount + step / 2, 9))
    return Compare(fact, sign or "=", amount)


def _operator(piece: Piece) -> tuple[Operator | None, Piece]:
    for text, sign in _OPERATORS.items():  # the longer ones first
        if piece.text.startswith(text):
            return sign, piece.part(len(text))
    return None, piece


def _amount(field: str, piece: Piece) -> tuple[float, float]:
    """A number, and what its last digit stands for: 0 where every whole number counts, as of pixels."""
    match = _AMOUNT.fullmatch(piece.text)
    units = _UNITS[field]
    if match is None:
        raise piece.wrong(
            f"{piece.text!r} is no number; write {field}:{_EXAMPLES[field].replace(' or ', f' or {field}:')}"
        )
    digits, *decimals, name = match.groups()
    if name.lower() not in units:
        known = {"size": "B, kB, MB, GB, TB, KiB, MiB and GiB", "megapixels": "MP"}.get(field, "px")
        raise piece.wrong(f"{name!r} is no unit of {field}; known: {known}", match.start(4))
    power, factor = units[name.lower()]
    amount = float(f"{digits}e{power}") * factor
    if amount in (float("inf"), float("-inf")):
        raise piece.wrong(f"{piece.text} is too large a number")
    rounded = field == "megapixels" or (power, factor) != (0, 1)
    step = float(f"1e{power - len(decimals[0] or decimals[1] or '')}") * factor
    return amount, step if rounded else 0.0


# The rest


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
    match = _AMOUNT.fullmatch(distance.text)
    if match is None or match[4].lower() not in _KILOMETRES:
        raise distance.wrong(f"{distance.text!r} is no distance; write 10km, 500m or 5mi")
    return Near(degrees[0], degrees[1], float(match[1]) * _KILOMETRES[match[4].lower()])


def _within(piece: Piece, _: date) -> Within:
    Within(piece.text)  # refuses what cannot be a path
    return Within(os.path.abspath(os.path.expanduser(piece.text)))


def _format(piece: Piece, _: date) -> Format:
    name = piece.part(1) if piece.text.startswith(".") else piece
    return Format(choose(name, FORMATS, "format of pictures", dict.fromkeys(FORMATS.values())))


def _has(piece: Piece, _: date) -> HasText | HasPlace:
    choices: dict[str, HasText | HasPlace] = {"text": HasText(), "gps": HasPlace()}
    return choose(piece, choices, "thing that a picture can have")


_READERS: dict[str, Callable[[Piece, date], OneFits]] = {
    "date": _date,
    "taken": _taken,
    "camera": lambda piece, _: Camera(piece.text),
    "lens": lambda piece, _: Lens(piece.text),
    "city": lambda piece, _: City(piece.text),
    "person": lambda piece, _: Person(piece.text),
    "in": _within,
    "type": _format,
    **{field: _number_reader(field) for field in _FACTS},
    "orientation": lambda piece, _: Shaped(choose(piece, SHAPES, "orientation")),
    "has": _has,
    "tag": lambda piece, _: Tagged(piece.text),
}
CONDITIONS = (*_READERS, "near")
