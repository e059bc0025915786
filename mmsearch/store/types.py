"""What the store says of files, contents and models; frozen values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from mmsearch.types import Found

Value = TypeVar("Value")
CHUNK = 500  # values in one IN (...): SQLite's oldest limit is 999 a statement


@dataclass(frozen=True)
class Known:
    """What the store remembers of a file."""

    id: int
    state: str  # "ok", "failed" or "missing"
    size: int
    mtime_ns: int
    content: int | None  # id of what was last read well
    embedded: bool  # that content has a vector of the model
    reason: str | None


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
class PendingItem:
    """An item that has a vector and lacks something that is read from its files."""

    item: int
    content: int
    hash: bytes  # of the content
    files: tuple[Found, ...]  # that hold it


@dataclass(frozen=True)
class SidecarState:
    """A photo, and which files beside it were read."""

    id: int  # of the photo
    path: str
    stamp: str | None  # as ``sidecars.stamp`` makes it; None where there were none


@dataclass(frozen=True)
class PendingVector:
    """An item that lacks something that is made of its vector or its region tokens; no file is read for it."""

    item: int
    vector: int  # its id
    path: str  # of the first file that holds it


@dataclass(frozen=True)
class DuplicateCandidate:
    """A file that can be found, with the attributes that duplicates are found by."""

    vector: int  # its id; files of the same content have the same
    file: Found
    pixels: int
    taken_at: datetime | None
    dhash: bytes | None


@dataclass(frozen=True)
class Counts:
    """How many files are in each state."""

    photos: int
    failed: int
    missing: int


def chunks(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
