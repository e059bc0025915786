"""Libraries from before there were items get one item for each content; no vector is written anew."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from older_schema import write_schema

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import pack
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.types import Found

CARD = RegionCard(2, 3, "projection")
TABLES = ("embeddings", "regions", "captions", "ocr", "tags", "tagged")
PHOTOS = 300
OLD = {"contents": 13, "sidecars": 3}  # columns that they had


def before(file: Path, photos: int = PHOTOS, vector: bytes = bytes(1024)) -> None:
    """A library of the fourth schema: 1 photo in 10 is a copy, ids have gaps, and one vector is of nothing."""
    write_schema(file, "004")
    tokens = pack(np.ones((1, 4, 3), np.float32))[0]
    every = [(2 * number, number) for number in range(1, photos + 1)]
    with closing(sqlite3.connect(file)) as base, base:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("INSERT INTO models VALUES (1, 'm', 'abc', 512, 1)")
        content = "INSERT INTO contents (id, hash, width, height, format, facts) VALUES (:own, :own, 4, 3, 'png', 1)"
        named = [{"own": own, "photo": photo, "vector": vector} for own, photo in every]
        base.executemany(content, named)
        path = "CAST('/p/' || :photo || '.png' AS BLOB)"
        base.executemany(f"INSERT INTO photos VALUES (:photo, {path}, 'ok', NULL, 1, 1, :own)", named)
        base.execute("UPDATE photos SET content_id = 2 WHERE id % 10 = 0")
        base.executemany("INSERT INTO embeddings VALUES (:photo + 7, :own, 1, :vector)", named)
        base.execute("INSERT INTO embeddings VALUES (9999, 99999, 1, ?)", (vector,))
        base.executemany("INSERT INTO regions VALUES (?, 1, ?, ?)", [(n, CARD.fingerprint, tokens) for n, _ in every])
        base.executemany("INSERT INTO captions VALUES (?, 'r', 'a cat', 0.5)", [(number,) for number, _ in every])
        base.execute("INSERT INTO ocr VALUES (4, 'e', 'TAXI')")
        base.execute("INSERT INTO tags VALUES (4, 'dog', 'v', 0.5)")
        base.execute("INSERT INTO tagged VALUES (4, 'v')")
        base.execute("INSERT INTO sidecars VALUES (3, 's', 'Rex')")
        base.execute("UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'contents'")
        base.execute("UPDATE facts SET value = '41' WHERE name = 'generation'")


def rows(file: Path) -> dict[str, list[Any]]:
    """All rows but those of ``items``, by the names that tables have now."""
    with closing(sqlite3.connect(file)) as connection:
        names = [*TABLES, "contents", "photos", "models", "sidecars"]  # words are written anew
        found = {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in names}
        for name, columns in OLD.items():  # those of later versions stand behind them, empty
            assert all(set(row[columns:]) <= {None} for row in found[name])
            found[name] = [row[:columns] for row in found[name]]
        own = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        properties = connection.execute(f"SELECT * FROM {'facts' if 'facts' in own else 'properties'}").fetchall()
    return {**found, "properties": sorted(properties)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    before(tmp_path / "library.sqlite")
    return tmp_path / "library.sqlite"


def test_every_row_stays_and_each_content_gets_an_item(file: Path) -> None:
    wanted = rows(file)
    with SqliteStore(file) as store:
        model = store.model()
        assert model is not None
        assert store.generation() == 41
        gone = set(range(20, 2 * PHOTOS + 1, 20))  # contents that no photo has any more
        assert store.searchable(model).tolist() == [n + 7 for n in range(1, PHOTOS + 1) if 2 * n not in gone]
        found = store.photos([9])[9][0]
        assert (found.id, found.caption, found.text, found.tags) == (2, "a cat", "TAXI", ("dog",))
    assert rows(file) == wanted
    with closing(sqlite3.connect(file)) as now:
        items = now.execute("SELECT id, content_id, part, start_ms, end_ms FROM items").fetchall()
        assert items == [(number, number, 0, None, None) for number, *_ in wanted["contents"]]
        parents = {
            table: {row[2] for row in now.execute(f"PRAGMA foreign_key_list({table})")}
            for table in (*TABLES, "items", "photos", "sidecars")
        }
        assert parents == {
            "embeddings": {"items", "models"},
            "regions": {"items", "models"},
            "captions": {"items"},
            "ocr": {"items"},
            "tags": {"items"},
            "tagged": {"items"},
            "items": {"contents"},
            "photos": {"contents"},
            "sidecars": {"photos"},
        }
        counters = dict(now.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        assert counters == {"contents": 5000, "items": 2 * PHOTOS, "photos": PHOTOS, "embeddings": 9999}
        assert now.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert now.execute("SELECT count(*) FROM words WHERE caption = 'a cat'").fetchone()[0] == PHOTOS


def test_foreign_keys_hold_afterwards(file: Path) -> None:
    with SqliteStore(file) as store:
        with store.writing() as writer:
            writer.remove("/p/1.png")
            writer.sweep()
        assert store._engine.connect().exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with closing(sqlite3.connect(file)) as now:
        for table in TABLES[:3]:
            assert now.execute(f"SELECT count(*) FROM {table} WHERE item_id = 2").fetchone() == (1,)  # copies have it
        assert now.execute("SELECT count(*) FROM items WHERE content_id = 20").fetchone() == (0,)
        assert now.execute("SELECT count(*) FROM embeddings WHERE item_id = 20").fetchone() == (0,)
        assert now.execute("SELECT count(*) FROM words WHERE rowid = 1").fetchone() == (0,)


def test_vectors_and_tokens_are_not_written_anew(file: Path) -> None:
    places = "SELECT name, rootpage FROM sqlite_master WHERE name IN ('embeddings', 'regions')"
    with closing(sqlite3.connect(file)) as base:
        size = base.execute("PRAGMA page_size").fetchone()[0]
        roots = dict(base.execute(places))
    old = file.read_bytes()
    SqliteStore(file).close()
    new = file.read_bytes()
    with closing(sqlite3.connect(file)) as now:
        assert (
            dict(now.execute("SELECT name, rootpage FROM sqlite_master WHERE name IN ('embeddings', 'regions')"))
            == roots
        )
    changed = sum(old[at : at + size] != new[at : at + size] for at in range(0, len(old), size))
    assert changed < len(old) / size / 5  # the schema, photos and what lay free


_STOPPED = """
import sqlite3, sys, time
from pathlib import Path
real = sqlite3.connect
def connect(*args, **options):
    connection = real(*args, **options)
    def stop(statement):
        if statement.startswith(sys.argv[2]):
            print("here", flush=True)
            time.sleep(60)
    connection.set_trace_callback(stop)
    return connection
