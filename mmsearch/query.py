"""What a query means: terms that a picture should match, and conditions that it must meet.

``query_language.py`` makes one from what a person types.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Fact = Literal["width", "height", "megapixels", "bytes"]
Order = Literal["score", "date", "name", "size"]
Shape = Literal["portrait", "landscape", "square"]


@dataclass(frozen=True)
class Words:
    """Find what a text describes, or what has its words in name, description, tags or picture."""

    text: str
    weight: float = 1.0  # above 0; how much the term counts beside the others
    exclude: bool = False  # pictures that match it are left out
    exact: bool = False  # the words themselves must be there, in this order; nothing is compared by meaning


@dataclass(frozen=True)
class Example:
    """Find what looks like a picture."""

    path: str  # absolute
    weight: float = 1.0
    exclude: bool = False


Term = Words | Example


@dataclass(frozen=True)
class Date:
    """Taken in a span of time, by the clock of the camera; without such a date, the file was last written then.

    ``camera_only`` leaves out pictures whose file does not say when they were taken.
    """

    start: datetime | None  # the first moment, without time zone; None: no limit
    end: datetime | None  # the first moment after it
    camera_only: bool = False


@dataclass(frozen=True)
class Camera:
    """Make or model contains this text; capitals do not matter."""

    text: str


@dataclass(frozen=True)
class Lens:
    """The name of the lens contains this text; capitals do not matter."""

    text: str


@dataclass(frozen=True)
class Within:
    """The file is this one, or lies below this folder."""

    path: str  # absolute


@dataclass(frozen=True)
class Near:
    """Taken within a distance of a place, on a sphere with the radius of the Earth (6371 km)."""

    latitude: float  # degrees, north positive
    longitude: float  # degrees, east positive
    kilometres: float


@dataclass(frozen=True)
class Format:
    """The format of the file: Pillow's name in lower case, such as "jpeg"."""

    name: str


@dataclass(frozen=True)
class Compare:
    """A number of the upright picture or of its file."""

    fact: Fact
    operator: Literal["<", "<=", "=", ">=", ">"]
    value: float


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


One = Date | Camera | Lens | Within | Near | Format | Compare | Shaped | HasText | HasPlace | Tagged


@dataclass(frozen=True)
class AnyOf:
    """At least one of these is so."""

    fits: tuple[One, ...]


Fits = One | AnyOf


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

    @property
    def has_words(self) -> bool:
        return any(isinstance(term, Words) for term in self.terms)
