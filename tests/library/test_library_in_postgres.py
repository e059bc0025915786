"""A library in PostgreSQL, from the terminal and over HTTP: what it answers is what one in a folder answers."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import films
import mapped
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from postgres_server import forget, url_of
from samples import CLI, SAMPLES
from served import API, BASE, TOKEN, names

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.store.types import FACETS

PLACED = ("library", "bytes", "generation", "index_kind", "engines")  # figures of status that depend on where it is
QUERIES = (
    ["a cat"],
    ["rocket", "-cat"],
    ["motorcycle", "camera:canon"],
    ["type:jpeg"],
    ["album:trips"],
    ["date:..2015"],
    ['"rocket"'],
    ["--sort", "name", "width:>100"],
)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A folder and an address for new libraries; the database has no tables, and not the types of pgvector."""
    yield str(tmp_path / "library"), url_of(tmp_path, empty=True)
    forget(tmp_path)


def answers(mmsearch: CLI, place: str) -> list[list[dict[str, Any]]]:
    """Of each query its hits without ids."""
    found = []
    for query in QUERIES:
        lines = mmsearch("query", "--json", "--library", place, *query).stdout.splitlines()
        found.append([{name: value for name, value in json.loads(line).items() if "id" not in name} for line in lines])
    return found


def exported(folder: Path) -> list[dict[str, Any]]:
    """The lines of what was written; SQLite gives scores with 15 digits."""
    with (folder / "photos.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row["tag_scores"] = [round(score, 9) for score in json.loads(row["tag_scores"] or "[]")]
    return rows


@pytest.mark.slow
def test_all_commands_answer_as_in_a_folder(
    mmsearch: CLI, photos: Path, places: tuple[str, str], tmp_path: Path, tag_cache: Path
) -> None:
    shutil.copytree(tag_cache, tmp_path / "cache", dirs_exist_ok=True)
    environment = {"MMSEARCH_CACHE": str(tmp_path / "cache")}
    shutil.copy(SAMPLES / "chelsea.png", photos / "trips" / "copy.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    told = []
    for number, place in enumerate(places):
        at = ("--library", place)
        if number:
            assert "there is no library" in mmsearch("query", "a cat", *at, check=1, **environment).stderr
        mmsearch("index", photos, *at, check=None, **environment)
        mmsearch("tag", *at, **environment)
        before = answers(mmsearch, place)
        mmsearch("export", tmp_path / f"export{number}", *at, **environment)
        mmsearch("remove", photos / "trips" / "rocket.jpg", *at, **environment)
        status = json.loads(mmsearch("status", "--json", *at, **environment).stdout)
        figures = {name: value for name, value in status.items() if name not in PLACED}
        told.append((before, answers(mmsearch, place), figures))
    in_folder, in_postgres = told
    assert in_postgres == in_folder
    assert [len(hits) > 0 for hits in in_folder[0]] == [True, True, False, True, True, True, True, True]
    vectors = [(tmp_path / f"export{number}" / "vectors.npy").read_bytes() for number in (0, 1)]
    assert vectors[0] == vectors[1]
    assert exported(tmp_path / "export0") == exported(tmp_path / "export1")
    refused = mmsearch("backup", tmp_path / "b", "--library", places[1], check=1).stderr
    assert "this library cannot be copied to one file" in refused


def test_served_and_changed_by_several_at_once(
    photos: Path, places: tuple[str, str], settings: Settings, encoder: OnnxEncoder
) -> None:
    from mmsearch.server import ServerOptions, app

    with (
        open_library(places[1], settings=settings, encoder=encoder) as one,
        open_library(places[1], settings=settings, encoder=encoder) as other,
    ):
        one.index(photos)
        assert one.folder == other.folder
        assert one.status().library == one.store.place
        headers = {"Authorization": f"Bearer {TOKEN}"}
        client = TestClient(app(other, ServerOptions(token=TOKEN)), base_url=BASE, headers=headers)
        assert names(client.get(f"{API}/search", params={"q": "a cat"}).json())[0] == "cat.png"
        one.remove(photos / "cat.png")
        left = names(client.get(f"{API}/search", params={"q": "a cat"}).json())
        assert sorted(left) == ["cameraman.png", "grass.png", "motorcycle.png", "rocket.jpg"]


FILTERS = (
    "type:video", "type:document", "-type:photo", "length:>7s", "fps:12", "codec:h264", "at:<2s", "type:png",
    "width:>500", "tag:trip", "tag:TRIP,cat", "-tag:trip", "album:trips", "date:..2015", "orientation:landscape",
    "cluster:1", "cluster:2", "sort:name", "sort:-size", "sort:date",
)  # fmt: skip


def known(library: Library, folder: Path) -> dict[str, Any]:
    """What a library answers, without ids."""
    scores: list[float] = []
    found: dict[str, Any] = {"scores": scores}
    for where in FILTERS:
        found[where] = [hit.path for hit in library.search(where, k=50)]
    for words in ("a cat", "rocket", "told", "holiday trip", "motorcycle -cat"):
        hits = list(library.search(words, k=50))
        found[words] = [(hit.path, hit.reasons) for hit in hits]
        scores += [hit.score for hit in hits if hit.score is not None]
    facets = library.facets(most=10)
    found["facets"] = {name: [(one.value, one.count) for one in facets[name].values] for name in FACETS}
    found["duplicates"] = [(group.keep.path, [one.path for one in group.others]) for group in library.duplicates()]
    found["tags"] = library.store.tag_counts()
    found["verify"] = (library.verify(deep=True), library.store.damages(None))
    kept = library.last_map()
    assert kept is not None
    found["map"] = [(one.name, one.size) for one in kept.clusters]
    status = library.status()
    found["status"] = replace(status, library="", bytes=0, index_kind="", engines=())
    library.export(folder)
    found["export"] = exported(folder)
    found["map places"] = [float(row.pop(axis) or "nan") for row in found["export"] for axis in ("x", "y")]
    return found


def test_films_documents_tags_and_clusters_as_in_a_folder(
    mmsearch_process: CLI,
    photos: Path,
    places: tuple[str, str],
    settings: Settings,
    encoder: OnnxEncoder,
    tmp_path: Path,
) -> None:
    pytest.importorskip("av")
    mapped.draw(photos / "drawn", 12)
    shutil.copy(photos / "cat.png", photos / "trips" / "copy.png")
    (photos / "story.mp4").write_bytes(films.film(films.photos()[:4]))
    (photos / "story.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\ntold from orbit\n", "utf-8")
    pages = [Image.fromarray(one) for one in films.photos()[4:6]]
    pages[0].save(photos / "scan.tif", save_all=True, append_images=pages[1:])
    told = []
    for number, place in enumerate(places):
        with open_library(place, settings=settings, encoder=encoder) as library:
            assert library.index(photos).skipped == ()
            tagged = library.tag_photos([photos / "trips", photos / "story.mp4"], add=["Trip", 'it\'s "50 %"'])
            assert (tagged.photos, tagged.added) == (4, 8)
            library.map()
            first = known(library, tmp_path / f"first{number}")
            assert library.remove([photos / "trips" / "copy.png", photos / "drawn" / "0003.png"]) == 2
            (photos / "trips" / "rocket.jpg").rename(photos / "moved.jpg")
            assert library.index().moved == 1
            (photos / "moved.jpg").rename(photos / "trips" / "rocket.jpg")
            told.append((first, known(library, tmp_path / f"second{number}")))
            assert library.index().moved == 1
    in_folder, in_postgres = told
    for before, after in zip(in_folder, in_postgres, strict=True):
        places_on_map, scores = after.pop("map places"), after.pop("scores")
        assert places_on_map == pytest.approx(before.pop("map places"), abs=1e-4, nan_ok=True)
        assert scores == pytest.approx(before.pop("scores"), abs=2e-4)  # they are rounded to four digits
        assert after == before
    first = in_folder[0]
    assert all(first[where] for where in FILTERS)
    assert first["type:video"] == [str(photos / "story.mp4")]
    said = mmsearch_process("query", "told from orbit", "--paths", "-k", "1", "--library", places[1])
    assert Path(said.stdout.strip()).name == "story.mp4"
