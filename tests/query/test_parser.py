"""The query language: every construct, every error with its column, and text to query to text."""

from __future__ import annotations

import os
import string
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmsearch.errors import QueryError, QuerySyntaxError
from mmsearch.query import parser
from mmsearch.query.fields import FORMATS
from mmsearch.query.files import parse, parse_conditions
from mmsearch.query.model import (
    Album,
    AnyOf,
    Between,
    Camera,
    City,
    Clustered,
    Compare,
    Condition,
    Date,
    EveryYear,
    Example,
    Fits,
    Format,
    HasPlace,
    HasText,
    Label,
    Lens,
    Near,
    Person,
    Query,
    Shaped,
    Tagged,
    Term,
    Within,
    Words,
)
from mmsearch.query.parser import FIELDS
from mmsearch.query.writer import written

TODAY = date(2025, 3, 1)
HERE = Path(__file__).parent.parent


def terms(*words: str) -> tuple[Term, ...]:
    return parse(words, today=TODAY).terms


def fits(text: str) -> Fits:
    (condition,) = parse_conditions(text, TODAY)
    assert not condition.exclude
    return condition.fits


def test_a_query_with_everything_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        "dog on beach -people date:2024-06..2024-08 camera:fujifilm in:./holidays near:48.85,2.35,10km type:jpeg "
        "width:>2000 sort:date"
    )
    meant = Query(
        (Words("dog on beach"), Words("people", exclude=True)),
        (
            Condition(Date(datetime(2024, 6, 1), datetime(2024, 9, 1))),
            Condition(Camera("fujifilm")),
            Condition(Within(str(tmp_path / "holidays"))),
            Condition(Near(48.85, 2.35, 10.0)),
            Condition(Format("jpeg")),
            Condition(Compare("width", ">", 2000.0)),
        ),
        order="date",
    )
    assert parse([text]) == parse(text.split()) == meant
    assert written(meant) == text.replace("./holidays", f'"{tmp_path}/holidays"')


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["a", '"red car"', "on", "a road"], (Words("a"), Words("red car"), Words("on"), Words("a road"))),
        (['a "red car" on a road'], (Words("a"), Words("red car"), Words("on a road"))),
        (["dog +black cat"], (Words("dog"), Words("black cat"))),
        (["dog", "+", "black", "cat"], (Words("dog"), Words("black cat"))),
        (["+dog"], (Words("dog"),)),
        (["2:wild horse 0.5:rider"], (Words("wild horse", 2.0), Words("rider", 0.5))),
        (["a", "2:horse", "runs"], (Words("a"), Words("horse runs", 2.0))),
        (['.5:"red car" -3:people +2.:x'], (Words("red car", 0.5), Words("people", 3.0, True), Words("x", 2.0))),
        (["dog -people at night"], (Words("dog"), Words("people", exclude=True), Words("at night"))),
        (['dog -"red car"'], (Words("dog"), Words("red car", exclude=True))),
        (["-people"], (Words("people", exclude=True),)),
        (["-people walking"], (Words("people", exclude=True), Words("walking"))),
        (['he said "stop".'], (Words("he said"), Words("stop"))),
        (['"say ""cheese"""'], (Words('say "cheese"'),)),
        (['a 5" pipe, 3\'4" long'], (Words('a 5" pipe, 3\'4" long'),)),  # inches: quotes begin at a word's beginning
        (["a “red car” –people −2:cat"],  # what programs for texts make of quotes and minus
         (Words("a"), Words("red car"), Words("people", exclude=True), Words("cat", 2.0, exclude=True))),
        (["-„red car“ «chat noir»"], (Words("red car", exclude=True), Words("chat noir"))),
        (['"say “cheese”" “say ""cheese""”'], (Words("say “cheese”"), Words('say ""cheese""'))),
        (["words:invoice"], (Words("invoice", exact=True),)),
        (['2:words:"invoice 4711, paid" -words:draft'],
         (Words("invoice 4711, paid", 2.0, exact=True), Words("draft", exclude=True, exact=True))),
        (["WORDS:IMG_2041"], (Words("IMG_2041", exact=True),)),
    ],
)  # fmt: skip
def test_terms(words: list[str], meant: tuple[Words, ...]) -> None:
    assert parse(words).terms == meant


