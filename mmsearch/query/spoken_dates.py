"""Times as people say them in English: "june 2021", "last week", "3 days ago", "summer".

Each is a span of whole days.  Libraries that read dates guess a single moment, and guess where a date can be read in
two ways; a filter needs the span, and an error.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

from mmsearch.errors import QueryError
from mmsearch.query.model import EveryYear

Span = tuple[datetime, datetime]  # the first moment, and the first one after it

_FULL_MONTHS = [name.lower() for name in (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)]  # fmt: skip
MONTHS = {name: number for number, name in enumerate(_FULL_MONTHS, 1)}
_MONTHS = {**MONTHS, **{name[:3]: number for name, number in MONTHS.items()}, "sept": 9}
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of the months, in the longest year
# Of the northern half of the Earth, in whole months, as weather services have them.
_SEASONS = {
    "spring": EveryYear((3, 1), (5, 31)),
    "summer": EveryYear((6, 1), (8, 31)),
    "autumn": EveryYear((9, 1), (11, 30)),
    "fall": EveryYear((9, 1), (11, 30)),
    "winter": EveryYear((12, 1), (2, 29)),
    "christmas": EveryYear((12, 24), (12, 26)),
}
_WEEKDAYS = {name.lower(): number for number, name in enumerate(
    ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
)}  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], 1
)} | {"a": 1, "an": 1}  # fmt: skip
_UNITS = {name + end: name for name in ("day", "week", "month", "year") for end in ("", "s")}
_LINKS = ("of", "in", "the", "on", "during")  # say nothing of a time
_TOKEN = re.compile(r"[a-z]+|\d+")
_BETWEEN_TOKENS = re.compile(r"[\s\-_.,'’]*")
_WORDS = {
    *_MONTHS, *_SEASONS, *_WEEKDAYS, *_NUMBERS, *_UNITS, *_LINKS, "today", "yesterday", "before", "last", "this",
    "past", "ago", "weekend", "since", "after", "until", "till", "by", "from", "to", "through", "between", "and", "on",
    "onward", "onwards", "s", "st", "nd", "rd", "th",
}  # fmt: skip


def is_word(text: str) -> bool:
    """Whether a text without spaces can be a part of a time: words that stand here, digits, and dashes."""
    return all(token.isdigit() or token in _WORDS for token in _TOKEN.findall(text.lower())) and not re.search(
        r"[^\w\s\-–—.'’]", text
    )


def period(text: str, today: date) -> Span | EveryYear | None:
    """What one time stands for; None where it is none.  Raises QueryError where it can be read in two ways.

    A month, a day or a season without a year is that of every year.
    """
    tokens = _tokens(text.lower())
    if not tokens:
        return None
    if tokens[-1] in ("last year", "this year") and len(tokens) > 1:
        named = _of_a_year(tokens[:-1])
        year = today.year - (tokens[-1] == "last year")
        return _in_year(text, named, year) if isinstance(named, EveryYear) else None
    return _day(tokens, today) or _relative(tokens, today) or _of_a_year(tokens)


def latest(named: EveryYear, today: date) -> Span:
    """The last time that it began."""
    return _last(named, lambda span: span[0] <= _start(today), today)


def text_of(every: EveryYear) -> str:
    """As it is typed: "june", "june..august", "24-december"."""
    (month, day), (last_month, last_day) = every.first, every.last
    if day == 1 and last_day == _LENGTHS[last_month - 1]:
        first, last = _FULL_MONTHS[month - 1], _FULL_MONTHS[last_month - 1]
    else:
        first, last = f"{day}-{_FULL_MONTHS[month - 1]}", f"{last_day}-{_FULL_MONTHS[last_month - 1]}"
    return first if first == last else f"{first}..{last}"


def _tokens(text: str) -> list[str]:
    """Words and numbers; [] where there is anything else.  "15th" is 15, "last year" at the end is one token."""
    if _BETWEEN_TOKENS.sub("", _TOKEN.sub("", text)):
        return []
    found = [match.group() for match in _TOKEN.finditer(text)]
    if not found or found[-1] in _LINKS:
        return []
    tokens: list[str] = []
    for token in found:
        ordinal = token in ("st", "nd", "rd", "th") and tokens and tokens[-1].isdigit()
        if not ordinal and token not in _LINKS:
            tokens.append(token)
    if tokens[-2:] in (["last", "year"], ["this", "year"]) and len(tokens) > 2:
        tokens[-2:] = [" ".join(tokens[-2:])]
    return tokens


def _of_a_year(tokens: list[str]) -> Span | EveryYear | None:
    """A month, a season or a day, with a year or without: june 2021, 15 june, june 15 2021, summer; and 1990s."""
    if len(tokens) == 2 and tokens[1] == "s" and tokens[0].isdigit():
        return _decade(tokens[0])
    years = [token for token in tokens if len(token) == 4 and token.isdigit()]
    names = [token for token in tokens if token in _MONTHS or token in _SEASONS]
    others = [token for token in tokens if token not in names and token not in years]
    if len(years) > 1 or len(names) != 1 or len(others) > 1 or (years and years[0] not in (tokens[0], tokens[-1])):
        return None
    named, text = names[0], " ".join(tokens)
    if others:
        if named in _SEASONS or not others[0].isdigit():
            return None
        every = _day_of(text, _MONTHS[named], others[0])
    elif named in _SEASONS:
        every = _SEASONS[named]
    else:
        every = EveryYear((_MONTHS[named], 1), (_MONTHS[named], _LENGTHS[_MONTHS[named] - 1]))
    return _in_year(text, every, int(years[0])) if years else every


def _day_of(text: str, month: int, day: str) -> EveryYear:
    number, name = int(day), _FULL_MONTHS[month - 1]
    if number > 31 or len(day) > 2:
        raise QueryError(
            f"{text!r} has no day {day}; a year has four digits: {name}-19{day[-2:]} or {name}-20{day[-2:]}"
        )
    if not 1 <= number <= _LENGTHS[month - 1]:
        raise QueryError(f"{text!r} is no date: {name} has no day {number}")
    return EveryYear((month, number), (month, number))


def _in_year(text: str, every: EveryYear, year: int) -> Span:
    span = every.span(year) if 1 <= year < 9999 else None
    if span is None:
        raise QueryError(f"{text!r} is no date: there is no such day in {year}")
    return span


def _decade(digits: str) -> Span | None:
    if len(digits) == 2 and digits[1] == "0":
        if digits in ("00", "10", "20"):
            raise QueryError(f"{digits}s can be of two centuries; write 19{digits}s or 20{digits}s")
        digits = f"19{digits}"
    if len(digits) != 4 or digits[3] != "0" or not 1 <= int(digits) < 9980:
        return None
    return datetime(int(digits), 1, 1), datetime(int(digits) + 10, 1, 1)


def _day(tokens: list[str], today: date) -> Span | None:
    """Single days that are named by today."""
    back = {("today",): 0, ("yesterday",): 1, ("day", "before", "yesterday"): 2}.get(tuple(tokens))
    if back is None and len(tokens) == 2 and tokens[0] == "last" and tokens[1] in _WEEKDAYS:
        back = (today.weekday() - _WEEKDAYS[tokens[1]] - 1) % 7 + 1
    if back is None and len(tokens) == 1 and tokens[0] in _WEEKDAYS:
        raise QueryError(f"{tokens[0]} can be any of them; write last-{tokens[0]}, or the date")
    return None if back is None else _days(today - timedelta(days=back), 1)


def _relative(tokens: list[str], today: date) -> Span | EveryYear | None:
    """last week, this month, last summer, last 3 days, past year, 2 weeks ago."""
    count = _count(tokens[0])
    if len(tokens) == 3 and tokens[2] == "ago" and count is not None and tokens[1] in _UNITS:
        return _calendar(_UNITS[tokens[1]], _back(today, _UNITS[tokens[1]], count))
    if tokens[0] not in ("last", "this", "past") or len(tokens) not in (2, 3):
        return None
    *counted, what = tokens[1:]
    if tokens[0] != "this" and what in _UNITS and (counted or tokens[0] == "past"):
        count = _count(counted[0]) if counted else 1
        if count is None:
            return None
        return _start(_back(today, _UNITS[what], count)), _days(today, 1)[1]
    if counted or tokens[0] == "past":
        return None
    last = tokens[0] == "last"
    if what in ("week", "month", "year"):
        return _calendar(what, _back(today, what, int(last)))
    if what == "weekend":
        saturday = today - timedelta(days=today.weekday() - 5)
        return _days(saturday - timedelta(days=7) if last else saturday, 2)
    named = _of_a_year([what])
    if not isinstance(named, EveryYear):
        return None
    if last:
        return _last(named, lambda span: span[1] <= _start(today), today)
    now = latest(named, today)
    return now if now[1] > _start(today) else _in_year(what, named, today.year)


def _last(named: EveryYear, fits: Callable[[Span], bool], today: date) -> Span:
    spans = (named.span(today.year - back) for back in range(12))  # 29 February is 8 years away at most
    return next(span for span in spans if span is not None and fits(span))


def _count(token: str) -> int | None:
    if token.isdigit():
        return int(token) if len(token) <= 5 else None
    return _NUMBERS.get(token)


def _back(day: date, unit: str, count: int) -> date:
    """The day so many units before.  Raises QueryError where that is before the year 1."""
    try:
        if unit in ("day", "week"):
            return day - timedelta(days=count * (7 if unit == "week" else 1))
        year, month = divmod(day.year * 12 + day.month - 1 - count * (12 if unit == "year" else 1), 12)
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError, calendar.IllegalMonthError) as error:
        raise QueryError(f"{count} {unit}s ago is before all dates") from error


def _calendar(unit: str, day: date) -> Span:
    """The day, the week from Monday on, the month or the year that a day is in."""
    if unit == "day":
        return _days(day, 1)
    if unit == "week":
        return _days(day - timedelta(days=min(day.weekday(), day.toordinal() - 1)), 7)
    if unit == "month":
        return _days(day.replace(day=1), calendar.monthrange(day.year, day.month)[1])
    return datetime(day.year, 1, 1), datetime(day.year + 1, 1, 1)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def _days(first: date, count: int) -> Span:
    return _start(first), _start(first + timedelta(days=count))
