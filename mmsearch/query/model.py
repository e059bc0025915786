"""What a query means: terms that a picture should match, and conditions that it must meet.

``query/parser.py`` makes one from what a person types.  Values without sense raise QueryError when they are made.
"""

from __future__ import annotations

import calendar
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mmsearch.errors import QueryError
from mmsearch.media import in_memory
from mmsearch.query.checks import all_are, finite, not_blank, weighs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch.types import PictureData

Fact = Literal[
    "width", "height", "megapixels", "bytes", "rating", "iso", "aperture", "exposure", "focal", "length", "fps", "at"
]
Kind = Literal["photo", "video", "audio", "document"]
Operator = Literal["<", "<=", "=", ">=", ">"]
Order = Literal["score", "date", "name", "size"]
Shape = Literal["portrait", "landscape", "square"]


@dataclass(frozen=True)
class Words:
    """Find what a text describes, or what has its words in name, description, tags or picture."""

    text: str
    weight: float = 1.0  # above 0; how much the term counts beside the others
    exclude: bool = False  # pictures that match it are left out
    exact: bool = False  # the words themselves must be there, in this order; nothing is compared by meaning

    def __post_init__(self) -> None:
        not_blank(self.text, "a text to look for")
        weighs(self.weight)


@dataclass(frozen=True)
class Example:
    """Find what looks like a picture."""

    path: str  # absolute
    weight: float = 1.0
    exclude: bool = False

    def __post_init__(self) -> None:
        not_blank(self.path, "the path of an example")
        weighs(self.weight)


@dataclass(frozen=True, eq=False)
class Picture:
    """Find what looks like a picture that is no file: one that was just downloaded, drawn or cut out.

    ``content`` is what a picture file holds, a Pillow image, or pixels (height, width, 3) uint8 in RGB.  It is not
    copied, and two of them are never equal.  Of a Pillow image it is the present frame, turned as its EXIF says.
    """

    content: PictureData
    weight: float = 1.0
    exclude: bool = False

    def __post_init__(self) -> None:
        wrong = in_memory.problem(self.content)
        if wrong is not None:
            raise QueryError(wrong)
        weighs(self.weight)


@dataclass(frozen=True, eq=False)
class Vector:
    """Find what is near to a vector that the library's model made, such as a row of ``encode_images``.

    Its length does not matter, unless it is 0.  It is not copied, and two of them are never equal.
    """

    values: NDArray[Any]  # (dim,), any kind of floating-point numbers
    weight: float = 1.0
    exclude: bool = False

    def __post_init__(self) -> None:
        wrong = in_memory.vector_problem(self.values)
        if wrong is not None:
            raise QueryError(wrong)
        weighs(self.weight)


Shown = Example | Picture | Vector  # what is compared by its looks
Term = Words | Shown


@dataclass(frozen=True)
class Date:
    """Taken in a span of time, by the clock of the camera; without such a date, the file was last written then.

    A camera's clock shows the time of some place: a time zone in the file is not looked at.  ``camera_only`` leaves out
    pictures whose file does not say when they were taken.
    """

    start: datetime | None  # the first moment, without time zone; None: no limit
    end: datetime | None  # the first moment after it
    camera_only: bool = False

    def __post_init__(self) -> None:
        for moment in (self.start, self.end):
            if moment is not None and moment.tzinfo is not None:
                raise QueryError(f"{moment} has a time zone; dates are compared with a camera's clock: leave it out")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise QueryError("the time ends before it begins")


@dataclass(frozen=True)
class EveryYear:
    """Taken from one day to another, both included, in whatever year, by the clock that ``Date`` goes by.

    Where the last day is before the first one it is one of the next year: from December to February.
    """

    first: tuple[int, int]  # month and day; (2, 29) is the first of March in other years
    last: tuple[int, int]  # (2, 29) is the 28th in other years
    camera_only: bool = False  # as in ``Date``

    def __post_init__(self) -> None:
        for month, day in (self.first, self.last):
            try:
                datetime(2000, month, day)  # a leap year
            except ValueError as error:
                raise QueryError(f"no year has a day {day} of month {month}") from error

    def span(self, year: int) -> tuple[datetime, datetime] | None:
        """The first moment of the one that begins in a year below 9998, and the first moment after it.

        None where there is no such day in that year: 29 February.
        """
        start = _day_in(year, self.first)
        end = _day_in(year + (self.last < self.first), self.last, after=True)
        return (start, end) if start < end else None


def _day_in(year: int, day: tuple[int, int], after: bool = False) -> datetime:
    if day == (2, 29) and not calendar.isleap(year):
        return datetime(year, 3, 1)
    return datetime(year, *day) + timedelta(days=int(after))


@dataclass(frozen=True)
class Camera:
    """Make or model contains this text; capitals do not matter."""

    text: str

    def __post_init__(self) -> None:
        not_blank(self.text, "a camera's name")


@dataclass(frozen=True)
class Lens:
    """The name of the lens contains this text; capitals do not matter."""

    text: str

    def __post_init__(self) -> None:
        not_blank(self.text, "a lens's name")


@dataclass(frozen=True)
class City:
    """The name of the town, as somebody wrote it into the file or beside it, contains this text.

    Capitals and accents do not matter.
    """

    text: str

    def __post_init__(self) -> None:
        not_blank(self.text, "a town's name")


@dataclass(frozen=True)
class Person:
    """The name of somebody who is in the picture, as a face or a list of people says, contains this text.

    Capitals and accents do not matter.
    """

    text: str

    def __post_init__(self) -> None:
        not_blank(self.text, "a person's name")