@pytest.mark.parametrize(
    "text",
    [
        "t-shirt",
        "black - white",
        "black – white",
        "5–6 people",
        "5 - 3",
        "->",
        "--people",
        "c++",
        "++",
        "at 10:30",
        "16:9",
        "http://example.org/a?b=c",
        "ftp://example.org std::vector",
        "re: your photo",
        "star wars: a new hope",
        "C:\\photos c:x",
        "ratio16:9",
        "smile:) :-) :D",
        "a dog:",
        "a dog: black",
        "day / night",
        "and/or",
        "~20 people",
        "2: a dog",
        "👨‍👩‍👧 family",
    ],
)
def test_what_is_no_operator_is_words(text: str) -> None:
    assert terms(text) == terms(*text.split(" ")) == (Words(text),)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["horse", "-red car"], Query((Words("horse"), Words("red car", exclude=True)))),
        (["horse", "2:red car"], Query((Words("horse"), Words("red car", 2.0)))),
        (["horse", "words:invoice 4711"], Query((Words("horse"), Words("invoice 4711", exact=True)))),
        (["horse", "camera:Canon EOS,Nikon D90"],
         Query((Words("horse"),), (Condition(AnyOf((Camera("Canon EOS"), Camera("Nikon D90")))),))),
        (["-camera:Canon EOS", "horse"], Query((Words("horse"),), (Condition(Camera("Canon EOS"), exclude=True),))),
        (["horse", "near:48.85, 2.35, 10 km"], Query((Words("horse"),), (Condition(Near(48.85, 2.35, 10.0)),))),
        (["horse", "-red car -blue"],  # another operator in it: a text of its own
         Query((Words("horse"), Words("red", exclude=True), Words("car"), Words("blue", exclude=True)))),
        (["horse", "type:png at night"], Query((Words("horse"), Words("at night")), (Condition(Format("png")),))),
        (["-red car"], Query((Words("red", exclude=True), Words("car")))),  # the whole query in quotes
        (["camera:Fujifilm sunset"], Query((Words("sunset"),), (Condition(Camera("Fujifilm")),))),
    ],
)  # fmt: skip
def test_quotes_that_the_shell_has_taken(words: list[str], meant: Query) -> None:
    assert parse(words) == meant


def test_pictures_in_a_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b", "my dog.png"):
        (tmp_path / name).touch()
    first, second, spaced = (str(tmp_path / name) for name in ("a.jpg", "b", "my dog.png"))
    assert terms("./a.jpg at night -./b") == (Example(first), Words("at night"), Example(second, exclude=True))
    assert terms("-a.jpg", "2:./b") == (Example(first, exclude=True), Example(second, 2.0))
    assert terms("like:b -0.5:like:a.jpg") == (Example(second), Example(first, 0.5, True))
    assert terms("./my dog.png") == terms("like:my dog.png") == terms('like:"my dog.png"') == (Example(spaced),)
    assert terms("at night", "-./my dog.png") == (Words("at night"), Example(spaced, exclude=True))
    assert terms('"./a.jpg"') == (Words("./a.jpg"),)  # quotes make words of anything
    assert written(Query((Example(first), Words("at night"), Example(spaced, 2.0, True)))) == (
        f'like:"{first}" +at night -2:like:"{spaced}"'
    )


def test_folders_with_spaces_and_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    (tmp_path / "a,b").mkdir()
    photos, comma, one, two = (Within(str(tmp_path / name)) for name in ("my photos", "a,b", "x", "y"))
    assert fits("in:my photos") == fits('in:"my photos"') == fits("in:./my photos/") == photos
    assert fits("in:x,y") == AnyOf((one, two))
    assert fits("in:a,b") == fits('in:"a,b"') == comma
    assert fits('in:x,"my photos"') == AnyOf((one, photos))
    assert parse(["dog"], [("in", "a,b")]).conditions == (Condition(comma),)
    assert fits("in:~") == Within(os.environ["HOME"])


MONTH = Date(datetime(2024, 6, 1), datetime(2024, 7, 1))


