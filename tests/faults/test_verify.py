"""``verify`` finds damage of every kind, ``repair`` mends it, and afterwards the library answers as it did before."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from samples import CLI, SAMPLES

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.indexes import autotune, policy
from mmsearch.indexes import index as stored_index
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

Injure = Callable[[Path, sqlite3.Connection], None]


def sql(*statements: str) -> Injure:
    def injure(_: Path, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            connection.execute(statement)

    return injure


def vector_of_nothing(_: Path, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(
        "INSERT INTO embeddings (item_id, model_id, vector) SELECT 999, model_id, vector FROM embeddings LIMIT 1"
    )


def vector_of_zeros(_: Path, connection: sqlite3.Connection) -> None:
    (length,) = connection.execute("SELECT length(vector) FROM embeddings").fetchone()
    connection.execute("UPDATE embeddings SET vector = ? WHERE id = 2", (bytes(length),))


def vector_that_is_not_finite(_: Path, connection: sqlite3.Connection) -> None:
    (vector,) = connection.execute("SELECT vector FROM embeddings WHERE id = 3").fetchone()
    connection.execute("UPDATE embeddings SET vector = ? WHERE id = 3", (b"\xff\x7f" + vector[2:],))


def words_lost_their_index(_: Path, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE words_data SET block = x'00' WHERE id > 10")


def rows(folder: Path) -> Path:
    (file,) = (folder / "index").glob("rows-*.f16")
    return file


def row_of_the_index(folder: Path, _: sqlite3.Connection) -> None:
    with rows(folder).open("r+b") as opened:
        opened.seek(40)
        opened.write(b"\x01\x02")


def cut_index(folder: Path, _: sqlite3.Connection) -> None:
    with rows(folder).open("r+b") as opened:
        opened.truncate(100)


def lost_rows(folder: Path, _: sqlite3.Connection) -> None:
    rows(folder).unlink()


def index_of_another_library(folder: Path, _: sqlite3.Connection) -> None:
    (file,) = (folder / "index").glob("rows-*.ids")
    file.write_bytes(np.arange(100, 105).astype("<i8").tobytes())


def index_that_is_no_json(folder: Path, _: sqlite3.Connection) -> None:
    (file,) = (folder / "index").glob("*.json")
    file.write_text("{", "utf-8")


def index_from_the_future(_: Path, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE properties SET value = '1' WHERE name = 'generation'")


def background(folder: Path, _: sqlite3.Connection) -> None:
    (file,) = folder.glob("background-*.npy")
    file.write_bytes(file.read_bytes()[:1000])


def changed_photo(folder: Path, _: sqlite3.Connection) -> None:
    """A bit turns over on the disk: no time tells."""
    file = folder.parent / "photos" / "trips" / "rocket.jpg"
    time, content = file.stat().st_mtime_ns, bytearray(file.read_bytes())
    content[-200] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(time, time))


DAMAGES: dict[str, tuple[str, Injure]] = {
    "vector of nothing": ("stray embeddings", vector_of_nothing),
    "vector of no model": ("stray embeddings", sql("UPDATE embeddings SET model_id = 99 WHERE id = 1")),
    "tokens of nothing": ("stray regions", sql("UPDATE regions SET item_id = 99 WHERE item_id = 1")),
    "cut tokens": ("wrong tokens", sql("UPDATE regions SET data = substr(data, 1, 50) WHERE item_id = 2")),
    "caption of nothing": ("stray captions", sql("INSERT INTO captions VALUES (99, 'x', 'a dog', 0.5)")),
    "sure caption": ("wrong caption", sql("INSERT INTO captions VALUES (1, 'x', 'a dog', 1.5)")),
    "tag of nothing": ("stray tags", sql("INSERT INTO tags VALUES (99, 'dog', 'x', 0.5)")),
    "sure tag": ("wrong tag", sql("INSERT INTO tags VALUES (1, 'dog', 'x', 7)")),
    "own tag of nothing": ("stray own_tags", sql("INSERT INTO own_tags VALUES (99, 'x', 'x')")),
    "own tag that is none": ("wrong own tag", sql("INSERT INTO own_tags VALUES (1, 'a,b', 'a,b')")),
    "own tag that is not found": ("wrong own tag", sql("INSERT INTO own_tags VALUES (1, 'Dog', 'Dog')")),
    "text of nothing": ("stray ocr", sql("INSERT INTO ocr VALUES (99, 'x', 'hello')")),
    "sidecar of nothing": (
        "stray sidecars",
        sql("INSERT INTO sidecars (photo_id, stamp, text) VALUES (99, 'x', 'hello')"),
    ),
    "sidecar of nowhere": (
        "wrong facts beside",
        sql("INSERT INTO sidecars (photo_id, stamp, text, latitude) VALUES (1, 'x', '', 12)"),
    ),
    "impossible date beside": (
        "wrong date",
        sql("INSERT INTO sidecars (photo_id, stamp, text, later_taken_at) VALUES (1, 'x', '', 'soon')"),
    ),
    "impossible rating": ("wrong facts", sql("UPDATE contents SET rating = 11 WHERE id = 2")),
    "impossible exposure": ("wrong facts", sql("UPDATE contents SET exposure = 0 WHERE id = 2")),
    "cut vector": ("wrong vector", sql("UPDATE embeddings SET vector = substr(vector, 1, 10) WHERE id = 1")),
    "zeros": ("wrong vector values", vector_of_zeros),
    "not finite": ("wrong vector values", vector_that_is_not_finite),
    "item of nothing": ("stray items", sql("INSERT INTO items (content_id, part) VALUES (99, 0)")),
    "lost items": ("no vector", sql("DELETE FROM items WHERE id <= 2")),
    "item before its time": ("wrong item", sql("UPDATE items SET start_ms = 5, end_ms = 3 WHERE id = 1")),
    "item without an end": ("wrong item", sql("UPDATE items SET start_ms = 5 WHERE id = 2")),
    "no vector": ("no vector", sql("DELETE FROM embeddings WHERE id = 2")),
    "lost content": ("lost content", sql("DELETE FROM contents WHERE id = 3")),
    "no content": ("no vector", sql("UPDATE photos SET content_id = NULL WHERE id = 4")),
    "unknown state": ("wrong state", sql("UPDATE photos SET state = 'odd' WHERE id = 1")),
    "no hash": ("wrong hash", sql("UPDATE contents SET hash = x'00' WHERE id = 1")),
    "no width": ("wrong size", sql("UPDATE contents SET width = 0 WHERE id = 2")),
    "impossible place": ("wrong facts", sql("UPDATE contents SET latitude = 200, longitude = 3 WHERE id = 2")),
    "impossible date": ("wrong date", sql("UPDATE contents SET taken_at = '2024-13-45' WHERE id = 2")),
    "no path": ("no path", sql("UPDATE photos SET path = x'' WHERE id = 5")),
    "relative path": ("no path", sql("UPDATE photos SET path = CAST('here.png' AS BLOB) WHERE id = 5")),
    "path that leads back": ("no path", sql("UPDATE photos SET path = CAST(path || '/../x' AS BLOB) WHERE id = 5")),
    "path with a zero byte": ("no path", sql("UPDATE photos SET path = x'2f746d7000' WHERE id = 5")),
    "path of the disk itself": ("no path", sql("UPDATE photos SET path = x'2f' WHERE id = 5")),
    "relative folder": ("wrong root", sql("UPDATE roots SET path = CAST('../x' AS BLOB)")),
    "folder without a name": ("wrong root", sql("INSERT INTO roots (path) VALUES (x'')")),
    "folder with a zero byte": ("wrong root", sql("INSERT INTO roots (path) VALUES (x'2f746d7000')")),
    "pattern with a zero byte": ("wrong pattern", sql("INSERT INTO exclusions SELECT id, 0, x'2f7800' FROM roots")),
    "pattern of nothing": ("stray exclusions", sql("INSERT INTO exclusions VALUES (99, 0, x'2a')")),
    "no root": ("no root", sql("DELETE FROM roots")),
    "no identity": ("no identity", sql("DELETE FROM properties WHERE name = 'identity'")),
    "odd generation": ("no identity", sql("UPDATE properties SET value = 'many' WHERE name = 'generation'")),
    "no active model": ("no model", sql("UPDATE models SET active = 0")),
    "two active models": ("no model", sql("INSERT INTO models VALUES (7, 'other', 'f', 512, 1)")),
    "ids used twice": ("used ids", sql("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'embeddings'")),
    "photo ids used twice": ("used ids", sql("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'photos'")),
    "words of nothing": ("words", sql("INSERT INTO words (rowid, name) VALUES (77, 'dog')")),
    "no words": ("words", sql("DELETE FROM words WHERE rowid = 1")),
    "other words": ("words", sql("UPDATE words SET name = 'zebra' WHERE rowid = 1")),
    "words without index": ("words", words_lost_their_index),
    "row of the index": ("index", row_of_the_index),
    "cut index": ("index", cut_index),
    "lost rows": ("index", lost_rows),
    "index of another library": ("index", index_of_another_library),
    "index that is no JSON": ("index", index_that_is_no_json),
    "index from the future": ("index", index_from_the_future),
    "cut background": ("background", background),
    "changed photo": ("changed files", changed_photo),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, region_encoder: OnnxEncoder) -> Path:
    """A library of five photos with region tokens, and the photos beside it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "photos" / "trips").mkdir(parents=True)
    for name in ("chelsea.png", "camera.png", "grass.png", "trips/motorcycle_left.png", "trips/rocket.jpg"):
        shutil.copy(SAMPLES / Path(name).name, folder / "photos" / name)
    with open_library(folder / "library", settings=settings_in(folder), encoder=region_encoder) as library:
        library.index(folder / "photos")
    return folder


