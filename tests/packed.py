"""Libraries in PostgreSQL whose region tokens are in packs: in a folder, or in a bucket."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from object_server import object_server
from postgres_server import url_of

from mmsearch.store.objects import Objects, Patience
from mmsearch.store.postgres.store import PostgresStore

# A busy machine answers within a second; tests that nobody answers in wait no longer.
QUICK = Patience(connect=1.0, read=1.0, write=1.0, retries=2, retrying=5.0, pause=0.01)


@cache
def _bucket() -> str:
    return object_server().bucket()


def folder_place(folder: Path) -> str:
    return f"file://{folder / 'blobs'}"


def bucket_place(folder: Path) -> str:
    """A place below a bucket of all tests, of the library that belongs to a folder."""
    return f"s3://{_bucket()}/{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


def open_packed(folder: Path, place: str | None, patience: Patience = QUICK) -> PostgresStore:
    """The library that belongs to a folder, with its packs in a place; None: where it has them."""
    return PostgresStore(url_of(folder), folder / "cache", blobs=None if place is None else Objects(place, patience))


def in_folder(folder: Path) -> PostgresStore:
    return open_packed(folder, folder_place(folder))


def in_s3(folder: Path) -> PostgresStore:
    return open_packed(folder, bucket_place(folder))