@pytest.mark.parametrize(
    ("text", "meant", "canonical"),
    [
        ("date:2024", Date(datetime(2024, 1, 1), datetime(2025, 1, 1)), "date:2024"),
        ("date:2024-06", MONTH, "date:2024-06"),
        ("date:=2024-6", MONTH, "date:2024-06"),
        ("date:2024-06-01..2024-06-30", MONTH, "date:2024-06"),
        ("date:2024-12", Date(datetime(2024, 12, 1), datetime(2025, 1, 1)), "date:2024-12"),
        ("date:2024-02-29", Date(datetime(2024, 2, 29), datetime(2024, 3, 1)), "date:2024-02-29"),
        ("date:2023..2024-02", Date(datetime(2023, 1, 1), datetime(2024, 3, 1)), "date:2023-01..2024-02"),
        ("date:..2024-08", Date(None, datetime(2024, 9, 1)), "date:..2024-08"),
        ("date:2024-08..", Date(datetime(2024, 8, 1), None), "date:2024-08.."),
        ("date:>2024", Date(datetime(2025, 1, 1), None), "date:2025.."),
        ("date:>=2024", Date(datetime(2024, 1, 1), None), "date:2024.."),
        ("date:<2024-05", Date(None, datetime(2024, 5, 1)), "date:..2024-04"),
        ("date:<=2024-05", Date(None, datetime(2024, 6, 1)), "date:..2024-05"),
        ("date:today", Date(datetime(2025, 3, 1), datetime(2025, 3, 2)), "date:2025-03-01"),
        ("date:Yesterday", Date(datetime(2025, 2, 28), datetime(2025, 3, 1)), "date:2025-02-28"),
        ("date:>=yesterday", Date(datetime(2025, 2, 28), None), "date:2025-02-28.."),
        ("taken:2024-06", Date(datetime(2024, 6, 1), datetime(2024, 7, 1), True), "taken:2024-06"),
        ("taken:..", Date(None, None, True), "taken:.."),
        ("date:2024-06-01T18:30", Date(datetime(2024, 6, 1, 18, 30), datetime(2024, 6, 1, 18, 31)),
         "date:2024-06-01T18:30"),
        ("date:2024-06-01T18:30:05.5..2024-06-02", Date(datetime(2024, 6, 1, 18, 30, 5, 500_000), datetime(2024, 6, 3)),
         "date:2024-06-01T18:30:05.500000..2024-06-02T23:59:59.999999"),
        ("date:0001..9999", Date(datetime(1, 1, 1), datetime.max), "date:0001..9999"),
        ("camera:fuji", Camera("fuji"), "camera:fuji"),
        ('lens:"XF 23mm, F2"', Lens("XF 23mm, F2"), 'lens:"XF 23mm, F2"'),
        ("camera:“Canon EOS”", Camera("Canon EOS"), 'camera:"Canon EOS"'),
        ('camera:fuji,"Canon EOS"', AnyOf((Camera("fuji"), Camera("Canon EOS"))), 'camera:fuji,"Canon EOS"'),
        ("near:-33.86,151.21,500m", Near(-33.86, 151.21, 0.5), "near:-33.86,151.21,0.5km"),
        ("near:0,0,2mi", Near(0.0, 0.0, 3.218688), "near:0,0,3.218688km"),
        ("near:48.85, 2.35, 10km", Near(48.85, 2.35, 10.0), "near:48.85,2.35,10km"),
        ('near:"48.85, 2.35, 10"', Near(48.85, 2.35, 10.0), "near:48.85,2.35,10km"),
        ("near:1,2,3,4,5,6km", AnyOf((Near(1.0, 2.0, 3.0), Near(4.0, 5.0, 6.0))), "near:1,2,3km,4,5,6km"),
        ("type:JPG", Format("jpeg"), "type:jpeg"),
        ("type:.heic", Format("heif"), "type:heif"),
        ("type:jpeg,png", AnyOf((Format("jpeg"), Format("png"))), "type:jpeg,png"),
        ("width:>2000", Compare("width", ">", 2000.0), "width:>2000"),
        ("width:2000", Compare("width", "=", 2000.0), "width:=2000"),
        ("height:<=1080px", Compare("height", "<=", 1080.0), "height:<=1080"),
        ("height:≥1080", Compare("height", ">=", 1080.0), "height:>=1080"),
        ("width:1000..2000", Between("width", 1000.0, 2000.0), "width:1000..2000"),
        ("width:1000..", Compare("width", ">=", 1000.0), "width:>=1000"),
        ("width:..1000", Compare("width", "<=", 1000.0), "width:<=1000"),
        ("width:>2000,=640", AnyOf((Compare("width", ">", 2000.0), Compare("width", "=", 640.0))), "width:>2000,=640"),
        ("width:640,>2000", AnyOf((Compare("width", "=", 640.0), Compare("width", ">", 2000.0))), "width:=640,>2000"),
        ("mp:>=12.5", Compare("megapixels", ">=", 12.5), "megapixels:>=12.5"),
        ("megapixels:12", Between("megapixels", 11.5, 12.5), "megapixels:11.5..12.5"),
        ("mp:=12", Compare("megapixels", "=", 12.0), "megapixels:=12"),
        ("size:>1.1MB", Compare("bytes", ">", 1_100_000.0), "size:>1100000"),
        ("bytes:<2KiB", Compare("bytes", "<", 2048.0), "size:<2048"),
        ("size:2.5mb", Between("bytes", 2_450_000.0, 2_550_000.0), "size:2450000..2550000"),
        ("size:100kB..1gb", Between("bytes", 1e5, 1e9), "size:100000..1000000000"),
        ("size:12345", Compare("bytes", "=", 12345.0), "size:=12345"),
        ("orientation:Portrait", Shaped("portrait"), "orientation:portrait"),
        ("orientation:square,landscape", AnyOf((Shaped("square"), Shaped("landscape"))),
         "orientation:square,landscape"),
        ("has:text", HasText(), "has:text"),
        ("has:GPS", HasPlace(), "has:gps"),
        ("city:Łódź", City("Łódź"), 'city:Łódź'),
        ('CITY:"New York"', City("New York"), 'city:"New York"'),
        ("person:Ann", Person("Ann"), "person:Ann"),
        ('person:"Wilhelmina Brandt"', Person("Wilhelmina Brandt"), 'person:"Wilhelmina Brandt"'),
        ("rating:5", Compare("rating", "=", 5.0), "rating:=5"),
        ("rating:>=4", Compare("rating", ">=", 4.0), "rating:>=4"),
        ("rating:3..5", Between("rating", 3.0, 5.0), "rating:3..5"),
        ("rating:-1", Compare("rating", "=", -1.0), "rating:=-1"),
        ("iso:800", Compare("iso", "=", 800.0), "iso:=800"),
        ("iso:100..400", Between("iso", 100.0, 400.0), "iso:100..400"),
        ("aperture:f/2.8", Between("aperture", 2.66, 2.94), "aperture:2.66..2.94"),
        ("aperture:<F4", Compare("aperture", "<", 4.0), "aperture:<4"),
        ("aperture:f/2.8..f/4", Between("aperture", 2.8, 4.0), "aperture:2.8..4"),
        ("exposure:1/250", Between("exposure", 0.0036, 0.0044), "exposure:0.0036..0.0044"),
        ("exposure:>1s", Compare("exposure", ">", 1.0), "exposure:>1"),
        ("exposure:>=1/3", Compare("exposure", ">=", 0.333333), "exposure:>=0.333333"),
        ("exposure:0.5", Between("exposure", 0.45, 0.55), "exposure:0.45..0.55"),
        ("exposure:<=10ms", Compare("exposure", "<=", 0.01), "exposure:<=0.01"),
        ("focal:50mm", Between("focal", 49.5, 50.5), "focal:49.5..50.5"),
        ("focal:24..70mm", Between("focal", 24.0, 70.0), "focal:24..70"),
        ("label:Red", Label("Red"), "label:Red"),
        ('album:"Rome 2019"', Album("Rome 2019"), 'album:"Rome 2019"'),
        ('cluster:"beach, sea"', Clustered("beach, sea"), 'cluster:"beach, sea"'),
        ("cluster:3", Clustered("3"), "cluster:3"),
        ("date:june", EveryYear((6, 1), (6, 30)), "date:june"),
        ("taken:Summer", EveryYear((6, 1), (8, 31), True), "taken:june..august"),
        ("date:24-dec..26-dec", EveryYear((12, 24), (12, 26)), "date:24-december..26-december"),
        ("date:29-february", EveryYear((2, 29), (2, 29)), "date:29-february"),
        ("date:june-2021", Date(datetime(2021, 6, 1), datetime(2021, 7, 1)), "date:2021-06"),
        ('date:"last week"', Date(datetime(2025, 2, 17), datetime(2025, 2, 24)), "date:2025-02-17..2025-02-23"),
        ('tag:"golden gate"', Tagged("golden gate"), 'tag:"golden gate"'),
        ("TAG:dog", Tagged("dog"), "tag:dog"),
    ],
)  # fmt: skip
def test_conditions(text: str, meant: Fits, canonical: str) -> None:
    assert parse_conditions(text, TODAY) == (Condition(meant),)
    assert parse_conditions(f"-{text}", TODAY) == (Condition(meant, exclude=True),)
    field, _, value = text.partition(":")
    assert parse([], [(field.lower(), value.replace('"', "") if value.count(",") != 1 else value)], TODAY) == Query(
        conditions=(Condition(meant),), order="date"
    )
    assert written(Query(conditions=(Condition(meant),), order="date")) == canonical
    assert parse_conditions(canonical, TODAY) == (Condition(meant),)


