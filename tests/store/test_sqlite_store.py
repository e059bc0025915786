"""The SQLite file: migrations, locks, what is kept and what is swept; see ``test_store_contract.py`` too."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from older_schema import write_schema
from sqlalchemy import create_engine

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import pack, unpack
from mmsearch.errors import LibraryError
from mmsearch.store.sql.tables import metadata
from mmsearch.store.sqlite import new_schema, schema
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import Counts, PendingItem, PendingVector, StoredModel
from mmsearch.types import Decoded, Exif, Found

REGIONS = RegionCard(2, 3, "projection")
PICTURE = Decoded(np.zeros((1, 1, 3), np.uint8), 40, 30, "jpeg", Exif(camera="Canon EOS 5D", latitude=-33.9))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "library.sqlite"


def stored_photo(store: SqliteStore, path: str, content: bytes) -> StoredModel:
    with store.writing() as writer:
        model = store.model() or writer.add_model("m", "abc", 4, active=True)
        vector = np.full(4, len(path), np.float32)
        writer.place(Found(path, 10, 5), writer.put(content, PICTURE, vector, model))
    return model


def test_newest_migration_is_the_head(file: Path) -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert scripts.get_heads() == [schema.HEAD]


def test_a_new_library_has_what_the_migrations_make(file: Path, tmp_path: Path) -> None:
    """Where this fails after a migration was added: ``python -m mmsearch.store.sqlite.new_schema``."""
    SqliteStore(file).close()
    wanted = new_schema.migrated(tmp_path / "migrated.sqlite")
    with contextlib.closing(sqlite3.connect(file)) as new:
        assert new_schema.script(new) == new_schema.FILE.read_text("utf-8") == wanted
        rows = "SELECT name, value FROM properties ORDER BY name"
        with contextlib.closing(sqlite3.connect(tmp_path / "migrated.sqlite")) as migrated:
            (generation, (_, one)), (other_generation, (_, other)) = (each.execute(rows) for each in (new, migrated))
    assert generation == other_generation == ("generation", "0")
    assert len(one) == len(other) == 8
    assert one != other


def test_a_new_library_is_made_without_alembic(tmp_path: Path) -> None:
    script = "import sys; from mmsearch.store.sqlite.store import SqliteStore; from pathlib import Path; "
    script += "SqliteStore(Path('library.sqlite')).close(); sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False).returncode == 0


def test_migrations_make_the_tables_that_the_code_uses(file: Path) -> None:
    SqliteStore(file).close()
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name.split("_")[0] != "words"}  # of FTS5
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()


def test_library_of_the_first_schema_is_upgraded_in_place(file: Path) -> None:
    """Made by that version's own migration, with a photo in it."""
    first = Path(schema.__file__).parent / "migrations" / "versions" / "m001_create_tables.py"
    assert "regions" not in first.read_text("utf-8")
    write_schema(file, "001")
    old = sqlite3.connect(file)
    old.executescript(
        "INSERT INTO models VALUES (1, 'm', 'abc', 4, 1);"
        "INSERT INTO contents (id, hash, width, height, format) VALUES (1, x'31', 40, 30, 'jpeg');"
        "INSERT INTO photos VALUES (1, x'2f61', 'ok', NULL, 10, 5, 1);"
        "INSERT INTO embeddings VALUES (7, 1, 1, x'003c003c003c003c');"
        "UPDATE facts SET value = '3' WHERE name = 'generation'"
    )
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'regions'"
    assert old.execute(tables).fetchall() == []
    old.close()
    with SqliteStore(file) as store:
        model = store.model()
        assert model == StoredModel(1, "m", "abc", 4)
        assert (store.generation(), store.searchable(model).tolist()) == (3, [7])
        np.testing.assert_array_equal(store.vectors(np.array([7]), 4), np.ones((1, 4), np.float32))
        assert store.pending_regions(model, REGIONS, ["/"]) == [PendingItem(1, 1, b"1", (Found("/a", 10, 5),))]
    with sqlite3.connect(file) as now:
        assert now.execute("SELECT version_num FROM alembic_version").fetchall() == [(schema.HEAD,)]
    now.close()