def settings_in(folder: Path) -> Settings:
    own = Settings(library=folder / "library", cache=folder / "cache")
    return replace(own, batch=2, device="cpu", reranker="none")


@dataclass(frozen=True)
class Copies:
    """Where each test finds its own copy of the library and its photos, and what searches in it answer."""

    folder: Path
    answers: dict[str, list[str]]


@pytest.fixture(scope="module")
def copies(whole: Path, tmp_path_factory: pytest.TempPathFactory, region_encoder: OnnxEncoder) -> Copies:
    """All copies are at one place, so that the paths in ``whole`` are moved there once."""
    folder = tmp_path_factory.mktemp("copies") / "copy"
    with sqlite3.connect(whole / "library" / "library.sqlite") as connection:
        before, after = (bytes(place) for place in (whole, folder))
        for table in ("photos", "roots"):
            for number, path in connection.execute(f"SELECT id, path FROM {table}").fetchall():
                moved = after + path[len(before) :]
                connection.execute(f"UPDATE {table} SET path = ? WHERE id = ?", (moved, number))
    connection.close()
    shutil.copytree(whole, folder)
    with open_library(folder / "library", settings=settings_in(folder), encoder=region_encoder) as library:
        library.repair(deep=True)  # the copy has other names
        assert library.verify(deep=True) == []
        found = answers(library)
        assert library.status().photos == 5
    shutil.rmtree(whole / "library")
    shutil.copytree(folder / "library", whole / "library")
    return Copies(folder, found)