@pytest.mark.parametrize(
    ("text", "order", "descending", "canonical"),
    [
        ("dog", "score", True, "dog"),
        ("dog sort:score", "score", True, "dog"),
        ("dog sort:score:asc", "score", False, "dog sort:score:asc"),
        ("dog sort:date", "date", True, "dog sort:date"),
        ("dog sort:-date", "date", True, "dog sort:date"),
        ("dog sort:date:asc", "date", False, "dog sort:date:asc"),
        ("dog sort:name", "name", False, "dog sort:name"),
        ("dog sort:-name", "name", True, "dog sort:name:desc"),
        ("dog sort:size sort:size:desc", "size", True, "dog sort:size"),
        ("-dog", "date", True, "-dog"),  # nothing to be near to
        ("-dog sort:score", "score", True, "-dog sort:score"),
        ("type:png", "date", True, "type:png"),
        ("type:png sort:size", "size", True, "type:png sort:size"),
        ("sort:date", "date", True, "sort:date"),
    ],
)
def test_order(text: str, order: str, descending: bool, canonical: str) -> None:
    query = parse([text])
    assert (query.order, query.descending, written(query)) == (order, descending, canonical)


@pytest.mark.parametrize(
    ("text", "message", "mark"),
    [
        ("dog camra:fuji", "camra: is no field; did you mean camera:? To look for the words", "    ^"),
        ("dog after:2024", "after: is no field; did you mean date:>2024? To look for the words", "    ^"),
        ('dog "red car', 'the closing quote is missing; write "red car"', "    ^"),
        ('dog "" cat', "there is nothing between the quotes", "    ^"),
        ('"red"car', "a space is wanted after the closing quote", "     ^"),
        ('camera:"a"b', "a space or a comma is wanted after the closing quote", "          ^"),
        ('words:"a",b', "a space is wanted after the closing quote", "         ^"),
        ("date: 2024", "date: wants its value right after the colon", "     ^"),
        ("type:png,", "type: wants a value here", "         ^"),
        ("camera:,x", "camera: wants a value here", "       ^"),
        ("date:Juni", "'Juni' is no date; write 2024, 2024-06, 2024-06-01, june-2024, ", "     ^"),
        ("date:last dog", "'last' is no date; write 2024", "     ^"),
        ("dog date:2020..01/02/2020", "'01/02/2020' can be two days", "               ^"),
        ("length:long", "'long' is no number; write length:>30s or length:1:30..2:00", "       ^"),
        ("length:5px", "'px' is no unit of length; known: s, ms, min and h", "        ^"),
        ("type:vidoe", "'vidoe' is no format of pictures; did you mean video? there are photo, video, ", "     ^"),
        ("iso:auto", "'auto' is no number; write iso:800 or iso:>=1600", "    ^"),
        ("exposure:>1/0", "'1/0' is no number; write exposure:1/250 or exposure:>1s", "          ^"),
        ("aperture:f/big", "'big' is no number; write aperture:f/2.8 or aperture:<4", "           ^"),
        ("focal:5cm", "'cm' is no unit of focal; known: mm", "       ^"),
        ("date:2024..2024-13", "'2024-13' is no date: month must be in 1..12", "           ^"),
        ("date:2023-02-29", "'2023-02-29' is no date: day", "     ^"),
        ("date:2024..2023", "2024..2023: the time ends before it begins", "     ^"),
        ("date:0000", "'0000' is no date", "     ^"),
        ("date:2024-06-15T18:30+02:00", "has a time zone; dates are compared with the clock of the camera", "     ^"),
        ("date:2024-06-15T18:30:05Z", "has a time zone", "     ^"),
        ("date:2024-06-15 18:30", "date:2024-06-15 18:30 has a space in it", " " * 16 + "^"),
        ("size:>5 MB", "size:>5 MB has a space in it; leave it out or put the value in quotes", "        ^"),
        ("near:48.85,2.35,10 km", "near:48.85,2.35,10 km has a space in it", " " * 19 + "^"),
        ("sort:date desc", "write sort:date:desc, without a space", "          ^"),
        ("type:jpeg, png", "type: wants a value here, right after the comma", "          ^"),
        ("width:>=2,000", ">=2,000: write numbers without commas, as 2000 or 12.5", "      ^"),
        ("width:1,000..2,000", "1,000..2: write numbers without commas", "      ^"),
        ("size:>12,5MB", "as 2000 or 12.5; for one of two values size:>12,=5MB", "     ^"),
        ("dog “red car", 'the closing quote is missing; write "red car"', "    ^"),
        ("name:receipt", "name: is no field; did you mean words:? To look for the words", "^"),
        ("near:48.85,2.35", "near: wants latitude, longitude and distance: near:48.85,2.35,10km", "     ^"),
        ("near:48.85,east,10km", "'east' is no longitude in degrees", "           ^"),
        ("near:48.85,2.35,10ly", "'10ly' is no distance; write 10km, 500m or 5mi", "                ^"),
        ("near:91,2,10km", "a latitude lies between -90 (south) and 90 (north), not at 91", "     ^"),
        ("near:1,-181,10km", "a longitude lies between -180 (west) and 180 (east), not at -181", "     ^"),
        ("near:1,2,0km", "a distance must be above 0, not 0 km", "     ^"),
        ("type:jpgg", "'jpgg' is no format of pictures; did you mean jpg? there are photo, video, ", "     ^"),
        ("width:>wide", "'wide' is no number; write width:>2000 or width:1000..2000", "       ^"),
        ("width:10cm", "'cm' is no unit of width; known: px", "        ^"),
        ("size:5MP", "'MP' is no unit of size; known: B, kB, MB, GB, TB, KiB, MiB and GiB", "      ^"),
        ("width:20..10", "20..10: the smaller number comes first", "      ^"),
        ("width:..", "'..' is no number", "      ^"),
        (f"size:>{'9' * 400}", "is too large a number", None),
        ("orientation:diagonal", "'diagonal' is no orientation; there are portrait, landscape, square", " " * 12 + "^"),
        ("has:txt", "'txt' is no thing that a picture can have; did you mean text? there are text, gps", "    ^"),
        ("sort:colour", "'colour' is no order; there are score, date, name, size", "     ^"),
        ("sort:date:up", "'up' is no direction; there are asc, desc", "          ^"),
        ("-sort:date", "sort: cannot be excluded", "      ^"),
        ("sort:date sort:name", "sort: is there twice", "               ^"),
        ("0:dog", "a weight must be above 0, not 0; to leave out what matches a term, write -term", "^"),
        ("dog 2:type:png", "type: is a condition, which is met or not: it has no weight", "    ^"),
        ("dog +", "nothing follows the +", "    ^"),
        ("dog ./none.jpg", "./none.jpg: no such file", "    ^"),
        ("dog -2:./none.jpg", "./none.jpg: no such file", "       ^"),
        ("like:/", "/ is a folder; a query takes words or picture files (to search inside it: in:/)", "     ^"),
        ("日本 in:\0", "'\\x00' cannot be a path", "        ^"),  # wide characters take two columns
        ("e\u0301 type:x", "'x' is no format", "       ^"),  # an accent takes none
    ],
)  # fmt: skip
def test_errors_point_at_the_column(text: str, message: str, mark: str | None) -> None:
    with pytest.raises(QueryError) as caught:
        parse([text], today=TODAY)
    about_files = "no such file" in message or "is a folder" in message
    assert isinstance(caught.value, QuerySyntaxError) != about_files
    said, line, pointer = str(caught.value).split("\n")
    assert message in said
    if mark is not None:
        assert (line, pointer) == ("  " + text.replace("\0", "?"), "  " + mark)


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("label_colour:red", "the fields are date, taken, "),
        ("camra:fuji", "did you mean camera:? "),
        ("-camra:fuji", "did you mean camera:? "),
        ("+2:orientaton:portrait", "did you mean orientation:? "),
        ("extention:png", "did you mean type:? "),  # near to what other programs call it
        ("file-type:png", "did you mean type:? "),
        ("note:hello", "the fields are date, taken, "),
        ("größe:>5MB", "the fields are date, taken, "),
        ('xyz:"a b"', "the fields are date, taken, "),
    ],
)
def test_a_field_that_is_none_is_an_error_with_the_nearest(word: str, suggestion: str) -> None:
    name = word.lstrip("-+2:").partition(":")[0]
    for words in ([f"a dog {word}"], ["a dog", word], [word]):
        with pytest.raises(QuerySyntaxError) as caught:
            parse(words)
        assert str(caught.value).startswith(f"{name}: is no field; {suggestion}")
        assert "in quotes" in str(caught.value) or 'write "' in str(caught.value)
    with pytest.raises(QuerySyntaxError, match="is no field"):
        parse_conditions(word.lstrip("+2:"))
    assert parse([f'"{name}:x"']).terms == (Words(f"{name}:x"),)