sqlite3.connect = connect
from mmsearch.store.sqlite.store import SqliteStore
SqliteStore(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("statement", ["CREATE TABLE items", "DROP TABLE photos", "UPDATE alembic_version"])
def test_a_process_that_is_killed_leaves_the_library_as_it_was(file: Path, statement: str) -> None:
    wanted = rows(file)
    process = subprocess.Popen([sys.executable, "-c", _STOPPED, file, statement], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    process.kill()
    process.wait()
    process.stdout.close()
    with closing(sqlite3.connect(file)) as left:
        assert left.execute("SELECT version_num FROM alembic_version").fetchone() == ("004",)
    assert rows(file) == wanted
    with SqliteStore(file) as store:
        assert store.counts().photos == PHOTOS
    assert rows(file) == wanted


def test_ids_of_photos_stay_and_are_never_given_twice(file: Path) -> None:
    with SqliteStore(file) as store:
        model = store.model()
        assert model is not None

        def ids(path: str) -> list[int]:
            vector = store.vector_of(path, model)
            assert vector is not None
            return [photo.id for photo in store.photos([vector])[vector] if photo.path == path]

        assert ids("/p/300.png") == [300]
        with store.writing() as writer:
            writer.move(299, Found("/q/moved.png", 1, 1))
            writer.touch(298, Found("/p/298.png", 1, 2))
        assert (ids("/q/moved.png"), ids("/p/298.png")) == ([299], [298])
        with store.writing() as writer:
            writer.remove("/p/300.png")
            writer.place(Found("/p/new.png", 1, 1), 2)
        assert ids("/p/new.png") == [301]
