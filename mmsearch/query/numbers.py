"""Numbers in a query, such as ``>5MB``, ``1/250..1/60`` and ``f/2.8``: read from text, and written as text."""

from __future__ import annotations

import itertools
import re

from mmsearch.query.lexer import Piece
from mmsearch.query.model import Between, Compare, Fact, Operator

FACTS: dict[str, Fact] = {
    "width": "width",
    "height": "height",
    "megapixels": "megapixels",
    "size": "bytes",
    "rating": "rating",
    "iso": "iso",
    "aperture": "aperture",
    "exposure": "exposure",
    "focal": "focal",
    "length": "length",
    "fps": "fps",
    "at": "at",
}
NUMBER = r"[+-]?(?:\d+(?:\.(\d*))?|\.(\d+))"
AMOUNT = re.compile(rf"({NUMBER})\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_OPERATORS: dict[str, Operator] = {">=": ">=", "<=": "<=", "≥": ">=", "≤": "<=", ">": ">", "<": "<", "=": "="}
# Unit -> (power of ten, factor): "1.1MB" is the float of 1.1e6 then, not that of 1.1 times a million.
_PIXELS = {"": (0, 1), "px": (0, 1)}
_BYTES = {"": (0, 1), "b": (0, 1), "kb": (3, 1), "mb": (6, 1), "gb": (9, 1), "tb": (12, 1)}
_SECONDS = {"": (0, 1), "s": (0, 1), "sec": (0, 1), "ms": (-3, 1), "min": (0, 60), "h": (0, 3600)}
UNITS: dict[str, dict[str, tuple[int, int]]] = {
    "width": _PIXELS,
    "height": _PIXELS,
    "megapixels": {"": (0, 1), "mp": (0, 1)},
    "rating": {"": (0, 1)},
    "size": _BYTES | {"kib": (0, 2**10), "mib": (0, 2**20), "gib": (0, 2**30)},
    "iso": {"": (0, 1)},
    "aperture": {"": (0, 1)},
    "exposure": {"": (0, 1), "s": (0, 1), "sec": (0, 1), "ms": (-3, 1), "min": (0, 60)},
    "focal": {"": (0, 1), "mm": (0, 1)},
    "length": _SECONDS,
    "fps": {"": (0, 1), "fps": (0, 1)},
    "at": _SECONDS,
}
_SHOWN_UNITS = {
    "size": "B, kB, MB, GB, TB, KiB, MiB and GiB", "megapixels": "MP", "exposure": "s, ms and min", "focal": "mm",
    "width": "px", "height": "px", "length": "s, ms, min and h", "fps": "fps", "at": "s, ms, min and h",
}  # fmt: skip
_EXAMPLES = {
    "width": ">2000 or 1000..2000",
    "height": ">2000 or 1000..2000",
    "megapixels": ">12 or 8..12",
    "size": ">5MB or 100kB..2MB",
    "rating": "5 or >=4",
    "iso": "800 or >=1600",
    "aperture": "f/2.8 or <4",
    "exposure": "1/250 or >1s",
    "focal": "50mm or 24..70",
    "length": ">30s or 1:30..2:00",
    "fps": ">=50 or 24..30",
    "at": "1:20..2:00 or <30s",
}
_TIMES = ("length", "at")  # may be written as 1:30 and 1:02:03
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):([0-5]?\d(?:\.\d{1,3})?)", re.ASCII)
_ROUNDED = ("megapixels", "focal", "length", "fps")  # 12 megapixels are what a label says: 11.5 to 12.5
# Cameras round these: 1/60 is written as 1/64, f/3.5 as 3.48.  The next third of a stop is 26 and 12 % away.
_ABOUT = {"exposure": 0.1, "aperture": 0.05}
_DIGITS = 6  # of exposures and apertures, here and where they are stored: a third of a second has no end
_STOP = re.compile(r"f\s*/?\s*", re.IGNORECASE)  # f/2.8, f2.8
_FRACTION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)/(\d{1,9}(?:\.\d{1,9})?)\s*(?:s|sec)?", re.ASCII | re.IGNORECASE)