def test_an_error_in_one_of_several_words_points_into_the_whole_line() -> None:
    with pytest.raises(QueryError) as caught:
        parse(["a dog", "on", "date:soon", "x"])
    assert str(caught.value).split("\n")[1:] == ["  a dog on date:soon x", "                ^"]
    assert caught.value.column == 14


def test_a_long_line_is_cut_around_the_column() -> None:
    with pytest.raises(QueryError) as caught:
        parse(["dog " * 100 + "date:soon " + "cat " * 100])
    _, line, pointer = str(caught.value).split("\n")
    assert len(line) == 2 + 1 + 100 + 1
    assert line[pointer.index("^") :].startswith("soon cat")


def test_what_follows_a_complete_value_is_words() -> None:
    assert parse(['size:>5 "MB"']).terms == parse(["size:>5MB", "MB"]).terms == (Words("MB"),)
    assert parse(["date:2024", "10:30"]).terms == (Words("10:30"),)
    assert parse(["width:>5 -px"]).terms == (Words("px", exclude=True),)
    with pytest.raises(QuerySyntaxError, match="size:>5 MB has a space in it"):
        parse(["size:>5", "MB", "cat"])


def test_options_say_the_same_as_fields() -> None:
    options = [
        ("where", "type:png,jpeg -tag:dog"),
        ("date", "2024"),
        ("camera", "Canon EOS"),
        ("bytes", ">5MB"),
        ("not", "red car"),
        ("words", "invoice 4711"),
        ("sort", "-name"),
    ]
    text = (
        'a cat type:png,jpeg -tag:dog date:2024 camera:"Canon EOS" size:>5MB -"red car" words:"invoice 4711" sort:-name'
    )
    assert parse(["a cat"], options) == parse([text])


