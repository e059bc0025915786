"""Times as people type them, on a fixed day; and that what can be read in two ways is an error."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.errors import QuerySyntaxError
from mmsearch.query.files import parse
from mmsearch.query.model import Condition, Date, EveryYear, Words
from mmsearch.query.spoken_dates import _WORDS, MONTHS
from mmsearch.query.writer import written

TODAY = date(2026, 11, 28)  # a Saturday


def asked(value: str, today: date = TODAY) -> str:
    """The value as the query is written, which says all of it, on any day."""
    query = parse([f'date:"{value}"'], today=today)
    assert parse([], [("date", value)], today) == query
    text = written(query)
    assert parse([text], today=date(1999, 1, 1)) == query
    return text.removeprefix("date:")


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("june", "june"),
        ("Jun.", "june"),
        ("in june", "june"),
        ("june 2021", "2021-06"),
        ("2021 June", "2021-06"),
        ("sept2021", "2021-09"),
        ("february 2024", "2024-02"),
        ("summer 2019", "2019-06..2019-08"),
        ("summer of 2019", "2019-06..2019-08"),
        ("winter-2019", "2019-12..2020-02"),
        ("fall", "september..november"),
        ("winter", "december..february"),
        ("christmas 2020", "2020-12-24..2020-12-26"),
        ("15 june 2021", "2021-06-15"),
        ("June 15th, 2021", "2021-06-15"),
        ("the 15th of june", "15-june"),
        ("june 15", "15-june"),
        ("1990s", "1990..1999"),
        ("the 90s", "1990..1999"),
        ("yesterday", "2026-11-27"),
        ("day before yesterday", "2026-11-26"),
        ("this week", "2026-11-23..2026-11-29"),
        ("last week", "2026-11-16..2026-11-22"),
        ("last weekend", "2026-11-21..2026-11-22"),
        ("last saturday", "2026-11-21"),
        ("last-friday", "2026-11-27"),
        ("last month", "2026-10"),
        ("last_year", "2025"),
        ("this year", "2026"),
        ("last summer", "2026-06..2026-08"),
        ("last november", "2025-11"),
        ("this november", "2026-11"),
        ("last winter", "2025-12..2026-02"),
        ("june last year", "2025-06"),
        ("3 days ago", "2026-11-25"),
        ("a week ago", "2026-11-16..2026-11-22"),
        ("two months ago", "2026-09"),
        ("10 years ago", "2016"),
        ("last 3 days", "2026-11-25..2026-11-28"),
        ("past 2 weeks", "2026-11-14..2026-11-28"),
        ("past month", "2026-10-28..2026-11-28"),
        ("since june", "2026-06.."),
        ("since last summer", "2026-06.."),
        ("after 2019", "2020.."),
        ("before june 2020", "..2020-05"),
        ("until 2020", "..2020"),
        ("from june 2020 on", "2020-06.."),
        (">december", "2026.."),
        ("between june and august 2020", "2020-06..2020-08"),
        ("between june and august", "june..august"),
        ("november to february 2020", "2019-11..2020-02"),
        ("november 2019 to february", "2019-11..2020-02"),
        ("june..2021", "2021-06..2021-12"),
        ("june to today", "2026-06-01..2026-11-28"),
        ("from 2019 to 2021", "2019..2021"),
        ("2019-2021", "2019..2021"),
        ("2019 – 2021", "2019..2021"),
        ("3 to 8 june 2021", "2021-06-03..2021-06-08"),
        ("3-8 june 2021", "2021-06-03..2021-06-08"),
        ("24 december..6 january", "24-december..6-january"),
        ("2020/06/01", "2020-06-01"),
        ("20200601", "2020-06-01"),
        ("2020.6", "2020-06"),
        ("06/2020", "2020-06"),
        ("31.12.2020", "2020-12-31"),
        ("12/31/2020", "2020-12-31"),
        ("5-5-2020", "2020-05-05"),
    ],
)  # fmt: skip
def test_what_people_say(value: str, meant: str) -> None:
    if "," in value:
        assert written(parse([f'date:"{value}"'], today=TODAY)) == f"date:{meant}"
    else:
        assert asked(value) == meant


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("01/02/2020", "can be two days, because some write the day first and some the month; write 2020-02-01 or"),
        ("1.2.2020", "write 2020-02-01 or 2020-01-02"),
        ("15/06/21", "can be read in several ways; write year, month and day, as 2021-06-15"),
        ("01/15/21", "as 2021-01-15"),
        ("june 85", "has no day 85; a year has four digits: june-1985 or june-2085"),
        ("31 june", "june has no day 31"),
        ("29 february 2021", "there is no such day in 2021"),
        ("31/02/2020", "'2020-02-31' is no date: day"),
        ("20s", "20s can be of two centuries; write 1920s or 2020s"),
        ("friday", "friday can be any of them; write last-friday, or the date"),
        ("9999 years ago", "is before all dates"),
        ("june july", "is no date; write 2024"),
        ("last", "is no date"),
        ("last dog", "is no date"),
        ("juni 2021", "is no date"),
        ("summer 5", "is no date"),
        ("between 2021 and 2019", "the time ends before it begins"),
    ],
)
def test_what_is_no_date_or_two(value: str, message: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        asked(value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words", "meant"),
    [
        ("date:last week dog", "dog", "2026-11-16..2026-11-22"),
        ("date:june 2021 on a beach", "on a beach", "2021-06"),
        ("date:june in paris", "in paris", "june"),
        ("date:between june and august 2020 and sun", "and sun", "2020-06..2020-08"),
        ("date:2021 summer dress", "summer dress", "2021"),
        ("date:2019 to 2021 dog", "dog", "2019..2021"),
        ("date:3 days ago", "", "2026-11-25"),
        ("date:may day parade", "day parade", "may"),
    ],
)
def test_a_time_without_quotes_goes_on_as_long_as_it_is_one(text: str, words: str, meant: str) -> None:
    """The shell takes the quotes of date:"last week", and people leave them out."""
    for given_words in ([text], text.split(" "), [text, "x"]):
        query = parse(given_words[:1] if given_words == [text] else [text], today=TODAY)
        assert query.terms == ((Words(words),) if words else ())
        assert written(query).endswith(f"date:{meant}")


@pytest.mark.parametrize(
    "text", ["date:june 15, 2021", "date:june-15,2021", "date:june 2021,july", "date:june,july 85"]
)
def test_commas_and_numbers_that_seem_to_belong_to_a_date_are_errors(text: str) -> None:
    with pytest.raises(QuerySyntaxError):
        parse([text], today=TODAY)


def test_the_first_of_january_and_a_leap_day() -> None:
    new_year, leap_day = date(2025, 1, 1), date(2024, 2, 29)
    said = ("yesterday", "last month", "last week", "this winter", "last winter")
    assert [asked(value, new_year) for value in said] == [
        "2024-12-31", "2024-12", "2024-12-23..2024-12-29", "2024-12..2025-02", "2023-12..2024-02",
    ]  # fmt: skip
    assert [asked(value, leap_day) for value in ("last year", "past year", "one month ago", "last 12 months")] == [
        "2023", "2023-02-28..2024-02-29", "2024-01", "2023-02-28..2024-02-29",
    ]  # fmt: skip


_DAYS = st.dates(date(2000, 1, 1), date(2000, 12, 31)).map(lambda day: (day.month, day.day))


@given(_DAYS, _DAYS, st.integers(1, 9996))
def test_spans_of_every_year_have_the_days_that_are_said(
    first: tuple[int, int], last: tuple[int, int], year: int
) -> None:
    span = EveryYear(first, last).span(year)
    if span is None:
        assert first == last == (2, 29)
        return
    day, end = span
    days = set()
    while day < end:
        days.add((day.month, day.day))
        day += timedelta(days=1)
    assert {first, last} - {(2, 29)} <= days
    wraps = last < first
    for month, number in [(1, 1), (6, 15), (12, 31)]:
        one = (month, number)
        assert (one in days) == ((one >= first or one <= last) if wraps else first <= one <= last)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([*_WORDS, "2021", "5", "1/2/2020", "2020-06", "..", ">", "-", "dog"]), min_size=1, max_size=6
    ),
    st.sampled_from([" ", "-", ""]),
    st.dates(date(2, 1, 1), date(9998, 12, 31)),
)
def test_any_words_are_a_time_or_an_error(words: list[str], between: str, today: date) -> None:
    for text in (f'date:"{between.join(words)}"', f"date:{between.join(words)}"):
        try:
            query = parse([text], today=today)
        except QuerySyntaxError:
            continue
        assert parse([written(query)], today=TODAY) == query


def test_all_months_have_their_days() -> None:
    for name, number in MONTHS.items():
        [condition] = parse([f"date:{name}-2023"]).conditions
        after = datetime(2023 + number // 12, number % 12 + 1, 1)
        assert condition == Condition(Date(datetime(2023, number, 1), after))
