"""A library as one file: written while another process indexes, put back, and never searched with another's index."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from older_schema import write_schema
from samples import SAMPLES, five_photos
from scores import score

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryBusyError, MMSearchError, NewerLibraryError, TransferError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.query.model import Query, Words
from mmsearch.store.sqlite.backup import restore
from mmsearch.store.sqlite.schema import HEAD
from mmsearch.types import Progress, Vectors


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Path:
    """A folder with five photos and a library of them, to be copied; no test changes the photos."""
    folder = tmp_path_factory.mktemp("kept")
    own = Settings(library=folder / "library", cache=folder / "cache", batch=4, device="cpu", reranker="none")
    with open_library(own.library, settings=own, encoder=encoder) as library:
        assert library.index(five_photos(folder / "photos")).added == 5
    return folder


@pytest.fixture
def photos(kept: Path) -> Path:
    return kept / "photos"


@pytest.fixture
def library(kept: Path, settings: Settings, encoder: OnnxEncoder) -> Iterator[Library]:
    """Of the five photos."""
    shutil.copytree(kept / "library", settings.library)
    with open_library(settings.library, settings=settings, encoder=encoder) as opened:
        yield opened


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "saved"


def answers(library: Library, text: str = "a cat") -> list[tuple[str, float]]:
    """By cosine alone."""
    hits = library.search(Query((Words(text),), arithmetic=True), 100)
    return [(Path(hit.path).name, score(hit)) for hit in hits]


def stored(database: Path) -> dict[str, Vectors]:
    """File name -> vector, as SQLite itself says."""
    query = (
        "SELECT path, vector FROM photos JOIN items USING (content_id) "
        "JOIN embeddings ON item_id = items.id JOIN models ON models.id = model_id "
        "WHERE state = 'ok' AND active"
    )
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(query).fetchall()
    return {
        os.path.basename(os.fsdecode(path)): np.frombuffer(vector, "<f2").astype(np.float32) for path, vector in rows
    }


def brute_force(vectors: dict[str, Vectors], encoder: OnnxEncoder, text: str = "a cat") -> list[tuple[str, float]]:
    query = encoder.encode_texts([text])[0]
    scored = [(name, float(query @ vector)) for name, vector in vectors.items()]
    return sorted(scored, key=lambda pair: -pair[1])


def assert_same(hits: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> None:
    assert [name for name, _ in hits] == [name for name, _ in wanted]
    np.testing.assert_allclose([score for _, score in hits], [score for _, score in wanted], atol=1e-3)


def test_a_backup_is_one_plain_file_with_all_rows(library: Library, saved: Path) -> None:
    steps: list[Progress] = []
    library.backup(saved, progress=steps.append)
    assert steps[-1].done == steps[-1].total > 0
    assert [file.name for file in saved.parent.iterdir() if "saved" in file.name] == ["saved"]
    dumps = []
    for file in (saved, library.folder / "library.sqlite"):
        with closing(sqlite3.connect(file)) as connection:
            dumps.append(list(connection.iterdump()))
    assert dumps[0] == dumps[1]
    with closing(sqlite3.connect(saved)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_an_existing_file_is_replaced_only_with_force(library: Library, saved: Path) -> None:
    saved.write_text("precious")
    with pytest.raises(TransferError, match="exists already; name another file"):
        library.backup(saved)
    assert saved.read_text() == "precious"
    library.backup(saved, force=True)
    assert stored(saved).keys() == stored(library.folder / "library.sqlite").keys()


def test_a_library_is_no_place_for_its_backup(library: Library, tmp_path: Path) -> None:
    before = answers(library)
    for name in ("library.sqlite", "library.sqlite-wal"):
        with pytest.raises(TransferError, match="is the library itself"):
            library.backup(library.folder / name, force=True)
    with pytest.raises(TransferError, match="is a folder; name a file"):
        library.backup(tmp_path, force=True)
    with pytest.raises(TransferError, match="nowhere/saved cannot be written: there is no folder"):
        library.backup(tmp_path / "nowhere" / "saved")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TransferError, match="is no regular file, and would be replaced by one"):
        library.backup(tmp_path / "pipe", force=True)
    assert (tmp_path / "pipe").is_fifo()
    assert answers(library) == before


def test_names_of_backups_and_exports_may_be_anything(
    library: Library, encoder: OnnxEncoder, settings: Settings, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"a?mode=ro#%20 \xff")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    library.backup(odd / "a?b.db")
    library.export(odd / "files")
    restore(odd / "a?b.db", odd / "one")
    with (
        open_library(odd / "one", settings=settings, encoder=encoder) as one,
        open_library(odd / "two", settings=settings, encoder=encoder) as two,
    ):
        assert two.import_from(odd / "files").added == 5
        assert answers(one) == answers(library) == answers(two)


def test_an_interrupted_backup_leaves_nothing(library: Library, saved: Path) -> None:

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.backup(saved, progress=interrupt)
    assert [file.name for file in saved.parent.iterdir() if "saved" in file.name] == []


def test_a_damaged_library_does_not_replace_a_backup(library: Library, saved: Path) -> None:
    library.backup(saved)
    good = saved.read_bytes()
    library.close()
    spoil(library.folder / "library.sqlite")
    with pytest.raises(TransferError, match=r"library.sqlite (is damaged|cannot be copied)"):
        library.backup(saved, force=True)
    assert saved.read_bytes() == good


def spoil(file: Path) -> None:
    """Garbage in the middle of a database, at the beginning of each page."""
    with file.open("r+b") as opened:
        for page in range(10, file.stat().st_size // 4096):
            opened.seek(page * 4096)
            opened.write(b"\xff" * 64)


@pytest.mark.slow
def test_a_backup_while_another_process_indexes_is_one_state(
    settings: Settings, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    content = (SAMPLES / "rocket.jpg").read_bytes()
    for number in range(60):
        (folder / f"{number}.jpg").write_bytes(content + str(number).encode())
    command = [sys.executable, "-m", "mmsearch.cli", "index", str(folder), "--library", str(settings.library)]
    running = subprocess.Popen(command, env={**os.environ, "MMSEARCH_BATCH": "2"}, stderr=subprocess.DEVNULL)
    sizes: list[int] = []
    try:
        database = settings.library / "library.sqlite"
        while not database.exists() or not count(database):
            assert running.poll() is None
            time.sleep(0.05)
        while running.poll() is None:
            with open_library(settings.library, settings=settings, encoder=encoder) as library:
                library.backup(tmp_path / "saved", force=True)
            with closing(sqlite3.connect(tmp_path / "saved")) as copy:
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                (files,) = copy.execute("SELECT count(*) FROM photos").fetchone()
                (words,) = copy.execute("SELECT count(*) FROM words").fetchone()
            assert files == words == len(stored(tmp_path / "saved"))
            sizes.append(files)
    finally:
        running.kill()
        running.wait()
    assert 0 < sizes[0] < 60
    assert sizes == sorted(sizes)


def count(database: Path) -> int:
    """Photos in it, 0 while it is being made."""
    try:
        with closing(sqlite3.connect(database, timeout=10)) as connection:
            return int(connection.execute("SELECT count(*) FROM photos").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def pictures(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        shutil.copy(SAMPLES / name, folder)
    return folder


@pytest.fixture
def aged(library: Library, photos: Path, saved: Path, tmp_path: Path) -> dict[str, Vectors]:
    """A library of other pictures than its backup: ids of vectors that both have mean different ones.

    Returns what the backup holds.
    """
    library.backup(saved)
    held = stored(saved)
    library.remove([photos / "cat.png"])
    library.index(pictures(tmp_path / "more", "coffee.png", "astronaut.png", "coins.png"))
    assert answers(library)[0][0] != "coffee.png"
    return held


def test_older_backup_over_newer_library_gives_the_older_answers(
    library: Library, encoder: OnnxEncoder, settings: Settings, aged: dict[str, Vectors], saved: Path
) -> None:
    newer = stored(library.folder / "library.sqlite")
    before = answers(library)
    kept = restore(saved, library.folder, force=True)
    assert kept == library.folder / "library.sqlite.before-restore"
    assert stored(library.folder / "library.sqlite").keys() == aged.keys()
    assert stored(kept).keys() == newer.keys()
    # Both for who opens it now, and for who had it open all the while.
    with open_library(settings.library, settings=settings, encoder=encoder) as opened:
        for one in (opened, library):
            for text in ("a cat", "a rocket"):
                assert_same(answers(one, text), brute_force(aged, encoder, text))
    assert answers(library) != before
    with closing(sqlite3.connect(saved)) as old, closing(sqlite3.connect(library.folder / "library.sqlite")) as new:
        query = "SELECT value FROM properties WHERE name = 'identity'"
        assert old.execute(query).fetchone() != new.execute(query).fetchone()


def test_ids_that_are_given_out_again_after_a_restore_mean_the_new_pictures(
    library: Library, encoder: OnnxEncoder, settings: Settings, aged: dict[str, Vectors], saved: Path, tmp_path: Path
) -> None:
    restore(saved, library.folder, force=True)
    report = library.index(pictures(tmp_path / "others", "page.png", "moon.png", "horse.png"))
    assert report.added == 3
    now = stored(library.folder / "library.sqlite")
    with open_library(settings.library, settings=settings, encoder=encoder) as opened:
        for text in ("a horse", "the moon", "a cat"):
            for one in (opened, library):
                assert_same(answers(one, text), brute_force(now, encoder, text))


def test_restore_keeps_every_older_state_beside(library: Library, aged: dict[str, Vectors], saved: Path) -> None:
    newer = stored(library.folder / "library.sqlite")
    assert restore(saved, library.folder, force=True) == library.folder / "library.sqlite.before-restore"
    assert restore(saved, library.folder, force=True) == library.folder / "library.sqlite.before-restore-2"
    assert stored(library.folder / "library.sqlite.before-restore").keys() == newer.keys()


def test_restore_into_a_new_folder_needs_no_force(
    library: Library, encoder: OnnxEncoder, settings: Settings, photos: Path, saved: Path, tmp_path: Path
) -> None:
    library.backup(saved)
    content = saved.read_bytes()
    assert restore(saved, tmp_path / "new" / "library") is None
    assert saved.read_bytes() == content
    assert sorted(file.name for file in (tmp_path / "new" / "library").iterdir()) == ["library.sqlite", "writer.lock"]
    with open_library(tmp_path / "new" / "library", settings=settings, encoder=encoder) as opened:
        assert answers(opened) == answers(library)
        assert (opened.index(photos).unchanged, opened.index(photos).encoded) == (5, 0)


def test_an_empty_library_needs_no_force(
    library: Library, encoder: OnnxEncoder, settings: Settings, aged: dict[str, Vectors], saved: Path, tmp_path: Path
) -> None:
    with open_library(tmp_path / "empty", settings=settings, encoder=encoder) as empty:
        assert restore(saved, empty.folder) is None
        assert_same(answers(empty), brute_force(aged, encoder))
    assert not list((tmp_path / "empty").glob("*before-restore*"))


def test_who_reads_during_a_restore_sees_one_state(library: Library, aged: dict[str, Vectors], saved: Path) -> None:
    newer = stored(library.folder / "library.sqlite")
    assert newer.keys() != aged.keys()
    query = "SELECT path FROM photos WHERE state = 'ok'"
    with closing(sqlite3.connect(library.folder / "library.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute(query).fetchall()
        restore(saved, library.folder, force=True)
        assert reader.execute(query).fetchall() == before
        reader.execute("COMMIT")
        after = {os.path.basename(os.fsdecode(path)) for (path,) in reader.execute(query)}
    assert after == aged.keys()


def test_a_restore_that_is_interrupted_changes_nothing(library: Library, aged: dict[str, Vectors], saved: Path) -> None:
    before = sorted(file.name for file in library.folder.iterdir())
    newer = answers(library)

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(saved, library.folder, force=True, progress=interrupt)
    assert sorted(file.name for file in library.folder.iterdir()) == before
    assert answers(library) == newer


def test_a_library_with_pictures_is_not_replaced_without_force(
    library: Library, aged: dict[str, Vectors], saved: Path
) -> None:
    before = answers(library)
    with pytest.raises(TransferError, match="has pictures already; restore into another one"):
        restore(saved, library.folder)
    assert answers(library) == before


def test_a_library_that_is_written_to_is_not_replaced(library: Library, aged: dict[str, Vectors], saved: Path) -> None:
    with library.lock(), pytest.raises(LibraryBusyError):
        restore(saved, library.folder, force=True)


def test_a_damaged_library_is_set_aside(
    library: Library, encoder: OnnxEncoder, settings: Settings, aged: dict[str, Vectors], saved: Path
) -> None:
    library.close()
    spoil(library.folder / "library.sqlite")
    spoilt = (library.folder / "library.sqlite").read_bytes()
    with pytest.raises(TransferError, match="is damaged; restore into another one"):
        restore(saved, library.folder)
    kept = restore(saved, library.folder, force=True)
    assert kept is not None
    assert kept.read_bytes() == spoilt
    with open_library(settings.library, settings=settings, encoder=encoder) as opened:
        assert_same(answers(opened), brute_force(aged, encoder))


def test_a_backup_of_an_older_version_is_brought_up_to_date(
    settings: Settings, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    old = write_schema(tmp_path / "old", "002")
    restore(old, settings.library)
    with closing(sqlite3.connect(settings.library / "library.sqlite")) as restored:
        assert restored.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("002",)


def sqlite_file(file: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return file


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("absent", TransferError, "no such file"),
        ("folder", TransferError, "is a folder; a backup is a file"),
        ("empty", TransferError, "is the database of another program, or empty"),
        ("text", TransferError, "is no backup"),
        ("other", TransferError, "is the database of another program"),
        ("damaged", TransferError, "is damaged .*; nothing was changed, try an older one"),
        ("cut", TransferError, "is damaged .*; nothing was changed, try an older one"),
        ("newer", NewerLibraryError, r"made by a newer version of mmsearch \(schema '999'\)"),
    ],
)
def test_what_is_no_backup_is_refused(
    library: Library, saved: Path, kind: str, error: type[MMSearchError], message: str
) -> None:
    before = answers(library)
    library.backup(saved)
    if kind == "absent":
        saved.unlink()
    elif kind == "folder":
        saved.unlink()
        saved.mkdir()
    elif kind == "empty":
        saved.write_bytes(b"")
    elif kind == "text":
        saved.write_text("a text, no database\n" * 100)
    elif kind == "other":
        saved.unlink()
        sqlite_file(saved, "CREATE TABLE alembic_version (version_num)", "CREATE TABLE photos (id)")
    elif kind == "damaged":
        spoil(saved)
    elif kind == "cut":
        saved.write_bytes(saved.read_bytes()[: 4096 * 20])
    else:
        sqlite_file(saved, "UPDATE alembic_version SET version_num = '999'")
    with pytest.raises(error, match=message):
        restore(saved, library.folder, force=True)
    assert answers(library) == before
    assert not list(library.folder.glob("*before-restore*"))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")
def test_who_may_not_read_the_library_may_not_read_its_backup(library: Library, saved: Path, tmp_path: Path) -> None:
    for mode in (0o600, 0o640):
        (library.folder / "library.sqlite").chmod(mode)
        seen: list[int] = []

        def look(step: Progress) -> None:
            seen.extend(file.stat().st_mode & 0o777 for file in saved.parent.glob(".saved.*.partial"))  # noqa: B023

        library.backup(saved, force=True, progress=look)
        assert set(seen) == {0o600}  # while it is written, too
        assert saved.stat().st_mode & 0o777 == mode
    assert restore(saved, tmp_path / "again") is None
    assert (tmp_path / "again" / "library.sqlite").stat().st_mode & 0o777 == 0o640
    (library.folder / "library.sqlite").chmod(0o600)
    kept = restore(saved, library.folder, force=True)
    assert kept is not None
    assert kept.stat().st_mode & 0o777 == 0o600


TAMPERED = {  # what somebody did to a backup -> what is said of it
    "CREATE TRIGGER gone AFTER INSERT ON photos BEGIN DELETE FROM photos; END": "its trigger 'gone' is not as mmsearch",
    "CREATE TRIGGER gone AFTER UPDATE ON properties BEGIN DELETE FROM photos; END": "its trigger 'gone' is not as",
    "DROP TRIGGER photos_words; CREATE TRIGGER photos_words AFTER DELETE ON photos BEGIN DELETE FROM photos; END": (
        "its trigger 'photos_words' is not as"
    ),
    "CREATE VIEW seen AS SELECT * FROM photos": "its view 'seen' is not as",
    "ALTER TABLE photos RENAME TO other; CREATE VIEW photos AS SELECT * FROM other": "no backup: it is the database of",
    "ALTER TABLE contents DROP COLUMN camera": "its table 'contents' is not as mmsearch makes it",
    "ALTER TABLE photos ADD COLUMN more TEXT": "its table 'photos' is not as mmsearch makes it",
    "ALTER TABLE photos ADD COLUMN more GENERATED ALWAYS AS (size + 1)": "its table 'photos' is not as",
    "DROP TABLE roots": "its table 'roots' is not as",
    "DROP TABLE words": "its table 'words' is not as|can be used",
    "DROP TABLE properties": "can be used",
    "CREATE TABLE stranger (id)": "its table 'stranger' is not as",
    "CREATE VIRTUAL TABLE stranger USING fts5(a)": "its table 'stranger",
    "DELETE FROM alembic_version": "can be used",
    "UPDATE alembic_version SET version_num = x'00'": "can be used|newer",
    "UPDATE alembic_version SET version_num = '001'": "can be used",
    "UPDATE alembic_version SET version_num = 'zzz'": "newer version",
    "UPDATE models SET fingerprint = '../../../tmp/x'": "has the fingerprint '../../../tmp/x'",
    "UPDATE models SET dim = 'many'": "can be used",
    "UPDATE models SET dim = 1099511627776": "a model of 1099511627776 dimensions",
    "UPDATE models SET name = x'ff'": "name of its table models holds values of another kind",
    "UPDATE contents SET camera = x'ff'": "camera of its table contents holds values of another kind",
    "UPDATE photos SET mtime_ns = 'yesterday'": "mtime_ns of its table photos holds values of another kind",
}


@pytest.mark.parametrize("sql", TAMPERED)
def test_a_backup_that_somebody_changed_is_refused(sql: str, library: Library, saved: Path, tmp_path: Path) -> None:
    library.backup(saved)
    with closing(sqlite3.connect(saved)) as connection:
        connection.executescript(sql)
    before = (library.folder / "library.sqlite").read_bytes()
    with pytest.raises(MMSearchError, match=TAMPERED[sql]):
        restore(saved, tmp_path / "again")
    assert not (tmp_path / "again" / "library.sqlite").exists()
    with pytest.raises(MMSearchError):
        restore(saved, library.folder)
    assert (library.folder / "library.sqlite").read_bytes() == before


def test_what_verify_would_find_in_a_backup_is_mended_before_it_is_put_back(
    library: Library, saved: Path, tmp_path: Path, settings: Settings, encoder: OnnxEncoder,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    library.backup(saved)
    with closing(sqlite3.connect(saved)) as connection, connection:
        connection.execute("UPDATE embeddings SET vector = zeroblob(length(vector)) WHERE id = 1")
        connection.execute("UPDATE properties SET value = '²' WHERE name = 'generation'")
        connection.execute("DELETE FROM roots")
    restore(saved, tmp_path / "again")
    assert "vectors that are not of length 1" in caplog.text
    with open_library(tmp_path / "again", settings=settings, encoder=encoder) as again:
        assert again.verify(deep=True) == []
        assert again.index().encoded == 1
        assert answers(again) == answers(library)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize("read_only", [False, True], ids=["writable", "read-only"])
@pytest.mark.parametrize("name", ["photos.backup", "library.sqlite"])
def test_a_backup_and_what_lies_beside_it_stay_as_they_are(
    name: str, read_only: bool, library: Library, saved: Path, tmp_path: Path
) -> None:
    saved.mkdir()
    library.backup(saved / name)
    for end in ("-wal", "-shm", "-journal"):
        (saved / f"{name}{end}").write_text(f"notes of the owner {end}", "utf-8")
    before = contents(saved)
    if read_only:
        (saved / name).chmod(0o444)
        saved.chmod(0o555)
    try:
        restore(saved / name, tmp_path / "again")
        assert contents(saved) == before
    finally:
        saved.chmod(0o755)
    assert stored(tmp_path / "again" / "library.sqlite").keys() == stored(saved / name).keys()
    assert os.access(tmp_path / "again" / "library.sqlite", os.W_OK)
    assert sorted(file.name for file in (tmp_path / "again").iterdir()) == ["library.sqlite", "writer.lock"]


def test_what_is_not_merged_yet_into_a_library_is_restored_with_it_and_stays(
    library: Library, saved: Path, tmp_path: Path
) -> None:
    """A copy of the files of a library as another process, or a kill, left them: the last changes are in the WAL."""
    saved.mkdir()
    with closing(sqlite3.connect(library.folder / "library.sqlite")) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("UPDATE contents SET rating = 5")
        other.commit()
        for end in ("", "-wal"):
            shutil.copy(f"{library.folder / 'library.sqlite'}{end}", saved / f"photos.backup{end}")
    assert (saved / "photos.backup-wal").stat().st_size
    before = contents(saved)
    restore(saved / "photos.backup", tmp_path / "again")
    assert contents(saved) == before
    with closing(sqlite3.connect(tmp_path / "again" / "library.sqlite")) as again:
        assert again.execute("SELECT DISTINCT rating FROM contents").fetchall() == [(5,)]


def test_a_file_that_its_writer_left_halfway_is_refused_and_stays(
    library: Library, saved: Path, tmp_path: Path
) -> None:
    saved.mkdir()
    library.backup(tmp_path / "whole")
    with closing(sqlite3.connect(tmp_path / "whole", isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")  # so that pages are written before the end
        writer.execute("BEGIN")
        writer.execute("UPDATE embeddings SET vector = zeroblob(length(vector))")
        writer.execute("UPDATE regions SET data = zeroblob(length(data))")
        writer.execute("UPDATE words_data SET block = zeroblob(length(block))")
        for end in ("", "-journal"):
            shutil.copy(f"{tmp_path / 'whole'}{end}", saved / f"photos.backup{end}")
    before = contents(saved)
    with pytest.raises(TransferError, match="was being written when its writer was stopped"):
        restore(saved / "photos.backup", tmp_path / "again")
    assert contents(saved) == before
    assert not (tmp_path / "again" / "library.sqlite").exists()


def test_a_file_that_is_written_to_meanwhile_is_refused(library: Library, saved: Path, tmp_path: Path) -> None:
    library.backup(saved)

    def write(_: Progress) -> None:
        with closing(sqlite3.connect(saved)) as connection, connection:
            connection.execute("UPDATE contents SET rating = coalesce(rating, 0) % 5 + 1")

    with pytest.raises(TransferError, match="was written to while it was read"):
        restore(saved, tmp_path / "again", progress=write)
    assert not (tmp_path / "again" / "library.sqlite").exists()


MISPLACED = {  # what a path was made -> what is said of it
    "UPDATE roots SET path = x''": "folders whose path is none",
    "UPDATE roots SET path = CAST('../x' AS BLOB)": "folders whose path is none .*'../x'",
    "UPDATE roots SET path = CAST('/a/../..' AS BLOB)": "folders whose path is none",
    "UPDATE roots SET path = CAST('//a' AS BLOB)": "folders whose path is none",
    "UPDATE roots SET path = x'2f746d7000'": "folders whose path is none",
    "UPDATE photos SET path = CAST('here.png' AS BLOB) WHERE id = 1": "photos whose path is none .*'here.png'",
    "UPDATE photos SET path = CAST('/' AS BLOB) WHERE id = 1": "photos whose path is none",
    "UPDATE photos SET path = CAST(path || '/../x.png' AS BLOB) WHERE id = 1": "photos whose path is none",
    "UPDATE photos SET path = x'2f746d7000' WHERE id = 2": "photos whose path is none",
    "INSERT INTO exclusions SELECT id, 0, x'2f746d7000' FROM roots": "patterns that no name can meet",
    "INSERT INTO exclusions SELECT id, 0, x'' FROM roots": "patterns that no name can meet",
}


@pytest.mark.parametrize("sql", MISPLACED)
def test_a_backup_with_paths_that_index_never_writes_is_refused(
    sql: str, library: Library, saved: Path, tmp_path: Path
) -> None:
    library.backup(saved)
    sqlite_file(saved, sql)
    with pytest.raises(TransferError, match=MISPLACED[sql]):
        restore(saved, tmp_path / "again")
    assert not (tmp_path / "again" / "library.sqlite").exists()


def test_a_library_of_a_whole_disk_comes_back(library: Library, saved: Path, tmp_path: Path) -> None:
    """``mmsearch index /`` is allowed: nobody needs it often, but who has such a library may restore it."""
    library.backup(saved)
    sqlite_file(saved, "UPDATE roots SET path = CAST('/' AS BLOB)")
    restore(saved, tmp_path / "again")
    with closing(sqlite3.connect(tmp_path / "again" / "library.sqlite")) as again:
        assert again.execute("SELECT path FROM roots").fetchall() == [(b"/",)]


def test_a_library_whose_generation_is_no_number_can_be_replaced(library: Library, saved: Path) -> None:
    library.backup(saved)
    library.close()
    for value in ("²", "nothing", None):
        with closing(sqlite3.connect(library.folder / "library.sqlite")) as connection, connection:
            connection.execute("DELETE FROM properties WHERE name = 'generation'")
            if value is not None:
                connection.execute("INSERT INTO properties VALUES ('generation', ?)", (value,))
        assert restore(saved, library.folder, force=True) is not None