def test_library_of_the_second_schema_keeps_its_tokens(file: Path) -> None:
    write_schema(file, "002")
    old = sqlite3.connect(file)
    old.executescript(
        "INSERT INTO models VALUES (1, 'm', 'abc', 4, 1);"
        "INSERT INTO contents (id, hash, width, height, format) VALUES (1, x'31', 40, 30, 'jpeg');"
        "INSERT INTO photos VALUES (1, x'2f61', 'ok', NULL, 10, 5, 1);"
        "INSERT INTO embeddings VALUES (7, 1, 1, x'003c003c003c003c');"
    )
    old.execute("INSERT INTO regions VALUES (1, 1, ?, ?)", (REGIONS.fingerprint, pack(tokens(1))[0]))
    assert old.execute("SELECT name FROM sqlite_master WHERE name = 'captions'").fetchall() == []
    old.commit()
    old.close()
    with SqliteStore(file) as store:
        model = store.model()
        assert model is not None
        np.testing.assert_array_equal(store.regions(np.array([7]), model, REGIONS)[0], tokens(1))
        assert store.pending_captions(model, REGIONS, "r", ["/"]) == [PendingVector(1, 7, "/a")]
        assert store.photos([7])[7][0].caption is None


def test_settings_of_the_file(file: Path) -> None:
    with SqliteStore(file) as store, store._engine.connect() as connection:
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")]
    assert values == ["wal", 1]


def tokens(*seeds: int) -> np.ndarray:
    """Region tokens as the store keeps them, (n, 4, 3)."""
    drawn = np.stack([np.random.default_rng(seed).standard_normal((4, 3)) for seed in seeds])
    return unpack(pack(drawn.astype(np.float32)), 4, 3)


def test_tokens_of_another_projection_or_model_are_not_used(file: Path) -> None:
    with SqliteStore(file) as store:
        model = stored_photo(store, "/a", b"1")
        generation = store.generation()
        with store.writing() as writer:
            other = writer.add_model("other", "def", 4, active=False)
            writer.put(b"1", PICTURE, np.zeros(4, np.float32), other)
            writer.put_regions(1, pack(tokens(1))[0], model, REGIONS)
            writer.put_regions(1, pack(tokens(2))[0], other, REGIONS)
        ids, newer = store.searchable(model), RegionCard(2, 3, "another projection")
        np.testing.assert_array_equal(store.regions(ids, model, REGIONS)[0], tokens(1))
        found, there = store.regions(ids, model, newer)
        assert there.tolist() == [False]
        assert not found.any()
        assert store.regions(ids, other, REGIONS)[1].tolist() == [False]  # those ids are not of its vectors
        assert [item.content for item in store.pending_regions(model, newer, ["/a"])] == [1]
        assert store.pending_regions(model, REGIONS, ["/a"]) == []
        with store.writing() as writer:
            writer.put_regions(1, pack(tokens(3))[0], model, newer)  # the stale ones give way
        np.testing.assert_array_equal(store.regions(ids, model, newer)[0], tokens(3))
        assert store.regions(ids, model, REGIONS)[1].tolist() == [False]
        assert store.with_regions(model) == 1
        assert store.generation() == generation  # what can be found did not change


def test_damaged_tokens_are_said(file: Path) -> None:
    with SqliteStore(file) as store:
        model = stored_photo(store, "/a", b"1")
        with store.writing() as writer:
            writer.put_regions(1, b"short", model, REGIONS)
        with pytest.raises(LibraryError, match="stored region tokens take 5 bytes where 4 regions of 3 dimensions"):
            store.regions(store.searchable(model), model, REGIONS)


def test_who_lacks_tokens(file: Path) -> None:
    with SqliteStore(file) as store:
        for path, content in (("/b/copy", b"1"), ("/a/x", b"1"), ("/a/y", b"2"), ("/ab", b"3"), ("/a/z", b"4")):
            model = stored_photo(store, path, content)
        with store.writing() as writer:
            writer.fail(Found("/a/z", 1, 1), "broken")  # a picture that cannot be read now
        lacking = {root: store.pending_regions(model, REGIONS, [root]) for root in ("/a", "/b", "/c")}
        assert lacking == {
            "/a": [PendingItem(1, 1, b"1", (Found("/a/x", 10, 5),)), PendingItem(3, 3, b"2", (Found("/a/y", 10, 5),))],
            "/b": [PendingItem(1, 1, b"1", (Found("/b/copy", 10, 5),))],
            "/c": [],
        }
        assert store.pending_regions(model, REGIONS, ["/b", "/a"])[0] == PendingItem(
            1, 1, b"1", (Found("/a/x", 10, 5), Found("/b/copy", 10, 5))
        )
        assert store.pending_regions(model, REGIONS, []) == []