@pytest.mark.parametrize(
    ("option", "value", "message", "line"),
    [
        ("date", "soon", "'soon' is no date", "--date soon"),
        ("where", "type:png dog", "only conditions can stand here", "--where type:png dog"),
        ("where", "sort:date", "only conditions can stand here", "--where sort:date"),
        ("where", " ", "a condition is wanted here", "--where  "),
        ("not", "", "what to leave out is wanted here", "--not "),
        ("camera", " ", "camera: wants a value here", "--camera  "),
        ("sort", "colour", "'colour' is no order", "--sort colour"),
    ],
)
def test_errors_in_options(option: str, value: str, message: str, line: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        parse(["dog"], [(f"--{option}", value)])
    assert str(caught.value).split("\n")[1] == f"  {line}"


def test_excluding_a_picture_by_option(tmp_path: Path) -> None:
    (tmp_path / "a b.png").touch()
    assert parse(["dog"], [("not", str(tmp_path / "a b.png"))]).terms == (
        Words("dog"),
        Example(str(tmp_path / "a b.png"), exclude=True),
    )


def test_conditions_of_several_fields_cannot_be_written() -> None:
    for either in (AnyOf((Camera("x"), Format("png"))), AnyOf(())):
        with pytest.raises(QueryError, match="cannot be written"):
            written(Query(conditions=(Condition(either),)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Words(" "),
        lambda: Words("x", 0.0),
        lambda: Example("/a", float("inf")),
        lambda: Date(datetime(2024, 1, 1).astimezone(), None),
        lambda: Date(datetime(2024, 1, 1), datetime(2024, 1, 1)),
        lambda: Camera(""),
        lambda: Lens(""),
        lambda: Tagged(""),
        lambda: City(" "),
        lambda: Person(""),
        lambda: Album(" "),
        lambda: Clustered(" "),
        lambda: Label(""),
        lambda: EveryYear((2, 30), (3, 1)),
        lambda: Within(""),
        lambda: Format(""),
        lambda: Near(90.1, 0.0, 1.0),
        lambda: Near(0.0, 180.1, 1.0),
        lambda: Near(0.0, 0.0, 0.0),
        lambda: Near(float("nan"), 0.0, 1.0),
        lambda: Compare("width", ">", float("nan")),
        lambda: Between("width", 2.0, 1.0),
    ],
)
def test_values_without_sense_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(QueryError):
        make()


# Any text, any query

_FIELD_TEXT = st.builds(
    "{}{}:{}".format,
    st.sampled_from(["", "-", "+", "2:", "-0.5:"]),
    st.sampled_from([*FIELDS, "camra", "note", "after"]),
    st.one_of(
        st.sampled_from(
            ["2024", "2024-06..2024-08", "..", ">today", "<=2024-02-30", "1,2,3km", "48.85,2.35,10", "jpg,png", "5MB",
             ">12.5", "1..2", "=3px", "june", "last-week", "1/250", "f/2.8",
             "text", "gps", "square", "-date", "name:asc", '"a ""b"" c"', "~", "./x", "/", ""],
        ),
        st.text("0123456789.,-:<>=\"'/~ abTkmMB", max_size=12),
    ),
)  # fmt: skip
_TEXT = st.lists(
    st.one_of(
        _FIELD_TEXT,
        st.text(max_size=12),
        st.text(string.printable, max_size=12),
        st.sampled_from(["dog", "-people", '"red car"', "+", "-", "2:horse", "10:30", "a.jpg", "./", "-\"a", "~\0"]),
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(words=_TEXT, joined=st.booleans())
@example(["~\0"], False)
@example(["in:~\0user"], False)
@example(["x" * 5000 + ".jpg"], False)
@example(["\ud800.jpg", "in:\ud800"], False)
def test_any_text_is_a_query_or_an_error_and_reads_the_same_when_it_is_written(words: list[str], joined: bool) -> None:
    try:
        query = parse([" ".join(words)] if joined else words, today=TODAY)
    except QueryError:
        return
    text = written(query)
    assert parse([text], today=date(1999, 1, 1)) == query
    assert written(parse([text])) == text


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(max_size=20), _FIELD_TEXT), name=st.sampled_from([*FIELDS, "not", "where"]))
def test_any_option_is_a_query_or_an_error(text: str, name: str) -> None:
    try:
        query = parse([], [(name, text)], today=TODAY)
    except QueryError:
        return
    assert parse([written(query)]) == query


_NAMES = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
_MOMENTS = st.datetimes(datetime(1, 1, 1), datetime.max)
_WEIGHTS = st.one_of(st.just(1.0), st.floats(1e-300, 1e300))
_NUMBERS = st.one_of(st.integers(-(10**6), 10**9).map(float), st.floats(-1e300, 1e300))
_FACTS = st.sampled_from(["width", "height", "megapixels", "bytes", "iso", "aperture", "exposure", "focal"])
_DAYS = st.dates(date(2000, 1, 1), date(2000, 12, 31)).map(lambda day: (day.month, day.day))
_PATHS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=12)
_WHOLE_DAYS = st.dates(date(1, 1, 1), date(9998, 12, 31)).map(lambda day: datetime(day.year, day.month, day.day))


