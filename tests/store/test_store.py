"""The SQLite file: migrations, transactions, what is kept and what is swept."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from mmsearch.errors import LibraryError
from mmsearch.records import Decoded, Exif, Found, Photo
from mmsearch.store import schema
from mmsearch.store.store import Counts, Store, StoredModel
from mmsearch.store.tables import metadata

PICTURE = Decoded(np.zeros((1, 1, 3), np.uint8), 40, 30, "jpeg", Exif(camera="Canon EOS 5D", latitude=-33.9))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "library.sqlite"


def stored_photo(store: Store, path: str, content: bytes) -> StoredModel:
    with store.writing() as writer:
        model = store.model() or writer.add_model("m", "abc", 4, active=True)
        vector = np.full(4, len(path), np.float32)
        writer.place(Found(path, 10, 5), writer.put(content, PICTURE, vector, model))
    return model


def test_newest_migration_is_the_head(file: Path) -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert scripts.get_heads() == [schema.HEAD]


def test_migrations_make_the_tables_that_the_code_uses(file: Path) -> None:
    Store(file).close()
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_settings_of_the_file(file: Path) -> None:
    with Store(file) as store, store._engine.connect() as connection:
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")]
    assert values == ["wal", 1]


def test_a_failed_transaction_leaves_nothing(file: Path) -> None:
    with Store(file) as store:
        model = stored_photo(store, "/a", b"1")
        with contextlib.suppress(ZeroDivisionError), store.writing() as writer:
            writer.place(Found("/b", 1, 1), writer.put(b"2", PICTURE, np.zeros(4, np.float32), model))
            raise ZeroDivisionError
        assert (store.counts(), store.generation()) == (Counts(1, 0, 0), 1)
        assert list(store.contents(model)) == [b"1"]


def test_what_is_stored_comes_back(file: Path) -> None:
    with Store(file) as store:
        model = stored_photo(store, "/a/b\udcff", b"1")
    with Store(file) as store:
        assert store.model() == model == StoredModel(1, "m", "abc", 4)
        (number,) = store.searchable(model).tolist()
        np.testing.assert_array_equal(store.vectors(np.array([number]), 4), np.full((1, 4), 5, np.float32))
        photo = Photo("/a/b\udcff", 40, 30, "jpeg", 10, 5, PICTURE.exif)
        assert store.photos([number, 99]) == {number: [photo]}
        with pytest.raises(KeyError):
            store.vectors(np.array([99]), 4)


def test_more_ids_than_one_statement_takes(file: Path) -> None:
    with Store(file) as store:
        with store.writing() as writer:
            model = writer.add_model("m", "abc", 4, active=True)
            for number in range(1200):
                content = writer.put(b"%d" % number, PICTURE, np.full(4, number, np.float32), model)
                writer.place(Found(f"/{number}", 1, 1), content)
        ids = store.searchable(model)
        assert store.vectors(ids[::-1], 4)[:, 0].tolist() == list(range(1199, -1, -1))
        assert len(store.photos(ids.tolist())) == 1200


def test_ids_are_never_used_twice(file: Path) -> None:
    with Store(file) as store:
        model = stored_photo(store, "/a", b"1")
        first = store.searchable(model).tolist()
        with store.writing() as writer:
            writer.remove("/a")
            writer.sweep()
        stored_photo(store, "/a", b"1")
        assert store.searchable(model).tolist() == [first[0] + 1]


def test_contents_without_a_file_are_swept(file: Path) -> None:
    with Store(file) as store:
        model = stored_photo(store, "/a", b"1")
        stored_photo(store, "/a", b"2")
        assert sorted(store.contents(model)) == [b"1", b"2"]
        with store.writing() as writer:
            writer.fail(Found("/a", 0, 0), "broken")
            writer.sweep()
        assert sorted(store.contents(model)) == [b"2"]  # what a broken file was is remembered


def test_every_named_folder_is_remembered_once(file: Path) -> None:
    with Store(file) as store:
        for path in ("/a/b", "/a", "/a/b"):
            with store.writing() as writer:
                writer.add_root(path)
        assert store.roots() == ["/a", "/a/b"]


def test_a_file_that_is_locked_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(file) as store:
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
            connection.commit()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LibraryError, match="another program holds it locked"), store.writing() as writer:
            writer.add_root("/a")
        other.close()


def test_read_only_library_can_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(file) as store:
        stored_photo(store, "/a", b"1")
    file.chmod(0o444)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write whatever the mode says
    with Store(file) as store:
        assert store.counts() == Counts(1, 0, 0)
        with pytest.raises(LibraryError, match="may not be written"), store.writing() as writer:
            writer.add_root("/b")
