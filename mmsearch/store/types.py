"""What travels between a store and the rooms, whichever driver it has; frozen values but for ``Contents``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import QueryError
from mmsearch.query.model import AnyOf, OneFits, Query, Words
from mmsearch.types import Film, Found, Ids, Sidecar

Value = TypeVar("Value")
FINGERPRINT = re.compile("[0-9A-Za-z-]{1,64}")  # of a model: names of files are made of it
WIDEST = 2**16  # dimensions of a vector
EXAMPLES = 5  # shown of each kind of damage
CHUNK = 500  # values in one IN (...): SQLite's oldest limit is 999 a statement


@dataclass(frozen=True)
class StoredFile:
    """What the store remembers of a file."""

    id: int
    state: str  # "ok", "failed", "missing" or "wordless"
    size: int
    mtime_ns: int
    content: int | None  # id of what was last read well
    embedded: bool  # that content has a vector of the model
    reason: str | None


@dataclass(frozen=True)
class StoredSound:
    """What the store remembers of an audio file."""

    id: int
    state: str  # as of ``StoredFile``; "wordless" where it has no words and cannot be found
    content: int


@dataclass(frozen=True)
class StoredModel:
    """The encoder that made the library's vectors."""

    id: int
    name: str
    fingerprint: str
    dim: int


@dataclass(frozen=True)
class KeptModel:
    """A model that there are vectors of."""

    model: StoredModel
    active: bool  # searched with
    vectors: int
    lacking: int  # pictures that can be found and have no vector of it


@dataclass(frozen=True)
class StoredPart:
    """One of the items of a content that has several: a moment of a film, a page of a document."""

    item: int
    part: int  # its place among them, from 0
    vector: int  # the id of its vector; -1 where there is none of the model that was asked for
    start_ms: int | None = None  # None for a page
    end_ms: int | None = None
    at_ms: int | None = None  # the frame that its vectors are of
    text: str = ""  # words that belong to it


@dataclass(frozen=True)
class PendingItem:
    """An item that has a vector and lacks something that is read from its files."""

    item: int
    content: int
    hash: bytes  # of the content
    files: tuple[Found, ...]  # that hold it
    part: int = 0  # which of the content's items it is
    at_ms: int | None = None  # the frame of a film that it is


@dataclass(frozen=True)
class SidecarState:
    """A photo, and which files beside it were read."""

    id: int  # of the photo
    path: str
    stamp: str | None  # as ``sidecars.stamp`` makes it; None where there were none
    hash: bytes = b""  # of its content


@dataclass(frozen=True)
class PendingVector:
    """An item that lacks something that is made of its vector or its region tokens; no file is read for it."""

    item: int
    vector: int  # its id
    path: str  # of the first file that holds it


@dataclass(frozen=True)
class DuplicateCandidate:
    """A file that can be found, with the attributes that duplicates are found by."""

    vector: int  # its id, of a film or document that of its first item; files of the same content have the same
    file: Found
    pixels: int
    taken_at: datetime | None
    dhash: bytes | None
    several: bool = False  # whether it has several items
    film: Film | None = None
    content_identifier: str | None = None  # Apple's, of a picture and its clip


@dataclass(frozen=True, eq=False)
class Overview:
    """When and where files were taken, in the order of their ids."""

    ids: Ids  # (n,), ``Photo.id``, ascending
    # (n,) microseconds since 1970 on the clock of the camera; where nobody says, when the file was last written, on
    # this machine's clock
    moments: Ids
    places: NDArray[np.float64]  # (n, 2), latitude and longitude in degrees, NaN where not known


@dataclass(frozen=True)
class Counts:
    """How many files are in each state."""

    photos: int
    failed: int
    missing: int


@dataclass(frozen=True)
class WordHit:
    """A picture that has words of a query."""

    number: int  # id of its vector
    score: float  # in [0, 1]: the share of the query's words that it has, weighted by how rare they are and where it is
    evidence: float  # the same as a sum of weights, logarithms of rarity: of a common word it is low even at score 1
    columns: tuple[str, ...]  # where they were found: of name, description, caption, ocr, tags
    said: float = 0.0  # in [0, 1]: the share of them that stands in its description, keywords or names of people
    written: float = 0.0  # the same with text that was read in it, and with names of its file and folders


@dataclass(frozen=True)
class FacetCounts:
    """What some files are: by facet its values, those of the most files first, and how many files have each.

    A value is what a condition asks for (``FACETS``), and counts the files that meet it.
    """

    files: int  # that were counted
    values: dict[str, list[tuple[str, int]]]  # a list may be one longer than was asked for: then there are more


