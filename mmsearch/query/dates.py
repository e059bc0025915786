"""Times in a query: ``2024-06..2024-08``, ``june-2021``, ``last-week``; read from text, and written as text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta

from mmsearch.errors import QueryError
from mmsearch.query import spoken_dates
from mmsearch.query.lexer import Piece
from mmsearch.query.model import Date, EveryYear, Operator
from mmsearch.query.numbers import operator
from mmsearch.query.spoken_dates import Span

_MOMENT = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[Tt ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?)?)?", re.ASCII
)
_ZONE = re.compile(r".*\d{2}:\d{2}\S*?\s*(?:[+-]\d{2}(?::?\d{2})?|[Zz]|UTC|GMT)", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})([./])(\d{1,2})(?:\2(\d{1,2}))?|(\d{4})(\d{2})(\d{2})", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{2}|\d{4})", re.ASCII)
_MONTH_FIRST = re.compile(r"(\d{1,2})[./](\d{4})", re.ASCII)
_PRECISIONS = (4, 7, 10, 16, 19, 26)  # characters of an ISO date: year, month, day, minute, second, microsecond
_DAY = re.compile(r"\d{4}-\d{1,2}-\d{1,2}$", re.ASCII)
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?", re.ASCII)
_ENDS_IN_MONTH = re.compile(rf"(?:^|[^a-z])(?:{'|'.join(spoken_dates.MONTHS)})$", re.IGNORECASE)
_ENGLISH_DAY = re.compile(r"[a-z]+[\s_-]*\d{1,2}(?:st|nd|rd|th)?", re.IGNORECASE | re.ASCII)  # june 15

# Two times in words, and one with what it begins or ends.  A hyphen is a space here.
_GAP = r"[\s_-]+"
_RANGES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"between{_GAP}(?P<first>.+?){_GAP}and{_GAP}(?P<last>.+)",
        rf"(?:from{_GAP})?(?P<first>.+?){_GAP}(?:to|until|till|through){_GAP}(?P<last>.+)",
        r"(?P<first>.+?)\s+[-–—]\s+(?P<last>.+)",
        r"(?P<first>\d{4})\s*[-–—]\s*(?P<last>\d{4})",
        r"(?P<first>\d{1,2})\s*[-–—]\s*(?P<last>\d{1,2}[\s_-]+[a-z].*)",
    )
)
_SINCE = re.compile(
    rf"(?P<word>since|after|before|until|till|from)(?:{_GAP}|(?=\d))(?P<time>.+?)(?:{_GAP}onwards?|{_GAP}on)?",
    re.IGNORECASE,
)
_SIGNS: dict[str, Operator] = {"since": ">=", "from": ">=", "after": ">", "before": "<", "until": "<=", "till": "<="}
_BARE_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?", re.IGNORECASE | re.ASCII)
_DAY_FIRST = re.compile(r"\d{1,2}(?:st|nd|rd|th)?[\s_-]+(?P<rest>(?:of[\s_-]+)?[a-z].*)", re.IGNORECASE | re.ASCII)
_TO = ("to", "until", "till", "through", "-", "–", "—")
_LONGEST = 8  # words of a time without quotes


def read_date(piece: Piece, today: date, camera_only: bool = False) -> Date | EveryYear:
    """The span of time that a text says, counted from ``today``.

    Raises QuerySyntaxError with the column for what is no time, and for what can be read in two ways.
    """
    ends = piece.split("..")
    if len(ends) == 2:
        return _range(piece, ends[0], ends[1], today, camera_only)
    sign, value = operator(piece)
    if sign is None and (asked := _matched(_RANGES, value)):
        first, last = (value.part(asked.start(name), asked.end(name)) for name in ("first", "last"))
        if _BARE_DAY.fullmatch(first.text) and (day := _DAY_FIRST.fullmatch(last.text)):
            first = Piece(f"{first.text} {day['rest']}", first.at)  # 3 to 8 june
        return _range(piece, first, last, today, camera_only)
    if sign is None and (begun := _SINCE.fullmatch(value.text)):
        sign, value = _SIGNS[begun["word"].lower()], value.part(begun.start("time"), begun.end("time"))
    period = _period(value, today)
    if sign in (None, "=") and isinstance(period, EveryYear):
        return replace(period, camera_only=camera_only)
    start, end = spoken_dates.latest(period, today) if isinstance(period, EveryYear) else period
    ends_of: dict[str | None, tuple[datetime | None, datetime | None]] = {
        ">": (end, None), ">=": (start, None), "<": (None, start), "<=": (None, end)
    }  # fmt: skip
    return Date(*ends_of.get(sign, (start, end)), camera_only)


def reach(text: str, today: date) -> int:
    """How many characters a time without quotes takes: where one word is none, as many words as make one.

    So ``date:last week`` is one value, and ``date:june 2021`` too; ``date:2021 summer dress`` is a year and words.
    """
    words = list(re.finditer(r"\S+", text[:200]))[:_LONGEST]
    end = words[0].end()
    complete = words[0].group()[:1].isdigit() and _reads(text[:end], today)
    for number, word in enumerate(words[1:], 1):
        joining = word.group().lower() in _TO
        if not (joining or spoken_dates.is_word(word.group())) or (complete and number == 1 and not joining):
            break
        if _reads(text[: word.end()], today):
            end = word.end()
    return end


def goes_on(value: str, word: str) -> bool:
    """Whether a word after a time, with a space between them, seems to belong to it."""
    return bool((_DAY.search(value) and _TIME.fullmatch(word)) or (_ENDS_IN_MONTH.search(value) and word[:1].isdigit()))


def no_comma_in_a_day(before: Piece, after: Piece) -> None:
    """Raises QuerySyntaxError for ``june 15, 2021``, which would be a day of every year, or the year."""
    if _ENGLISH_DAY.fullmatch(before.text) and re.fullmatch(r"\d{4}", after.text, re.ASCII):
        both = f"{before.text} {after.text}"
        raise before.wrong(f"{before.text}, {after.text}: a comma stands between two times; write {both}, without it")


def text_of(span: Date | EveryYear) -> str:
    """Such that ``read_date`` makes the same of it, on any day."""
    if isinstance(span, EveryYear):
        return spoken_dates.text_of(span)
    if span.end == datetime.min:
        return "<0001"
    last = None if span.end is None else span.end - timedelta(microseconds=1)
    start_precision = end_precision = 0
    if span.start is not None:
        start_precision = next(n for n in _PRECISIONS if _moment(_iso(span.start, n))[0] == span.start)
    if last is not None:
        end_precision = next(n for n in _PRECISIONS if _moment(_iso(last, n))[1] == span.end)
    precision = max(start_precision, end_precision)
    first_text = "" if span.start is None else _iso(span.start, precision).text
    last_text = "" if last is None else _iso(last, precision).text
    return first_text if first_text and first_text == last_text else f"{first_text}..{last_text}"


def _matched(patterns: tuple[re.Pattern[str], ...], piece: Piece) -> re.Match[str] | None:
    return next((match for pattern in patterns if (match := pattern.fullmatch(piece.text))), None)


def _reads(text: str, today: date) -> bool:
    try:
        read_date(Piece(text, 0), today)
    except QueryError:
        return False
    return True


def _range(piece: Piece, first: Piece, last: Piece, today: date, camera_only: bool) -> Date | EveryYear:
    """From the beginning of one time to the end of the other, either of which may be empty.

    Where one has no year it is the nearest to the other; where neither has one, that is meant of every year.
    """
    begins = _period(first, today) if first.text else None
    ends = _period(last, today) if last.text else None
    if isinstance(begins, EveryYear):
        if isinstance(ends, EveryYear):
            return EveryYear(begins.first, ends.last, camera_only)
        begins = _nearest(begins, ends[1], -1) if ends else spoken_dates.latest(begins, today)
    elif isinstance(ends, EveryYear):
        ends = _nearest(ends, begins[0], 1) if begins else spoken_dates.latest(ends, today)
    start, end = begins[0] if begins else None, ends[1] if ends else None
    if start is not None and end is not None and start >= end:
        raise piece.wrong(f"{piece.text}: the time ends before it begins; the earlier date comes first")
    return Date(start, end, camera_only)


def _nearest(every: EveryYear, moment: datetime, step: int) -> Span | None:
    """The last that begins before a moment, or the first that ends after it."""
    years = range(max(moment.year - step, 1), moment.year + 9 * step, step)
    spans = (span for year in years if 1 <= year < 9999 and (span := every.span(year)))
    return next((span for span in spans if (span[0] < moment if step < 0 else span[1] > moment)), None)


def _period(piece: Piece, today: date) -> Span | EveryYear:
    """A year, month, day, minute or second, or what people say; the first moment of it and the first one after it."""
    written = _with_numbers(piece)
    if _MOMENT.fullmatch(written):
        return _moment(Piece(written, piece.at))
    if _ZONE.fullmatch(piece.text):
        raise piece.wrong(
            f"{piece.text!r} has a time zone; dates are compared with the clock of the camera: leave it out"
        )
    try:
        said = spoken_dates.period(piece.text, today)
    except QueryError as error:
        raise piece.wrong(str(error)) from error
    if said is None:
        raise piece.wrong(
            f"{piece.text!r} is no date; write 2024, 2024-06, 2024-06-01, june-2024, summer, yesterday, last-week, "
            "3-days-ago, a span such as 2024-06..2024-08, or >2024"
        )
    return said


def _with_numbers(piece: Piece) -> str:
    """A date of numbers in the order of ISO 8601; other texts as they are.

    Raises QuerySyntaxError where day and month, or the year, can be read in two ways.
    """
    text = piece.text
    if match := _YEAR_FIRST.fullmatch(text):
        return "-".join(part for part in match.group(1, 3, 4, 5, 6, 7) if part)
    if match := _MONTH_FIRST.fullmatch(text):
        return f"{match[2]}-{match[1]}"
    match = _YEAR_LAST.fullmatch(text)
    if match is None:
        return text
    one, other, year = match[1].zfill(2), match[3].zfill(2), match[4]
    if len(year) == 2:
        day = f"{max(one, other)}" if max(one, other) > "12" else one
        month = other if day == one else one
        raise piece.wrong(f"{text!r} can be read in several ways; write year, month and day, as 20{year}-{month}-{day}")
    if max(one, other) <= "12" and one != other:
        raise piece.wrong(
            f"{text!r} can be two days, because some write the day first and some the month; "
            f"write {year}-{other}-{one} or {year}-{one}-{other}"
        )
    return f"{year}-{other}-{one}" if one > "12" or one == other else f"{year}-{one}-{other}"


def _moment(piece: Piece) -> Span:
    match = _MOMENT.fullmatch(piece.text)
    assert match is not None
    year, month, day, hour, minute, second, fraction = match.groups()
    try:
        start = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "").ljust(6, "0")),
        )
    except ValueError as error:
        raise piece.wrong(f"{piece.text!r} is no date: {error}") from error
    if fraction:
        return start, _later(start, timedelta(microseconds=10 ** (6 - len(fraction))))
    for part, step in ((second, {"seconds": 1}), (minute, {"minutes": 1}), (day, {"days": 1})):
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


def _iso(moment: datetime, precision: int) -> Piece:
    return Piece(moment.isoformat(timespec="microseconds")[:precision], 0)