def test_tokens_go_with_their_content_and_model(file: Path) -> None:
    def kept() -> list[tuple[int, int]]:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            return connection.execute("SELECT item_id, model_id FROM regions ORDER BY 1, 2").fetchall()

    with SqliteStore(file) as store:
        model = stored_photo(store, "/a", b"1")
        stored_photo(store, "/b", b"2")
        with store.writing() as writer:
            other = writer.add_model("other", "def", 4, active=False)
            for content in (b"1", b"2"):
                writer.put(content, PICTURE, np.zeros(4, np.float32), other)
            for number, own in ((1, model), (1, other), (2, model), (2, other)):
                writer.put_regions(number, pack(tokens(1))[0], own, REGIONS)
        assert kept() == [(1, 1), (1, 2), (2, 1), (2, 2)]
        with store.writing() as writer:
            writer.remove("/a")
            writer.sweep()
        assert kept() == [(2, 1), (2, 2)]
        with store.writing() as writer:
            writer.activate(other)
            assert writer.prune() == 1
        assert kept() == [(2, 2)]


def test_captions_of_contents(file: Path) -> None:
    """One a content, shown with each of its files, made anew by another reranker; they change no index."""
    with SqliteStore(file) as store:
        for path, content in (("/a/x", b"1"), ("/a/y", b"2"), ("/ab", b"3"), ("/a/z", b"4"), ("/b/copy", b"1")):
            model = stored_photo(store, path, content)
        with store.writing() as writer:
            for number in (1, 2, 4):
                writer.put_regions(number, pack(tokens(number))[0], model, REGIONS)
            writer.fail(Found("/a/z", 1, 1), "broken")  # content 4: a picture that cannot be read now
        generation = store.generation()
        x, y, copy = PendingVector(1, 1, "/a/x"), PendingVector(2, 2, "/a/y"), PendingVector(1, 1, "/b/copy")
        assert store.pending_captions(model, REGIONS, "r", ["/a"]) == [x, y]
        assert store.pending_captions(model, REGIONS, "r", ["/b"]) == [copy]
        assert store.pending_captions(model, REGIONS, "r", ["/"]) == [x, y]
        assert store.pending_captions(model, REGIONS, "r", ["/ab"]) == []  # no tokens
        assert store.pending_captions(model, REGIONS, "r", []) == []
        assert store.pending_captions(model, RegionCard(2, 3, "another"), "r", ["/"]) == []
        with store.writing() as writer:
            writer.put_caption(1, "r", "a cat", 0.5)
            writer.put_caption(4, "r", "a dog", 0.25)
        assert store.pending_captions(model, REGIONS, "r", ["/"]) == [y]
        assert store.pending_captions(model, REGIONS, "another", ["/"]) == [x, y]
        captions = {photo.path: photo.caption for found in store.photos([1, 2, 3]).values() for photo in found}
        assert captions == {"/a/x": "a cat", "/b/copy": "a cat", "/a/y": None, "/ab": None}
        assert store.with_captions() == 2
        with store.writing() as writer:
            writer.put_caption(1, "another", "a tiger", 0.75)
        assert [photo.caption for photo in store.photos([1])[1]] == ["a tiger", "a tiger"]
        assert store.pending_captions(model, REGIONS, "r", ["/"]) == [x, y]
        assert store.generation() == generation  # what can be found did not change
        with store.writing() as writer:
            for path in ("/a", "/b"):
                writer.remove(path)
            writer.sweep()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT * FROM captions").fetchall() == []


def test_a_file_that_is_locked_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SqliteStore(file) as store:
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
            connection.commit()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LibraryError, match="another program holds it locked"), store.writing() as writer:
            writer.add_root("/a")
        other.close()


def test_read_only_library_can_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SqliteStore(file) as store:
        stored_photo(store, "/a", b"1")
    file.chmod(0o444)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write whatever the mode says
    with SqliteStore(file) as store:
        assert store.counts() == Counts(1, 0, 0)
        with pytest.raises(LibraryError, match="may not be written"), store.writing() as writer:
            writer.add_root("/b")
