"""Libraries in PostgreSQL whose region tokens are in packs, in a folder or in a bucket, and what is put into them."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from pathlib import Path

import numpy as np
from object_server import object_server
from postgres_server import url_of

from mmsearch.encoders.protocol import RegionCard
from mmsearch.store.objects import Objects, Patience
from mmsearch.store.postgres.store import PostgresStore
from mmsearch.store.types import TOKENS, BlobKind, StoredModel
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Decoded, Exif, Found

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


PICTURE = Decoded(np.zeros((1, 1, 3), np.uint8), 40, 30, "jpeg", Exif())
CARD = RegionCard(1, 8, "abc")
KIND = BlobKind(TOKENS, "abc", CARD.fingerprint)


# A model ``abc``, and tokens of 20 bytes.
def tokens(number: int) -> bytes:
    return random.Random(number).randbytes(20)


def fill(store: PostgresStore, numbers: range) -> dict[int, bytes]:
    """Store pictures with tokens in one transaction; these by the ids of their vectors."""
    with store.writing() as writer:
        put(writer, numbers)
    ids = ids_of(store)
    return {ids[number]: tokens(number) for number in numbers}


def put(writer: StoreWriter, numbers: range) -> None:
    model = writer.add_model("abc", "abc", 1, active=True)
    for number in numbers:
        content = writer.put(b"%d" % number, PICTURE, np.ones(1, np.float32), model, tokens(number), CARD)
        writer.place(Found(f"/{number}", 1, 1), content)


def ids_of(store: PostgresStore) -> dict[int, int]:
    """The ids of the vectors by the numbers of the pictures."""
    query = (
        "SELECT path, embeddings.id FROM photos JOIN items ON items.content_id = photos.content_id "
        "JOIN embeddings ON item_id = items.id JOIN models ON models.id = model_id AND name = 'abc'"
    )
    with store._reading() as connection:
        return {int(bytes(path)[1:]): number for path, number in connection.exec_driver_sql(query)}


def model_of(store: PostgresStore) -> StoredModel:
    model = store.model()
    assert model is not None
    return model