def read_number(field: str, piece: Piece) -> Compare | Between:
    """A number, a span or a comparison of one of ``FACTS``.  Raises QuerySyntaxError with the column."""
    fact = FACTS[field]
    ends = piece.split("..")
    if len(ends) == 2 and (ends[0].text or ends[1].text):
        least, most = (_amount(field, end)[0] if end.text else None for end in ends)
        if least is None or most is None:
            return Compare(fact, "<=", most) if most is not None else Compare(fact, ">=", least or 0.0)
        if least > most:
            raise piece.wrong(f"{piece.text}: the smaller number comes first")
        return Between(fact, least, most)
    sign, value = operator(piece)
    amount, step = _amount(field, value)
    if sign is None and step:  # 12 megapixels are what a camera's label says: 11.5 to 12.5
        return Between(fact, round(amount - step / 2, 9), round(amount + step / 2, 9))
    return Compare(fact, sign or "=", amount)


def write_number(fits: Compare | Between) -> tuple[str, str]:
    """Field and value, such that ``read_number`` makes the same of them."""
    field = next(name for name, fact in FACTS.items() if fact == fits.fact)
    if isinstance(fits, Between):
        return field, f"{number_text(fits.least)}..{number_text(fits.most)}"
    return field, fits.operator + number_text(fits.value)


def number_text(number: float) -> str:
    """The shortest digits that are read as the same number, without an exponent."""
    if float(number).is_integer():
        return str(int(number))
    plain = repr(float(number))
    if "e" in plain:
        from decimal import Decimal

        return format(Decimal(plain), "f")
    return plain


def operator(piece: Piece) -> tuple[Operator | None, Piece]:
    """The comparison that a value begins with, and what follows it."""
    for text, sign in _OPERATORS.items():  # the longer ones first
        if piece.text.startswith(text):
            return sign, piece.part(len(text))
    return None, piece


def no_commas(field: str, pieces: list[Piece]) -> None:
    """Raises QuerySyntaxError where a comma seems to stand inside a number, as in >2,000 or <12,5MB."""
    for before, piece in itertools.pairwise(pieces):
        compared = before.text[:1] in ("<", ">", "≤", "≥") and AMOUNT.fullmatch(piece.text)
        if compared or re.match(r"0\d", piece.text, re.ASCII):
            either = f"; for one of two values {field}:{before.text},={piece.text}" if piece.text[0] != "0" else ""
            raise before.wrong(f"{before.text},{piece.text}: write numbers without commas, as 2000 or 12.5{either}")


def _amount(field: str, piece: Piece) -> tuple[float, float]:
    """A number, and how far around it a value is still the same; 0 where every number counts, as of pixels."""
    about = _ABOUT.get(field)
    fraction = _FRACTION.fullmatch(piece.text) if field == "exposure" else None
    if fraction and float(fraction[2]):
        amount = float(fraction[1]) / float(fraction[2])
        return _rounded(amount), 0.2 * amount
    clock = _CLOCK.fullmatch(piece.text) if field in _TIMES else None
    if clock:
        return 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3]), 1.0 if field == "length" else 0.0
    if field == "aperture" and (stop := _STOP.match(piece.text)):
        piece = piece.part(stop.end())
    match = AMOUNT.fullmatch(piece.text)
    units = UNITS[field]
    if match is None:
        raise piece.wrong(
            f"{piece.text!r} is no number; write {field}:{_EXAMPLES[field].replace(' or ', f' or {field}:')}"
        )
    digits, *decimals, name = match.groups()
    if name.lower() not in units:
        known = _SHOWN_UNITS.get(field, "none")
        raise piece.wrong(f"{name!r} is no unit of {field}; known: {known}", match.start(4))
    power, factor = units[name.lower()]
    amount = float(f"{digits}e{power}") * factor
    if amount in (float("inf"), float("-inf")):
        raise piece.wrong(f"{piece.text} is too large a number")
    if about is not None:
        return amount, 2 * about * abs(amount)
    if field == "at":  # a moment has a length of its own
        return amount, 0.0
    rounded = field in _ROUNDED or (power, factor) != (0, 1)
    step = float(f"1e{power - len(decimals[0] or decimals[1] or '')}") * factor
    return amount, step if rounded else 0.0


def _rounded(amount: float) -> float:
    return float(f"{amount:.{_DIGITS}g}")