@dataclass(frozen=True)
class Album:
    """The name of the folder that the file lies in, or of one around it up to the one that was indexed, contains this.

    Capitals and accents do not matter.
    """

    text: str

    def __post_init__(self) -> None:
        not_blank(self.text, "an album's name")


@dataclass(frozen=True)
class Label:
    """The label, most often a colour, that somebody gave the picture in a program contains this text.

    Capitals and accents do not matter.
    """

    text: str

    def __post_init__(self) -> None:
        not_blank(self.text, "a label")


@dataclass(frozen=True)
class Within:
    """The file is this one, or lies below this folder."""

    path: str  # absolute

    def __post_init__(self) -> None:
        not_blank(self.path, "a path to search in")
        try:
            possible = b"\0" not in os.fsencode(self.path)
        except ValueError:  # halves of characters
            possible = False
        if not possible:
            raise QueryError(f"{self.path!r} cannot be a path")


@dataclass(frozen=True)
class Near:
    """Taken within a distance of a place, on a sphere with the radius of the Earth (6371 km)."""

    latitude: float  # degrees, north positive
    longitude: float  # degrees, east positive
    kilometres: float

    def __post_init__(self) -> None:
        if not -90 <= self.latitude <= 90:
            raise QueryError(f"a latitude lies between -90 (south) and 90 (north), not at {self.latitude:g}")
        if not -180 <= self.longitude <= 180:
            raise QueryError(f"a longitude lies between -180 (west) and 180 (east), not at {self.longitude:g}")
        if not 0 < self.kilometres < math.inf:
            raise QueryError(f"a distance must be above 0, not {self.kilometres:g} km")


@dataclass(frozen=True)
class Format:
    """The format of the file: Pillow's name in lower case.

    "jpeg" stands for "mpo" too: JPEG files in which a telephone or camera has put a second picture.
    """

    name: str

    def __post_init__(self) -> None:
        not_blank(self.name, "a format")


@dataclass(frozen=True)
class Compare:
    """A number of the upright picture or of its file, the stars that somebody gave it (-1: rejected), or its exposure.

    ``iso`` is the sensitivity, ``aperture`` the f-number, ``exposure`` in seconds, ``focal`` the focal length in
    millimetres, ``length`` that of a film in seconds, ``fps`` its frames a second.  ``at`` is where in a film, in
    seconds: only its moments there are searched.
    """

    fact: Fact
    operator: Operator
    value: float

    def __post_init__(self) -> None:
        finite(self.value)


@dataclass(frozen=True)
class Between:
    """A number, as of ``Compare``, lies between these, or is one of them."""

    fact: Fact
    least: float
    most: float

    def __post_init__(self) -> None:
        finite(self.least)
        finite(self.most)
        if self.least > self.most:
            raise QueryError(f"{self.least:g} is more than {self.most:g}; the smaller number comes first")


@dataclass(frozen=True)
class OfKind:
    """A film, an audio file, a document of several pages, or none of these: one picture."""

    kind: Kind


@dataclass(frozen=True)
class Codec:
    """The pictures of the film are coded so: "h264", "hevc" …; a part of the name, capitals do not matter."""

    text: str

    def __post_init__(self) -> None:
        not_blank(self.text, "the name of a codec")


@dataclass(frozen=True)
class Shaped:
    """Higher than broad, broader than high, or within 5 % of a square."""

    shape: Shape


@dataclass(frozen=True)
class HasText:
    """Text was read in the picture (``mmsearch index --ocr``)."""


@dataclass(frozen=True)
class HasPlace:
    """The file says where it was taken."""


@dataclass(frozen=True)
class Tagged:
    """It has this tag (``mmsearch tag``); capitals do not matter."""

    name: str

    def __post_init__(self) -> None:
        not_blank(self.name, "a tag")


@dataclass(frozen=True)
class Clustered:
    """It is of the clusters of the last map (``mmsearch map``) with this number, or with these words in their names.

    Capitals and accents do not matter; a word may be the beginning of one of a name.
    """

    text: str

    def __post_init__(self) -> None:
        not_blank(self.text, "a cluster")


OneFits = (
    Date
    | EveryYear
    | Camera
    | Lens
    | City
    | Person
    | Album
    | Label
    | Within
    | Near
    | Format
    | OfKind
    | Codec
    | Compare
    | Between
    | Shaped
    | HasText
    | HasPlace
    | Tagged
    | Clustered
)


@dataclass(frozen=True)
class AnyOf:
    """At least one of these is so."""

    fits: tuple[OneFits, ...]


Fits = OneFits | AnyOf


@dataclass(frozen=True)
class Condition:
    """Something that a picture must be, or must not be.  What nobody knows of a picture, it is not."""

    fits: Fits
    exclude: bool = False


@dataclass(frozen=True)
class Query:
    """Terms that a picture should all match, and conditions that it must all meet.

    With ``arithmetic`` the vectors of the terms are added by their weights, those of excluded terms subtracted, and the
    sum is searched for, as rclip does; else every term is judged by itself.
    """

    terms: tuple[Term, ...] = ()
    conditions: tuple[Condition, ...] = ()
    order: Order = "score"
    descending: bool = True
    arithmetic: bool = False

    def __post_init__(self) -> None:
        all_are(self.terms, Term, "the terms of a query")
        all_are(self.conditions, Condition, "the conditions of a query")

    @property
    def has_words(self) -> bool:
        return any(isinstance(term, Words) for term in self.terms)


def descends(order: Order) -> bool:
    """The direction where none is given: best, newest and largest first, names from A to Z."""
    return order != "name"


def usual_order(terms: Sequence[Term]) -> Order:
    """Without a term to be near to there are no scores: the newest pictures come first."""
    return "score" if any(not term.exclude for term in terms) else "date"