@dataclass(frozen=True)
class ExportRow:
    """A file or a part of it, and what is known of it and of its content; None and 0 where nothing is."""

    file: Found
    hash: bytes
    width: int
    height: int
    format: str
    taken_at: str | None = None  # ISO 8601
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    description: str | None = None
    city: str | None = None
    people: tuple[str, ...] = ()
    rating: int | None = None
    label: str | None = None
    iso: int | None = None
    aperture: float | None = None
    exposure: float | None = None
    focal: float | None = None
    dhash: bytes | None = None
    metadata_version: int = 0
    sidecar: Sidecar | None = None  # what the files beside it say, and their stamp
    sidecar_stamp: str | None = None
    caption: str | None = None
    caption_model: str | None = None  # fingerprint of the reranker
    caption_confidence: float | None = None
    text: str | None = None  # empty where it was looked for
    text_engine: str | None = None
    tags: dict[str, float] = field(default_factory=dict)  # tag -> score, the surest first
    tags_vocabulary: str | None = None
    film: Film | None = None
    # Of a moment of a film or a page of a document, with caption, text and tags of its own; a file has a row for each.
    part: int | None = None  # its place among them, from 0
    parts: int | None = None  # how many there are
    start_ms: int | None = None
    end_ms: int | None = None
    at_ms: int | None = None
    part_words: dict[str, str] = field(default_factory=dict)  # where they stand -> words that belong to it
    own_tags: tuple[str, ...] = ()  # that people gave the file
    content_identifier: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether it is of an audio file, which has no vector."""
        return self.width == self.height == 0 and self.film is not None and self.start_ms is not None


@dataclass(frozen=True)
class Block:
    """Some vectors, what else is known of their contents, and the files that have them."""

    vectors: list[bytes]  # dim little-endian float16
    regions: list[bytes | None]  # packed; None where there are none
    files: list[tuple[int, ExportRow]]  # with the position of their vector in this block
    ids: tuple[int, ...] = ()  # of the vectors, where they have some


@dataclass(frozen=True)
class Damage:
    """Something that should not be so."""

    kind: str  # a name for it
    count: int
    what: str  # what is wrong, in words
    remedy: str  # what ``repair`` does about it, or what a person can do
    mendable: bool = True  # by ``repair``
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tidied:
    """What was put in order where blobs are in packs of an object store; all 0 where there are none."""

    packs: int  # that the library names
    rewritten: int  # blobs that were written into new packs
    orphans: int  # packs that were there and that nobody named, as a kill leaves them
    deleted: int  # packs that nobody named for long enough
    missing: int  # packs that are named and not there


@dataclass(frozen=True)
class ServerState:
    """A server that a library is on, or may be made on."""

    place: str  # its address, without a password
    version: str  # of the server
    vectors: str | None  # version of its extension for vectors, installed or offered
    made: bool  # whether the library is there
    unwritable: str | None  # why this user cannot write, or make, it


@dataclass(frozen=True)
class Capabilities:
    """What a driver can do beyond storing and finding; whoever needs it asks first."""

    full_text: bool  # finds words that are written about photos
    backup_file: bool  # copies all but the index to one file
    integrity_rules: bool  # has rules of its own that ``verify`` checks and ``repair`` mends
    vector_search: bool  # finds the nearest vectors by itself, in a collection
    filters: frozenset[type[OneFits]]  # what it can ask of files; ``AnyOf`` of these comes with them

    def check(self, query: Query) -> None:
        """Raises QueryError for what the driver cannot answer."""
        for condition in query.conditions:
            for one in condition.fits.fits if isinstance(condition.fits, AnyOf) else (condition.fits,):
                if type(one) not in self.filters:
                    raise QueryError(f"this library cannot be asked for {type(one).__name__.lower()}", code="no-filter")
        if not self.full_text and any(isinstance(t, Words) and (t.exact or t.exclude) for t in query.terms):
            raise QueryError("this library cannot look up words: leave out exact and excluded ones", code="no-words")


FACETS = ("year", "camera", "folder", "tag", "type", "person", "city")  # in the order in which people look for them
TOKENS = "tokens"  # packed region tokens (``encoders/region_codec.py``)


@dataclass(frozen=True)
class BlobKind:
    """What blobs are: a name, the model that they are of, and what made them."""

    name: str
    model: str  # its fingerprint
    version: str  # fingerprint of what made them, such as a region card


@dataclass(frozen=True)
class Losses:
    """What goes with files that are forgotten, and does not come back by reading them again."""

    photos: int  # files
    texts: int  # pictures whose read text no other file holds
    captions: int
    tagged: int = 0  # files that people gave tags


@dataclass(frozen=True)
class TagChange:
    """What became of files that a person gave tags, or took some from; a pair is a file and a tag."""

    photos: int  # files that were asked for and are there
    changed: int  # of these, files that have other tags now
    added: int  # pairs that are new
    removed: int  # pairs that are gone


@dataclass(frozen=True)
class Summary:
    """All but ``reasons`` is about the files that can be found; copies count one by one."""

    formats: dict[str, int]  # format -> files, the most first
    years: dict[int, int]  # year taken, or last written -> files, ascending
    dated: int  # files that say when they were taken
    cameras: dict[str, int]  # the five that took the most -> files
    bytes: int  # of the files
    megapixels: float | None  # median; None where there are no pictures
    located: int  # files that say where they were taken
    described: int  # files with a description, inside or beside them
    captions: int
    texts: int  # files in which text was read
    tagged: int  # files with at least one tag
    copies: int  # files beyond the first of each content
    reasons: dict[str, int]  # why files could not be read -> how many, the most first
    films: int = 0
    hours: float = 0.0  # that they last together
    moments: int = 0  # of them that can be found
    documents: int = 0  # files of several pages
    pages: int = 0  # of these
    sounds: int = 0  # audio files with words
    sound_hours: float = 0.0  # that they last together


class Contents(MutableMapping[bytes, int]):
    """Hash -> id of the contents that have a vector: of what is stored, and of what was set here since.

    They are asked for one by one, because a library may have millions.  Safe to ask from several threads.
    """

    def __init__(self, stored: Callable[[bytes], int | None], every: Callable[[], dict[bytes, int]]) -> None:
        self._stored, self._every = stored, every
        self._new: dict[bytes, int] = {}

    def __getitem__(self, content_hash: bytes) -> int:
        number = self._new.get(content_hash)
        if number is None:
            number = self._stored(content_hash)
        if number is None:
            raise KeyError(content_hash)
        return number

    def __setitem__(self, content_hash: bytes, number: int) -> None:
        self._new[content_hash] = number

    def __delitem__(self, content_hash: bytes) -> None:
        raise TypeError("contents are forgotten by the store")

    def __iter__(self) -> Iterator[bytes]:
        return iter({**self._every(), **self._new})

    def __len__(self) -> int:
        return len({**self._every(), **self._new})


def chunks(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