@pytest.fixture
def injured(whole: Path, copies: Copies) -> Path:
    """A copy of the library, whose photos are a copy too."""
    shutil.rmtree(copies.folder, ignore_errors=True)
    shutil.copytree(whole, copies.folder)
    return copies.folder


def answers(library: Library) -> dict[str, list[str]]:
    queries = ("a cat", "a man with a camera", "grass", "a rocket", "motorcycle")
    return {query: [Path(hit.path).name for hit in library.search(query, k=5)] for query in queries}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_mended(name: str, injured: Path, copies: Copies, region_encoder: OnnxEncoder) -> None:
    kind, injure = DAMAGES[name]
    with sqlite3.connect(injured / "library" / "library.sqlite") as connection:
        injure(injured / "library", connection)
    connection.close()
    with open_library(injured / "library", settings=settings_in(injured), encoder=region_encoder) as library:
        assert kind in {damage.kind for damage in library.verify(deep=True)}
        done = library.repair(deep=True)
        assert done.left == ()
        assert kind in {damage.kind for damage in done.mended}
        report = library.index(injured / "photos")
        assert report.skipped == ()
        assert library.verify(deep=True) == []
        assert library.repair(deep=True).mended == ()
        assert answers(library) == copies.answers
        status = library.status()
        assert (status.photos, status.regions) == (5, 5)


