"""What ``Store.photos`` tells about a picture beyond its file: descriptions, read text, tags."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import numpy as np

from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.types import Decoded, Exif, Found

PICTURE = Decoded(np.zeros((1, 1, 3), np.uint8), 40, 30, "jpeg", Exif())


def test_words_of_photos_come_with_them(tmp_path: Path) -> None:
    """Those of a content with each of its files, those beside a file with that file only; the surest tag first."""
    file = tmp_path / "library.sqlite"
    with SqliteStore(file) as store, store.writing() as writer:
        model = writer.add_model("m", "abc", 4, active=True)
        for path, content in (("/a", b"1"), ("/c", b"2"), ("/d", b"3"), ("/b", b"1")):
            writer.place(Found(path, 10, 5), writer.put(content, PICTURE, np.ones(4, np.float32), model))
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(
            "UPDATE contents SET description = 'At the lake' WHERE id = 1;"
            "INSERT INTO sidecars (photo_id, stamp, text) VALUES"
            " (4, 's', 'Our last day'), (2, 's', 'Paul''s \"new\" car'), (3, 's', '');"
            "INSERT INTO ocr VALUES (2, 'e', 'TAXI' || char(10) || '4711'), (3, 'e', '');"
            "INSERT INTO tags VALUES (1, 'water', 'v', 0.25), (1, 'a \"quoted\" tag', 'v', 0.75), (1, 'sky', 'v', 0.25)"
        )
    with SqliteStore(file) as store:
        found = {photo.path: photo for photos in store.photos([1, 2, 3]).values() for photo in photos}
    tags = ('a "quoted" tag', "sky", "water")
    assert {path: (photo.description, photo.text, photo.tags) for path, photo in found.items()} == {
        "/a": ("At the lake", None, tags),
        "/b": ("At the lake\nOur last day", None, tags),
        "/c": ('Paul\'s "new" car', "TAXI\n4711", ()),
        "/d": (None, None, ()),
    }
