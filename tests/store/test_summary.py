"""A library in figures, against one made by hand and against plain loops."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np

from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import Summary
from mmsearch.types import Decoded, Exif, Found

CANON = Exif(datetime(2019, 12, 31, 23, 59), "Canon EOS 5D", latitude=48.1, longitude=11.5)
PHONE = Exif(datetime(2024, 1, 1), "Apple iPhone 12")


def noon(year: int) -> int:
    return int(datetime(year, 6, 1, 12).timestamp()) * 10**9


def test_figures_of_a_library(tmp_path: Path) -> None:
    """Only files that can be found count; each copy counts."""
    pictures = {  # path: content, picture, bytes, year last written
        "/a": (b"1", Decoded(np.zeros((1, 1, 3), np.uint8), 4000, 3000, "jpeg", CANON), 100, 2025),
        "/b": (b"2", Decoded(np.zeros((1, 1, 3), np.uint8), 100, 100, "png", Exif()), 20, 2025),
        "/c": (b"3", Decoded(np.zeros((1, 1, 3), np.uint8), 2000, 1000, "jpeg", PHONE), 3, 2025),
        "/gone": (b"4", Decoded(np.zeros((1, 1, 3), np.uint8), 9000, 9000, "tiff", PHONE), 7, 2025),
        "/copy of a": (b"1", Decoded(np.zeros((1, 1, 3), np.uint8), 4000, 3000, "jpeg", CANON), 100, 2024),
        "/copy of b": (b"2", Decoded(np.zeros((1, 1, 3), np.uint8), 100, 100, "png", Exif()), 20, 2023),
    }
    file = tmp_path / "library.sqlite"
    with SqliteStore(file) as store:
        assert store.summary() == Summary({}, {}, 0, {}, 0, None, 0, 0, 0, 0, 0, 0, {})
        with store.writing() as writer:
            model = writer.add_model("m", "abc", 4, active=True)
            for path, (content, picture, size, year) in pictures.items():
                number = writer.put(content, picture, np.ones(4, np.float32), model)
                writer.place(Found(path, size, noon(year)), number)
            for path, reason in (("/x", "truncated"), ("/y", "truncated"), ("/z", "empty")):
                writer.fail(Found(path, 1, 1), reason)
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            ids = dict(connection.execute("SELECT CAST(path AS TEXT), id FROM photos"))
            of = dict(
                connection.execute("SELECT CAST(path AS TEXT), items.id FROM photos JOIN items USING (content_id)")
            )
            connection.execute("UPDATE photos SET state = 'missing' WHERE path = CAST('/gone' AS BLOB)")
            for table, paths in (("ocr", ["/a", "/b", "/gone"]), ("captions", ["/c"])):
                for path in paths:
                    said = "" if path == "/b" else "words"
                    row = (of[path], "x", said, *([0.5] if table == "captions" else []))
                    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
            connection.execute("INSERT INTO tags VALUES (?, 'dog', 'v', 0.5), (?, 'cat', 'v', 0.5)", [of["/a"]] * 2)
            connection.execute("UPDATE contents SET description = 'said' WHERE id IN (?, ?)", [of["/b"], of["/gone"]])
            connection.execute(
                "INSERT INTO sidecars (photo_id, stamp, text) VALUES (?, 's', 'said')", [ids["/copy of b"]]
            )
            connection.execute("INSERT INTO sidecars (photo_id, stamp, text) VALUES (?, 's', 'said')", [ids["/c"]])
            connection.execute("INSERT INTO sidecars (photo_id, stamp, text) VALUES (?, 's', '')", [ids["/a"]])
        assert store.summary() == Summary(
            formats={"jpeg": 3, "png": 2},
            years={2019: 2, 2023: 1, 2024: 1, 2025: 1},
            dated=3,
            cameras={"Canon EOS 5D": 2, "Apple iPhone 12": 1},
            bytes=243,
            megapixels=2.0,  # 0.01, 0.01, 2, 12, 12
            located=2,
            described=3,
            captions=1,
            texts=2,
            tagged=2,
            copies=2,
            reasons={"truncated": 2, "empty": 1},
        )


def test_many_kinds_are_counted_as_plain_loops_count_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = []
    with SqliteStore(tmp_path / "library.sqlite") as store:
        with store.writing() as writer:
            model = writer.add_model("m", "abc", 4, active=True)
            for number in range(300):
                width, height, camera, year, taken, size = rng.integers(
                    [1, 1, 0, 2000, 0, 1], [4000, 4000, 9, 2026, 2, 9]
                )
                date = datetime(int(year), 12, 31, 23) if taken else None
                exif = Exif(date, f"camera {camera}" if camera else None)
                kind = ("jpeg", "png", "webp")[number % 3]
                picture = Decoded(np.zeros((1, 1, 3), np.uint8), int(width), int(height), kind, exif)
                content = writer.put(b"%d" % number, picture, np.ones(4, np.float32), model)
                writer.place(Found(f"/{number}", int(size), noon(int(year) - 1)), content)
                made.append((picture, int(size), int(year) - (0 if taken else 1)))
        found = store.summary()
    cameras = Counter(picture.exif.camera for picture, _, _ in made if picture.exif.camera)
    assert found.formats == {"jpeg": 100, "png": 100, "webp": 100}
    assert found.years == dict(sorted(Counter(year for _, _, year in made).items()))
    assert list(found.years) == sorted(found.years)
    assert list(found.cameras.items()) == sorted(cameras.items(), key=lambda one: (-one[1], one[0]))[:5]
    assert found.bytes == sum(size for _, size, _ in made)
    areas = sorted(picture.width * picture.height for picture, _, _ in made)
    assert found.megapixels == round(areas[149] / 1e6, 2)
    assert found.dated == sum(picture.exif.taken_at is not None for picture, _, _ in made)