@st.composite
def _dates(draw: st.DrawFn, camera_only: bool) -> Date:
    moments = draw(st.sampled_from([_MOMENTS, _WHOLE_DAYS]))
    start, end = draw(st.none() | moments), draw(st.none() | moments)
    if start is not None and end is not None:
        start, end = min(start, end), max(start, end)
        end = end if start < end else start + timedelta(microseconds=1) if start < datetime.max else None
    return Date(start, end, camera_only)


def _betweens(fact: str) -> st.SearchStrategy[Between]:
    return st.tuples(_NUMBERS, _NUMBERS).map(lambda pair: Between(fact, min(pair), max(pair)))  # type: ignore[arg-type]


_ONE_FIELD = st.one_of(
    st.just(_dates(False)),
    st.just(_dates(True)),
    st.just(st.builds(Camera, _NAMES)),
    st.just(st.builds(Lens, _NAMES)),
    st.just(st.builds(Tagged, _NAMES)),
    st.just(st.builds(City, _NAMES)),
    st.just(st.builds(Person, _NAMES)),
    st.just(st.builds(Album, _NAMES)),
    st.just(st.builds(Clustered, _NAMES)),
    st.just(st.builds(Label, _NAMES)),
    st.just(st.one_of(_dates(False), st.builds(EveryYear, _DAYS, _DAYS, st.just(False)))),
    st.just(st.builds(EveryYear, _DAYS, _DAYS, st.just(True))),
    st.just(st.builds(lambda path: Within(os.path.abspath("/" + path)), _PATHS)),
    st.just(st.builds(Near, st.floats(-90, 90), st.floats(-180, 180), st.floats(1e-300, 1e300))),
    st.just(st.builds(Format, st.sampled_from(sorted(set(FORMATS.values()))))),
    st.just(st.builds(Shaped, st.sampled_from(["portrait", "landscape", "square"]))),
    st.just(st.sampled_from([HasText(), HasPlace()])),
    _FACTS.map(
        lambda fact: st.one_of(
            _betweens(fact), st.builds(Compare, st.just(fact), st.sampled_from(["<", "<=", "=", ">=", ">"]), _NUMBERS)
        )
    ),
)


