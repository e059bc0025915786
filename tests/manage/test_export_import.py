"""What a library knows as plain files and back: to the last bit, whatever the names; and vectors of other programs."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import SAMPLES
from scores import score as score_of

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelMismatchError, NoModelError, TransferError
from mmsearch.library.library import Library
from mmsearch.library.models import Models
from mmsearch.library.opening import open_library
from mmsearch.manage.exchange import ADDED, COLUMNS, guarded, unguarded
from mmsearch.media.decode import decode
from mmsearch.query.model import Query, Words
from mmsearch.types import Progress, Skipped, Vectors

ODD = [b"two\nlines.png", b"caf\xe9.png", "\N{CAT FACE}.png".encode(), b"=1+1.png", b"' -x,\".png"]
XMP = (
    '<r xmlns:e="http://ns.adobe.com/exif/1.0/" xmlns:p="http://ns.adobe.com/photoshop/1.0/" xmlns:x='
    '"http://ns.adobe.com/xap/1.0/" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" x:Rating="4" x:Label="Red" '
    'p:City="=Łódź" i:PersonInImage="Bob, jr." e:GPSLatitude="1,15S" e:GPSLongitude="2,30E" '
    'p:DateCreated="1985-07-14T12:00:00Z"/>'
)

NUMBERS = ("latitude", "longitude", "mtime_ns", "rating")  # columns whose values may be below 0


@pytest.fixture
def rich(library: Library, photos: Path) -> Path:
    """Photos with odd names, a copy, and something of every kind that a library can know; the folder."""
    (photos / "cat.txt").write_text('=HYPERLINK("x") a cat named Ätna, sitting\n', "utf-8")
    (photos / "cat.xmp").write_text(XMP, "utf-8")
    (photos / "cat.png.json").write_text('{"photoTakenTime": {"timestamp": "1478174685"}}', "utf-8")
    shutil.copy(photos / "cat.png", photos / "copy.png")
    samples = ["coffee.png", "astronaut.png", "coins.png", "page.png", "moon.png"]
    for name, sample in zip(ODD, samples, strict=True):
        try:
            shutil.copy(os.fsencode(SAMPLES / sample), os.fsencode(photos) + b"/" + name)
        except OSError:
            pytest.skip("this file system wants UTF-8 names")
    library.index(photos)
    stored = library.store.model()
    assert stored is not None
    contents = sorted(library.store.contents(stored).values())
    with library.store.writing() as writer:
        writer.put_caption(contents[0], "a reranker", '@SUM(1) said "miaow",\r\nthen left', 0.1 + 0.2)
        writer.put_text(contents[1], "an engine 1.0", "-1 read\there")
        writer.put_text(contents[2], "an engine 1.0", "")
        ids = [one.id for _, one in sorted(library.store.files(str(photos), stored).items())]
        writer.change_own_tags(ids[:2], ["=Ætna", "two words"], [])
        writer.change_own_tags(ids[1:3], ['"quoted"'], [])
        writer.put_tags("a vocabulary", {contents[0]: {"cat": 0.9, "=animal": 0.95}, contents[3]: {}})
    with closing(sqlite3.connect(library.folder / "library.sqlite")) as connection, connection:
        values = (
            "2024-05-06T07:08:09", "A camera", "'quoted", -33.8688197, 151.2092955, "Köln", "Cid\nDora", -1,
            "Red, Blue", 400, 2.8, 0.333333, 50.0,
        )  # fmt: skip
        connection.execute(
            "UPDATE contents SET taken_at = ?, camera = ?, lens = ?, latitude = ?, longitude = ?, city = ?, "
            "people = ?, rating = ?, label = ?, iso = ?, aperture = ?, exposure = ?, focal = ? WHERE id = ?",
            (*values, contents[4]),
        )
    return photos


@pytest.fixture
def other(tmp_path: Path, settings: Settings, encoder: OnnxEncoder) -> Iterator[Library]:
    with open_library(tmp_path / "other", settings=settings, encoder=encoder) as opened:
        yield opened


OF_ITEM = "JOIN items ON items.id = item_id JOIN contents ON contents.id = content_id"


def everything(library: Library) -> dict[str, list[Any]]:
    """All that SQLite holds, without the ids, which may differ."""
    queries = {
        "models": "SELECT name, fingerprint, dim, active FROM models",
        "roots": "SELECT path FROM roots",
        "photos": "SELECT path, state, reason, size, mtime_ns, hash FROM photos "
        "JOIN contents ON contents.id = content_id",
        "contents": "SELECT hash, width, height, format, taken_at, camera, lens, latitude, longitude, description, "
        "city, people, rating, label, iso, aperture, exposure, focal, dhash, metadata_version FROM contents",
        "vectors": "SELECT hash, vector FROM embeddings " + OF_ITEM,
        "regions": "SELECT hash, fingerprint, data FROM regions " + OF_ITEM,
        "captions": "SELECT hash, reranker, text, confidence FROM captions " + OF_ITEM,
        "ocr": "SELECT hash, engine, text FROM ocr " + OF_ITEM,
        "tags": "SELECT hash, tag, vocabulary, score FROM tags " + OF_ITEM,
        "tagged": "SELECT hash, vocabulary FROM tagged " + OF_ITEM,
        "own tags": "SELECT path, folded, tag FROM own_tags JOIN photos ON photos.id = photo_id",
        "sidecars": "SELECT path, stamp, text, taken_at, latitude, longitude, city, people, rating, label, "
        "later_taken_at, later_latitude, later_longitude FROM sidecars JOIN photos ON photos.id = photo_id",
        "words": "SELECT path, name, description, caption, ocr, tags FROM words JOIN photos ON photos.id = words.rowid",
    }
    with closing(sqlite3.connect(library.folder / "library.sqlite")) as connection:
        return {name: sorted(connection.execute(query).fetchall(), key=repr) for name, query in queries.items()}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "photos.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_export_comes_back_to_the_last_bit(library: Library, other: Library, rich: Path, tmp_path: Path) -> None:
    report = library.export(tmp_path / "export")
    assert (report.files, report.vectors) == (11, 10)
    done = other.import_from(tmp_path / "export")
    assert (done.added, done.known, done.skipped, done.model) == (11, 0, (), "embedded")
    before = everything(library)
    [beside] = before["sidecars"]
    assert beside[3:] == (
        "1985-07-14T12:00:00+00:00", -1.25, 2.5, "=Łódź", "Bob, jr.", 4, "Red", "2016-11-03T12:04:45+00:00",
        None, None,
    )  # fmt: skip
    assert {name: len(rows) for name, rows in before.items()} == {
        "models": 1, "roots": 1, "photos": 11, "contents": 10, "vectors": 10, "regions": 10, "captions": 1, "ocr": 2,
        "tags": 2, "tagged": 2, "own tags": 6, "sidecars": 1, "words": 11,
    }  # fmt: skip
    assert everything(other) == before


def test_an_imported_library_gives_the_same_hits_and_has_nothing_to_read(
    library: Library, other: Library, rich: Path, tmp_path: Path
) -> None:
    library.export(tmp_path / "export")
    other.import_from(tmp_path / "export")
    own = replace(library.settings, reranker="auto")
    for one in (library, other):
        one.models = Models(one.store, one.folder, own, one.models.override)
    for query in ("a cat", "Ätna", "tag:cat", "miaow", "cup of coffee", "a man with a camera", "date:2024"):
        hits = library.search(query, 20)
        assert hits
        assert other.search(query, 20) == hits
    report = other.index()
    assert (report.unchanged, report.encoded, report.regions, report.facts, report.sidecars) == (11, 0, 0, 0, 0)
    assert report.added == report.updated == report.moved == report.restored == report.removed == 0


def test_an_export_can_be_read_without_mmsearch(library: Library, rich: Path, tmp_path: Path) -> None:
    library.export(tmp_path / "export")
    vectors = np.load(tmp_path / "export" / "vectors.npy")
    assert (vectors.shape, vectors.dtype) == ((10, 512), np.float16)
    rows = table(tmp_path / "export")
    assert list(rows[0]) == list(COLUMNS)
    with closing(sqlite3.connect(library.folder / "library.sqlite")) as connection:
        query = "SELECT path, vector FROM photos JOIN items USING (content_id) JOIN embeddings ON item_id = items.id"
        stored = dict(connection.execute(query).fetchall())
    found = {
        bytes.fromhex(row["path_bytes"]) if row["path_bytes"] else unguarded(row["path"]).encode(): row for row in rows
    }
    assert found.keys() == stored.keys()
    for path, row in found.items():
        assert vectors[int(row["row"])].tobytes() == stored[path]
        assert os.stat(path).st_mtime_ns == int(row["mtime_ns"])
    assert [row["path"].endswith(r"caf\xe9.png") for row in rows if row["path_bytes"]] == [True]
    facts = json.loads((tmp_path / "export" / "model.json").read_text("utf-8"))
    stored_model = library.store.model()
    assert stored_model is not None
    assert {name: facts[name] for name in ("format", "name", "fingerprint", "dim", "count", "files")} == {
        "format": 1, "name": "embedded", "fingerprint": stored_model.fingerprint, "dim": 512, "count": 10, "files": 11,
    }  # fmt: skip


def test_no_cell_of_the_table_is_a_formula(library: Library, rich: Path, tmp_path: Path) -> None:
    library.export(tmp_path / "export")
    rows = table(tmp_path / "export")
    cells = [cell for row in rows for name, cell in row.items() if name not in NUMBERS]
    assert [cell for cell in cells if cell[:1] in set("=+-@\t\r\n")] == []
    said = '\'=HYPERLINK("x") a cat named Ätna, sitting\nBob, jr., =Łódź'
    assert {row["sidecar"] for row in rows} == {"", said}
    facts = [
        "1985-07-14T12:00:00+00:00",
        -1.25,
        2.5,
        "=Łódź",
        ["Bob, jr."],
        4,
        "2016-11-03T12:04:45+00:00",
        None,
        None,
        "Red",
    ]
    assert [json.loads(row["sidecar_facts"]) for row in rows if row["sidecar_facts"]] == [facts]
    assert {(row["city"], row["people"], row["rating"]) for row in rows} == {
        ("", "", ""), ("Köln", '["Cid", "Dora"]', "-1")
    }  # fmt: skip
    assert {row["lens"] for row in rows} == {"", "'quoted"}


@given(st.text())
def test_guarding_a_text_loses_nothing(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert guarded(text)[:1] not in set("=+-@\t\r\n")


def test_parquet_has_what_the_table_has(library: Library, rich: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert library.export(tmp_path / "export").parquet
    found = parquet.read_table(tmp_path / "export" / "photos.parquet").to_pylist()
    for row, line in zip(found, table(tmp_path / "export"), strict=True):
        for name, kind in COLUMNS.items():
            cell: Any = None if line[name] == "" else line[name]
            if cell is not None:
                cell = unguarded(cell) if kind is str else json.loads(cell) if kind is list else kind(cell)
            assert row[name] == cell or (row[name] == "" and cell is None)
    tags = {os.path.basename(row["path"]): row["tags"] for row in found if row["tags"]}
    assert list(tags.values()) == [["=animal", "cat"]]


def test_an_export_is_one_state_while_others_write(library: Library, rich: Path) -> None:
    stored = library.store.model()
    assert stored is not None
    with library.store.export_rows(stored) as rows:
        assert rows.vectors() == 10
        library.remove(rich / "trips")
        (block,) = rows.blocks()
        assert (len(block.vectors), len(block.files)) == (10, 11)
    with library.store.export_rows(stored) as rows:
        assert rows.vectors() == 8


def test_an_export_goes_to_a_new_or_empty_folder(library: Library, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(NoModelError):
        library.export(tmp_path / "export")
    library.index(photos)
    (tmp_path / "empty").mkdir()
    library.export(tmp_path / "empty")
    for target, message in [
        (tmp_path / "empty", "is not empty; name a folder that is new or empty"),
        (photos / "cat.png", "is a file; name a folder"),
        (tmp_path / "no" / "where", "cannot be made: there is no folder"),
    ]:
        with pytest.raises(TransferError, match=message):
            library.export(target)


def test_an_interrupted_export_leaves_nothing(library: Library, photos: Path, tmp_path: Path) -> None:
    library.index(photos)

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.export(tmp_path / "export", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir() if "export" in path.name] == []


def test_a_second_import_changes_nothing(library: Library, other: Library, rich: Path, tmp_path: Path) -> None:
    library.export(tmp_path / "export")
    other.import_from(tmp_path / "export")
    before = dump(other)
    done = other.import_from(tmp_path / "export")
    assert (done.added, done.known) == (0, 11)
    assert dump(other) == before


def dump(library: Library) -> list[str]:
    """The database but for how often it was written to."""
    with closing(sqlite3.connect(library.folder / "library.sqlite")) as connection:
        return [line for line in connection.iterdump() if "VALUES('changes'" not in line]


def test_what_the_library_knows_already_stays(library: Library, other: Library, photos: Path, tmp_path: Path) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    shutil.copy(SAMPLES / "coffee.png", photos / "cat.png")
    other.index(photos / "cat.png")
    coffee = everything(other)["photos"]
    done = other.import_from(tmp_path / "export")
    assert (done.added, done.known) == (4, 1)
    assert [row for row in everything(other)["photos"] if row[0].endswith(b"cat.png")] == coffee


def test_vectors_of_another_model_are_refused(
    library: Library, rich: Path, tmp_path: Path, settings: Settings, region_encoder: OnnxEncoder
) -> None:
    library.export(tmp_path / "export")
    with open_library(tmp_path / "small", settings=settings, encoder=region_encoder) as small:
        small.index(rich / "cat.png")
        before = everything(small)
        with pytest.raises(ModelMismatchError):
            small.import_from(tmp_path / "export")
        assert everything(small) == before


def change(folder: Path, line: int, **cells: str) -> None:
    rows = table(folder)
    rows[line] |= cells
    with (folder / "photos.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"row": "99"}, "row is 99, .* has rows 0 to 4"),
        ({"row": "x"}, "row is 'x'; wanted is a whole number from 0"),
        ({"path": ""}, "path is ''; wanted is a file"),
        ({"path": "here.png"}, "'here.png' is no absolute path on this system"),
        ({"path_bytes": "zz"}, "path_bytes is 'zz'; wanted are hexadecimal digits"),
        ({"size": "many"}, "size is 'many'; wanted is a whole number"),
        ({"size": str(2**63)}, "size is '9223372036854775808'; wanted is a whole number"),
        ({"size": ""}, "size must not be empty"),
        ({"latitude": "nan"}, "latitude is 'nan'; wanted is a number"),
        ({"tags": "[" * 100_000}, r"tags is '\[.*; wanted is a list in JSON"),
        ({"tags": "cat"}, "tags is 'cat'; wanted is a list in JSON"),
        ({"tags": '["cat"]'}, "this is not what an export holds"),
        ({"hash": "abc"}, "this is not what an export holds"),
        ({"taken_at": "yesterday"}, "this is not what an export holds"),
        ({"rating": "7"}, "this is not what an export holds"),
        ({"iso": "0"}, "this is not what an export holds"),
        ({"exposure": "-1"}, "this is not what an export holds"),
        ({"people": "[1]"}, "this is not what an export holds"),
        ({"sidecar_stamp": "x", "sidecar_facts": "[" * 100_000}, "this is not what an export holds"),
        ({"sidecar_stamp": "x", "sidecar_facts": "[1, 2]"}, "this is not what an export holds"),
        (
            {"sidecar_stamp": "x", "sidecar_facts": "[null, 200, 2, null, [], null, null, null, null]"},
            "this is not what an export holds",
        ),
    ],
)
def test_a_wrong_table_is_refused_before_anything_is_stored(
    library: Library, other: Library, photos: Path, tmp_path: Path, cells: dict[str, str], message: str
) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    change(tmp_path / "export", 4, **cells)
    with pytest.raises(TransferError, match=message) as caught:
        other.import_from(tmp_path / "export")
    assert "photos.csv, line 6: " in str(caught.value)
    assert other.store.model() is None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", "no such folder"),
        ("no table", "photos.csv: no such file; a folder to import has vectors.npy and photos.csv"),
        ("no vectors", "vectors.npy: no such file; a folder to import has vectors.npy and photos.csv"),
        ("cut", "is no array in NumPy's format, or is cut off"),
        ("semicolons", "lacks the column path, path_bytes, .*; its columns are: path;path_bytes"),
        ("newer", r"was written by a newer version of mmsearch \(format 3, this one knows 2\)"),
        ("text", "model.json is not what an export holds"),
        ("no regions", "regions.npy: no such file"),
    ],
)
def test_a_damaged_export_is_refused(
    library: Library, other: Library, photos: Path, tmp_path: Path, kind: str, message: str
) -> None:
    library.index(photos)
    folder = tmp_path / "export"
    library.export(folder)
    facts = json.loads((folder / "model.json").read_text("utf-8"))
    if kind == "absent":
        shutil.rmtree(folder)
    elif kind in ("no table", "no vectors", "no regions"):
        (folder / {"no table": "photos.csv", "no vectors": "vectors.npy", "no regions": "regions.npy"}[kind]).unlink()
    elif kind == "cut":
        (folder / "vectors.npy").write_bytes((folder / "vectors.npy").read_bytes()[:1000])
    elif kind == "semicolons":
        (folder / "photos.csv").write_text((folder / "photos.csv").read_text("utf-8").replace(",", ";"), "utf-8")
    else:
        text = json.dumps({**facts, "format": 3}) if kind == "newer" else "no JSON"
        (folder / "model.json").write_text(text, "utf-8")
    with pytest.raises(TransferError, match=message):
        other.import_from(folder)
    assert other.store.model() is None


# Vectors of another program


def encoded(encoder: OnnxEncoder, paths: list[Path]) -> Vectors:
    """What the model makes of these files, as another program might."""
    pictures = []
    for path in paths:
        with path.open("rb") as file:
            pictures.append(decode(file, str(path), encoder.card.preprocess).pixels)
    return encoder.encode_images(np.stack(pictures))


def write_vectors(folder: Path, vectors: Any, paths: list[str]) -> Path:
    folder.mkdir()
    np.save(folder / "vectors.npy", vectors)
    with (folder / "photos.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows([["path"], *([path] for path in paths)])
    return folder


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_vectors_of_another_program_are_searched_as_own_ones(
    library: Library, other: Library, encoder: OnnxEncoder, photos: Path, tmp_path: Path, dtype: type
) -> None:
    try:
        os.rename(os.fsencode(photos / "trips" / "rocket.jpg"), os.fsencode(photos) + b"/rock\xe9t.jpg")
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    paths = sorted(path for path in photos.rglob("*") if path.is_file())
    rows: Any = (encoded(encoder, paths) * np.linspace(0.5, 4, len(paths))[:, None]).astype(dtype)
    (photos / "bad.jpg").write_bytes(b"no picture")
    rows = np.concatenate([rows, rows[:3]])
    named = [*map(str, paths), str(photos / "bad.jpg"), str(photos / "gone.jpg"), str(photos / "trips")]
    named[0] = os.path.relpath(named[0], tmp_path / "given")
    done = other.import_from(write_vectors(tmp_path / "given", rows, named), model="embedded")
    assert (done.added, done.known, done.model) == (5, 0, "embedded")
    assert done.skipped == (
        Skipped(str(photos / "bad.jpg"), "not a picture that can be read"),
        Skipped(str(photos / "gone.jpg"), "no such file or folder"),
        Skipped(str(photos / "trips"), "is a folder"),
    )
    library.index(photos)
    for text in ("a cat", "a rocket", "a man with a camera"):
        query = Query((Words(text),), arithmetic=True)
        hits, wanted = other.search(query), library.search(query)
        # Each library has ids of its own.
        assert [replace(hit.photo, id=0) for hit in hits] == [replace(hit.photo, id=0) for hit in wanted]
        np.testing.assert_allclose([score_of(hit) for hit in hits], [score_of(hit) for hit in wanted], atol=2e-3)
    with closing(sqlite3.connect(other.folder / "library.sqlite")) as connection:
        blobs = [blob for (blob,) in connection.execute("SELECT vector FROM embeddings")]
    lengths = [float(np.linalg.norm(np.frombuffer(blob, "<f2").astype(np.float64))) for blob in blobs]
    np.testing.assert_allclose(lengths, 1, atol=1e-3)
    again = other.import_from(tmp_path / "given", model="embedded")
    assert (again.added, again.known, len(again.skipped)) == (0, 5, 3)
    report = other.index(photos)
    assert (report.unchanged, report.encoded, report.added) == (5, 0, 0)


def test_a_column_of_rows_says_which_vector_is_whose(
    other: Library, encoder: OnnxEncoder, photos: Path, tmp_path: Path
) -> None:
    paths = [photos / "cat.png", photos / "grass.png"]
    folder = write_vectors(tmp_path / "given", encoded(encoder, paths), [])
    (folder / "photos.csv").write_text(f"row,path,note\n1,{paths[1]},green\n0,{paths[0]},\n", "utf-8")
    assert other.import_from(folder, model="embedded").added == 2
    assert [Path(hit.path).name for hit in other.search("a cat")] == ["cat.png", "grass.png"]


def test_an_interrupted_import_goes_on_where_it_stopped(
    other: Library, encoder: OnnxEncoder, photos: Path, tmp_path: Path
) -> None:
    paths = sorted(path for path in photos.rglob("*") if path.is_file())
    folder = write_vectors(tmp_path / "given", encoded(encoder, paths), [str(path) for path in paths])

    def interrupt(_: Progress) -> None:  # after the first batch of four
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        other.import_from(folder, model="embedded", progress=interrupt)
    assert len(other.search("a cat")) == 4
    done = other.import_from(folder, model="embedded")
    assert (done.added, done.known) == (1, 4)
    assert len(other.search("a cat")) == 5


def spoiled(row: int, value: float) -> Any:
    vectors = np.ones((3, 512), np.float32)
    vectors[row] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "model", "message"),
    [
        (spoiled(1, 0.0), "embedded", r"row 1 \(from 0\) is zero, so it points nowhere"),
        (spoiled(2, np.nan), "embedded", r"row 2 \(from 0\) is not finite"),
        (spoiled(0, np.inf), "embedded", r"row 0 \(from 0\) is not finite"),
        (np.ones((3, 16), np.float32), "embedded", "has vectors of 16 dimensions, embedded makes 512"),
        (np.ones((2, 512), np.float32), "embedded", "has 3 lines below its heads, .*vectors.npy 2 rows"),
        (np.ones(512, np.float32), "embedded", r"has float32 of shape \(512,\); wanted is \(number of files, dim"),
        (np.ones((3, 512)), "embedded", r"has float64 of shape \(3, 512\); wanted is .* float16 or float32"),
        (np.array([None, 1]), "embedded", "is no array in NumPy's format"),
        (spoiled(0, 1.0), None, "has no model.json: say which model made its vectors"),
        (spoiled(0, 1.0), "auto", "has no model.json: say which model made its vectors"),
    ],
)
def test_wrong_vectors_are_refused_before_anything_is_stored(
    other: Library, photos: Path, tmp_path: Path, vectors: Any, model: str | None, message: str
) -> None:
    folder = write_vectors(tmp_path / "given", vectors, [str(photos / "cat.png")] * 3)
    with pytest.raises(TransferError, match=message):
        other.import_from(folder, model=model)
    assert other.store.model() is None


def test_an_export_names_its_own_model(library: Library, other: Library, photos: Path, tmp_path: Path) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    with pytest.raises(TransferError, match=r"says itself which model made its vectors \(embedded\)"):
        other.import_from(tmp_path / "export", model="embedded")


def test_an_export_of_a_version_that_knew_no_towns_and_people(
    library: Library, other: Library, photos: Path, tmp_path: Path
) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    rows = table(tmp_path / "export")
    with (tmp_path / "export" / "photos.csv").open("w", encoding="utf-8", newline="") as file:
        kept = [name for name in COLUMNS if name not in ADDED]
        writer = csv.DictWriter(file, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert other.import_from(tmp_path / "export").added == len(rows)
    assert everything(other) == everything(library)


def describe(folder: Path, **facts: Any) -> None:
    described = json.loads((folder / "model.json").read_text("utf-8"))
    (folder / "model.json").write_text(json.dumps(described | facts), "utf-8")


def root(path: str) -> list[dict[str, str]]:
    return [{"path": path, "path_bytes": ""}]


HOSTILE_CELLS = [
    ({"tags": '["cat"]', "tag_scores": "[NaN]"}, "tag_scores and caption_confidence must be between 0 and 1"),
    ({"tags": '["cat"]', "tag_scores": "[1e300]"}, "tag_scores and caption_confidence must be between 0 and 1"),
    ({"tags": "[[1]]", "tag_scores": "[0.5]"}, "tags must be texts"),
    ({"own_tags": '["a,b"]'}, "own_tags must be tags, not"),
    ({"own_tags": "[1]"}, "own_tags must be tags, not"),
    ({"tags": '["\\ud800"]', "tag_scores": "[0.5]"}, "not what an export holds"),
    ({"people": '["\\ud800"]'}, "not what an export holds"),
    ({"people": '["' + "a" * 100_000 + '\\n"]'}, "not what an export holds"),
    ({"sidecar_stamp": "a", "sidecar_facts": '[null, null, null, "\\ud800", [], null, null, null, null]'}, "an export"),
    ({"caption": "a", "caption_model": "b", "caption_confidence": "nan"}, "caption_confidence is 'nan'; wanted"),
    ({"caption": "a", "caption_model": "b", "caption_confidence": "-1"}, "must be between 0 and 1"),
    ({"caption": "a"}, "a caption needs caption_model and caption_confidence"),
    ({"width": "0"}, "0 x .* pixels are no picture"),
    ({"size": "-1"}, "size and facts must be 0 or more"),
    ({"facts": str(2**62)}, "size and facts must be 0 or more"),
    ({"latitude": "91", "longitude": "0"}, "91.0, 0.0 is no place on the earth"),
    ({"latitude": "9"}, "latitude and longitude go together"),
    ({"path": "/etc/passwd"}, "'/etc/passwd' is in none of the folders"),
    ({"path": "ROOT/../secret.png"}, "is in none of the folders"),
    ({"size": "9" * 100_000}, r"size is '9{99}… \(100,002 characters\); wanted is a whole number"),
]
HOSTILE_FACTS: list[tuple[dict[str, Any], str]] = [
    ({"fingerprint": "../../etc"}, "fingerprint is '../../etc'; wanted are letters, digits and hyphens"),
    ({"fingerprint": "a\0b"}, "fingerprint is"),
    ({"fingerprint": ""}, "fingerprint is ''"),
    ({"fingerprint": "x" * 10**6}, r"fingerprint is 'x{99}… \(1,000,002 characters\)"),
    ({"regions": "../x"}, "regions is '../x'"),
    ({"name": "\x1b[31m"}, "name is"),
    ({"name": "x" * 10**6}, "name is"),
    ({"dim": True}, "dim is True"),
    ({"dim": 2**62}, "dim is 4611686018427387904"),
    ({"dim": 0}, "dim is 0"),
    ({"roots": root("/")}, "one of its folders is '/'; wanted is an absolute path of a folder"),
    ({"roots": root("")}, "one of its folders is ''"),
    ({"roots": root("../x")}, "one of its folders is '../x'"),
    ({"roots": root("/a/../..")}, "one of its folders is '/a/../..'"),
    ({"roots": root("//a")}, "one of its folders is '//a'"),
    ({"roots": root("/a\0b")}, "one of its folders is"),
    ({"roots": root("/\ud800")}, "not what an export holds"),
]


@pytest.mark.parametrize(("cells", "message"), HOSTILE_CELLS)
def test_a_row_that_verify_would_not_like_is_refused(
    cells: dict[str, str], message: str, library: Library, other: Library, photos: Path, tmp_path: Path
) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    change(tmp_path / "export", 2, **{name: cell.replace("ROOT", str(photos)) for name, cell in cells.items()})
    refused(other, tmp_path / "export", message)


@pytest.mark.parametrize(("facts", "message"), HOSTILE_FACTS)
def test_a_description_that_no_export_has_is_refused(
    facts: dict[str, Any], message: str, library: Library, other: Library, photos: Path, tmp_path: Path
) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    describe(tmp_path / "export", **facts)
    refused(other, tmp_path / "export", message)


def refused(library: Library, folder: Path, message: str) -> None:
    with pytest.raises(TransferError, match=message) as raised:
        library.import_from(folder)
    assert len(str(raised.value)) < 1500
    assert set(map(len, everything(library).values())) == {0}
    assert library.store.model() is None


def test_region_tokens_that_nobody_packed_are_refused(
    library: Library, other: Library, photos: Path, tmp_path: Path
) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    tokens = np.load(tmp_path / "export" / "regions.npy")
    np.save(tmp_path / "export" / "regions.npy", tokens[:, :-1])
    refused(other, tmp_path / "export", "has rows of 4,017 bytes; 49 regions of 80 dimensions take 4,018")
    tokens[3, 5] = 128  # -128, which is never written
    np.save(tmp_path / "export" / "regions.npy", tokens)
    refused(other, tmp_path / "export", r"row 3 \(from 0\) holds no region tokens")


def test_a_table_of_very_many_columns_is_told_in_a_few(
    library: Library, other: Library, photos: Path, tmp_path: Path
) -> None:
    library.index(photos)
    library.export(tmp_path / "export")
    names = ",".join(f"column{number}" for number in range(200_000))
    (tmp_path / "export" / "photos.csv").write_text(f"{names}\n", "utf-8")
    refused(other, tmp_path / "export", "column29 and 199,970 more")
