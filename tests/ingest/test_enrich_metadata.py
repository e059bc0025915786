"""Libraries that were made before descriptions and hashes were stored get them, and nothing else changes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.library.library import Library
from mmsearch.media import METADATA_VERSION
from mmsearch.media.dhash import Hashes
from mmsearch.types import Progress


@pytest.fixture
def described(photos: Path) -> Path:
    """Five photos, two of them with a description."""
    for name, text in (("trips/motorcycle.png", "Paul's machine"), ("grass.png", "Behind the house")):
        exif = Image.Exif()
        exif[0x010E] = text
        with Image.open(photos / name) as picture:
            picture.load()
        picture.save(photos / name, exif=exif)
    return photos


def forget(library: Library) -> None:
    """As a library from before: the migration adds empty columns, and words of names only."""
    with contextlib.closing(sqlite3.connect(library.folder / "library.sqlite")) as connection, connection:
        connection.executescript(
            "UPDATE contents SET metadata_version = 0, description = NULL, dhash = NULL; "
            "UPDATE words SET description = ''"
        )


def known(library: Library) -> tuple[dict[str, str | None], Hashes, list[bool]]:
    """Descriptions by file name; hashes and whether there are any, by vector id."""
    model = library.store.model()
    assert model is not None
    ids = library.store.searchable(model)
    files = library.store.photos(ids.tolist())
    hashes, there = library.store.hashes(ids)
    return {Path(p.path).name: p.description for some in files.values() for p in some}, hashes, there.tolist()


def words(library: Library, text: str) -> list[int]:
    model = library.store.model()
    assert model is not None
    return [hit.number for hit in library.store.find_words(text, model)]


def snapshot(library: Library) -> tuple[int, list[tuple[int, bytes]], list[tuple[str, int]]]:
    """What may not change: generation, vectors, the index file."""
    with contextlib.closing(sqlite3.connect(library.folder / "library.sqlite")) as connection:
        vectors = connection.execute("SELECT id, vector FROM embeddings ORDER BY id").fetchall()
    index = [(file.name, file.stat().st_mtime_ns) for file in (library.folder / "index").iterdir()]
    return library.status().generation, vectors, index


@pytest.fixture
def before(library: Library, described: Path) -> Library:
    """A library that lacks the facts of all its pictures."""
    library.index(described)
    forget(library)
    return library


def test_facts_come_without_encoding(library: Library, described: Path) -> None:
    library.index(described)
    wanted, was, found = known(library), snapshot(library), words(library, "machine")
    assert wanted[0]["motorcycle.png"] == "Paul's machine"
    assert (all(wanted[2]), len(found)) == (True, 1)
    forget(library)
    assert (set(known(library)[0].values()), words(library, "machine")) == ({None}, [])
    steps: list[Progress] = []
    report = library.index(described, progress=steps.append)
    assert (report.facts, report.unchanged, report.encoded, report.regions) == (5, 5, 0, 0)
    assert [(step.done, step.total, step.step) for step in steps] == [(n, 5, "facts") for n in range(1, 6)]
    again = known(library)
    assert (again[0], again[2]) == (wanted[0], wanted[2])
    np.testing.assert_array_equal(again[1], wanted[1])
    assert words(library, "machine") == found
    assert snapshot(library) == was
    steps.clear()
    assert library.index(described, progress=steps.append).facts == 0
    assert steps == []


def test_facts_of_an_older_reading_are_read_again(before: Library, described: Path) -> None:
    before.index(described)
    with contextlib.closing(sqlite3.connect(before.folder / "library.sqlite")) as connection, connection:
        connection.execute(
            "UPDATE contents SET metadata_version = ?, description = 'old' WHERE id <= 2", (METADATA_VERSION - 1,)
        )
    assert before.index(described).facts == 2
    assert "old" not in known(before)[0].values()


def test_an_interrupted_run_goes_on(before: Library, described: Path) -> None:
    def interrupt(step: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        before.index(described, progress=interrupt)
    assert sum(known(before)[2]) == before.settings.batch == 4
    assert before.index(described).facts == 1
    assert all(known(before)[2])


def test_only_named_folders_are_read(before: Library, described: Path) -> None:
    assert before.index(described / "trips").facts == 2
    assert known(before)[0]["motorcycle.png"] == "Paul's machine"
    assert known(before)[0]["grass.png"] is None
    assert before.index().facts == 3


def test_files_out_of_reach_or_changed_unseen_are_left_alone(before: Library, described: Path) -> None:
    described.rename(described.with_name("unplugged"))
    assert before.index().facts == 0
    described.with_name("unplugged").rename(described)
    grass = described / "grass.png"
    facts, content = grass.stat(), bytearray(grass.read_bytes())
    content[-20] ^= 1
    grass.write_bytes(content)
    os.utime(grass, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    report = before.index(described)
    assert (report.facts, report.unchanged, report.skipped) == (4, 5, ())
    assert known(before)[0]["grass.png"] is None


def test_any_copy_will_do(library: Library, described: Path) -> None:
    shutil.copy(described / "grass.png", described / "also.png")
    library.index(described)
    forget(library)
    facts = (described / "also.png").stat()
    (described / "also.png").write_bytes(b"x" * facts.st_size)
    os.utime(described / "also.png", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert library.index(described).facts == 5
    assert known(library)[0]["grass.png"] == "Behind the house"


def test_a_library_of_before_learns_exposure_and_labels(library: Library, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x8827: 800, 0x829A: 0.004})
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.jpg", exif=exif.tobytes())
    label = '<r xmlns:x="http://ns.adobe.com/xap/1.0/" x:Label="Red"/>'
    (tmp_path / "a.xmp").write_text(label, "utf-8")
    library.index(tmp_path)
    asked = ("iso:800", "exposure:<1/200", "label:red")
    with contextlib.closing(sqlite3.connect(library.folder / "library.sqlite")) as connection, connection:
        connection.executescript(
            "UPDATE contents SET metadata_version = 2, iso = NULL, exposure = NULL;"
            "UPDATE sidecars SET stamp = 'of an earlier reading', label = NULL"
        )
    assert [len(library.search(query)) for query in asked] == [0, 0, 0]
    report = library.index(tmp_path)
    assert (report.facts, report.sidecars, report.unchanged) == (1, 1, 1)
    assert [len(library.search(query)) for query in asked] == [1, 1, 1]