@st.composite
def _conditions(draw: st.DrawFn) -> Condition:
    one = draw(_ONE_FIELD)
    several = draw(st.lists(one, min_size=1, max_size=3))
    return Condition(several[0] if len(several) == 1 else AnyOf(tuple(several)), draw(st.booleans()))


_TERMS = st.one_of(
    st.builds(Words, st.one_of(_NAMES, st.sampled_from(["dog", "red car", "2024 x", "-a", "+b"])), _WEIGHTS,
              st.booleans(), st.booleans()),
    st.builds(Example, st.sampled_from([str(HERE / "conftest.py"), str(HERE / "test_config.py")]), _WEIGHTS,
              st.booleans()),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.builds(
        Query,
        st.lists(_TERMS, max_size=4).map(tuple),
        st.lists(_conditions(), max_size=4).map(tuple),
        st.sampled_from(["score", "date", "name", "size"]),
        st.booleans(),
    )
)
def test_any_query_is_written_as_text_that_means_the_same(query: Query) -> None:
    text = written(query)
    assert parse([text]) == query
    assert written(parse([text])) == text


def test_excluded_word_without_letters_is_written_so_that_it_stays_excluded() -> None:
    query = parse([], [("not", "_")])
    assert (written(query), parse([written(query)])) == ('-"_"', query)


class _Album:
    """``Examples`` of somebody who has two pictures, and no disk."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def exists(self, path: str) -> bool:
        self.asked.append(path)
        return path in ("./my cat.jpg", "./cat.jpg")

    def resolve(self, path: str) -> str:
        if path not in ("./my cat.jpg", "./cat.jpg"):
            raise QueryError(f"{path} is in no album")
        return f"album:{path[2:]}"


def test_what_a_path_leads_to_is_asked_and_not_looked_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    album = _Album()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dog.jpg").touch()  # on the disk, and in no album
    query = parser.parse(["./cat.jpg", "at night", "like:./my cat.jpg"], album, [("not", "./my cat.jpg")])
    assert query.terms == (
        Example("album:cat.jpg"),
        Words("at night"),
        Example("album:my cat.jpg"),
        Example("album:my cat.jpg", exclude=True),
    )
    assert "./my cat.jpg" in album.asked
    with pytest.raises(QueryError) as caught:
        parser.parse(["a dog", "./dog.jpg"], album)
    assert str(caught.value) == "./dog.jpg is in no album\n  a dog ./dog.jpg\n        ^"
    assert caught.value.column == 6
    assert parser.parse_conditions("in:/a -type:png", album) == parse_conditions("in:/a -type:png")