def test_an_approximate_index_that_has_changed_is_found(
    tmp_path: Path, region_encoder: OnnxEncoder, injured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (stored_index, policy):
        monkeypatch.setattr(module, "FEW", 3)
    monkeypatch.setattr(autotune, "DEPTHS", (1,))
    rows(injured / "library").unlink()  # so that it is made anew
    with open_library(injured / "library", settings=settings_in(injured), encoder=region_encoder) as library:
        library.repair(deep=True)
        assert library.status().index_kind == "ivf-rabitq"
        assert library.verify(deep=True) == []
        (file,) = (injured / "library" / "index").glob("likely-*")
        content = bytearray(file.read_bytes())
        content[-30] ^= 4
        file.write_bytes(content)
        (damage,) = library.verify(deep=True)
        assert damage.kind == "index"
        assert library.repair(deep=True).left == ()
        assert library.verify(deep=True) == []


def test_what_cannot_be_mended_is_said(injured: Path, region_encoder: OnnxEncoder) -> None:
    file = injured / "library" / "library.sqlite"
    with sqlite3.connect(file) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'regions'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with file.open("r+b") as opened:
        opened.seek((page - 1) * size)
        opened.write(b"\xff" * 200)
    with open_library(injured / "library", settings=settings_in(injured), encoder=region_encoder) as library:
        (damage,) = library.verify()
        assert (damage.kind, damage.mendable) == ("database", False)
        assert damage.remedy == "put a backup in its place, or remove the library's folder and index again"


def test_a_name_that_is_no_utf8_is_no_damage(whole: Path, tmp_path: Path, region_encoder: OnnxEncoder) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(SAMPLES / "grass.png", os.fsdecode(os.fsencode(tmp_path / "photos") + b"/gr\xff\xfes.png"))
    with open_library(tmp_path / "library", settings=settings_in(tmp_path), encoder=region_encoder) as library:
        assert library.index(tmp_path / "photos").added == 1
        assert library.verify() == []
        assert library.repair().mended == ()


def test_files_that_changed_or_went_are_no_damage(injured: Path, region_encoder: OnnxEncoder) -> None:
    with open_library(injured / "library", settings=settings_in(injured), encoder=region_encoder) as library:
        assert library.verify(deep=True) == []
        (injured / "photos" / "grass.png").unlink()
        (injured / "photos" / "chelsea.png").write_bytes(b"other")
        assert library.verify(deep=True) == []


def test_the_command_line(mmsearch: CLI, mmsearch_process: CLI, photos: Path, tmp_path: Path) -> None:
    """In processes: two of these commands as people start them."""
    library = tmp_path / "library"
    mmsearch("index", photos, "--library", library, "--no-regions")
    assert mmsearch("verify", "--library", library).stdout == "all is well: 5 photos\n"
    assert json.loads(mmsearch("verify", "--deep", "--json", "--library", library).stdout) == {
        "ok": True, "photos": 5, "damages": [],
    }  # fmt: skip
    with sqlite3.connect(library / "library.sqlite") as connection:
        connection.execute("DELETE FROM embeddings WHERE id = 1")
    connection.close()
    found = json.loads(mmsearch("verify", "--json", "--library", library, check=1).stdout)
    assert found["ok"] is False
    assert found["damages"][0]["kind"] == "no vector"
    told = mmsearch_process("verify", "--library", library, check=1)
    assert "photos that cannot be found, because they have no vector" in told.stdout
    assert told.stderr == "mend it with: mmsearch repair\n"
    deep = mmsearch("verify", "--deep", "--library", library, check=1)  # what only it finds, only --deep mends
    assert deep.stderr.endswith("mend it with: mmsearch repair --deep\n")
    assert "mended: 1 photos that cannot be found" in mmsearch_process("repair", "--library", library).stdout
    assert mmsearch_process("repair", "--library", library).stdout == "nothing is wrong\n"
    assert mmsearch("verify", "--library", library).returncode == 0
    assert "1" in mmsearch("index", "--library", library, "--no-regions").stderr
    assert len(mmsearch("query", "photo", "-k", "9", "--paths", "--library", library).stdout.splitlines()) == 5
