"""Searching over HTTP: the hits of the library, page by page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from served import API, Asker, id_of, names

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

SEARCH = f"{API}/search"


def test_hits_are_those_of_the_library(client: TestClient, shelf: Library) -> None:
    page = client.get(SEARCH, params={"q": "a man with a camera", "k": 3}).json()
    found = shelf.search("a man with a camera", k=3)
    ids = {"id": 0, "version": ""}
    assert [{**hit, **ids} for hit in page["hits"]] == [{**hit.to_dict(), **ids} for hit in found]
    assert [hit["id"] for hit in page["hits"]] == [hit.photo.id for hit in found]
    assert (page["generation"], page["found"], page["question"]) == (found.generation, None, None)
    assert client.post(SEARCH, json={"q": "a man with a camera", "k": 3}).json()["hits"] == page["hits"]


@pytest.mark.parametrize("query", ["", "an animal", "-rocket", "type:png"])
def test_pages_joined_are_the_longer_search(client: TestClient, query: str) -> None:
    whole = client.get(SEARCH, params={"q": query, "k": 5}).json()
    assert whole["next_cursor"] is None
    hits, cursor = [], None
    while True:
        given = {"q": query, "k": "2"} | ({"cursor": cursor} if cursor else {})
        page = client.get(SEARCH, params=given).json()
        hits += page["hits"]
        cursor = page["next_cursor"]
        assert page["more"] is (cursor is not None)
        if cursor is None:
            break
    assert hits == whole["hits"]


def test_without_a_query_all_photos_come_newest_first(asker: Asker, indexed: Library, photos: Path) -> None:
    client = asker(indexed)
    moments = {"grass.png": 2, "trips/rocket.jpg": 1, "trips/motorcycle.png": 5 * 10**8, "cameraman.png": 4 * 10**8}
    for name, moment in moments.items():
        os.utime(photos / name, (10**9 + moment, 10**9 + moment))
    indexed.index()
    page = client.get(SEARCH).json()
    expected = ["motorcycle.png", "cameraman.png", "cat.png", "grass.png", "rocket.jpg"]
    assert (names(page), page["found"]) == (expected, 5)
    assert names(page) == [Path(hit.path).name for hit in indexed.search("sort:date -type:gif", k=5)]
    assert names(client.get(SEARCH, params={"sort": "oldest"}).json()) == names(page)[::-1]
    some = client.get(SEARCH, params={"where": "type:png width:>500", "min_relevance": 0.5}).json()
    assert (sorted(names(some)), some["found"]) == (["cameraman.png", "grass.png", "motorcycle.png"], 3)


def test_a_raw_file_is_no_second_hit_beside_its_picture(
    asker: Asker, tmp_path: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    from raw_files import dng

    folder = tmp_path / "shots"
    folder.mkdir()
    exif = Image.Exif()
    exif[271], exif[272], exif[306] = "Abc", "X1", "2020:01:02 03:04:05"
    picture = Image.new("RGB", (64, 48), "red")
    picture.save(folder / "a.jpg", exif=exif)
    (folder / "a.dng").write_bytes(dng(picture))
    with open_library(tmp_path / "own", settings=settings, encoder=encoder) as library:
        library.index(folder)
        client = asker(library)
        expected = library.search("-type:gif", k=5)
        page = client.get(SEARCH).json()
        assert names(page) == [Path(hit.path).name for hit in expected] == ["a.jpg"]
        assert page["hits"][0]["similar"] == [str(folder / "a.dng")]
        assert names(client.get(SEARCH, params={"q": "type:raw"}).json()) == ["a.dng"]


def test_the_best_hits_are_sorted_by_date(client: TestClient) -> None:
    page = client.get(SEARCH, params={"q": "a photo", "sort": "oldest"}).json()
    dates = [hit["date"] for hit in page["hits"]]
    assert (dates, len(dates)) == (sorted(dates), 5)


def test_more_like_a_photo_and_less_like_another(client: TestClient, shelf: Library, shown: Path) -> None:
    page = client.get(SEARCH, params={"like": id_of(shelf, "cat.png"), "k": 2}).json()
    expected = shelf.search(shown / "cat.png", k=4)
    assert names(page) == [Path(hit.path).name for hit in expected[:2]]
    assert [hit["rank"] for hit in page["hits"]] == [1, 2]
    rest = client.get(SEARCH, params={"cursor": page["next_cursor"]}).json()
    assert names(rest) == [Path(hit.path).name for hit in expected[2:]]
    assert [hit["rank"] for hit in rest["hits"]] == [3, 4]
    away = client.get(SEARCH, params={"q": "a picture", "unlike": [id_of(shelf, "grass.png")]}).json()
    assert "grass.png" not in names(away)


@pytest.mark.parametrize("as_form", [False, True])
def test_a_picture_that_is_sent(client: TestClient, shelf: Library, shown: Path, as_form: bool) -> None:
    content = (shown / "cat.png").read_bytes()
    given = {"files": {"file": ("x.png", content, "image/png")}} if as_form else {"content": content}
    page = client.post(f"{SEARCH}/image", params={"k": 2}, **given).json()
    expected = shelf.search(content, k=5)
    assert names(page) == [Path(hit.path).name for hit in expected[:2]] == ["cat.png", names(page)[1]]
    rest = client.get(SEARCH, params={"cursor": page["next_cursor"], "q": ""}).json()
    assert names(page) + names(rest) == [Path(hit.path).name for hit in expected]


def test_a_cursor_ends_with_the_state_it_was_made_of(asker: Asker, indexed: Library, photos: Path) -> None:
    client = asker(indexed)
    cursor = client.get(SEARCH, params={"q": "a cat", "k": 1}).json()["next_cursor"]
    assert client.get(SEARCH, params={"q": "a cat", "k": 1, "cursor": cursor}).status_code == 200
    other = client.get(SEARCH, params={"q": "a dog", "k": 1, "cursor": cursor})
    assert (other.status_code, other.json()["code"]) == (400, "cursor-mismatch")
    indexed.remove(photos / "grass.png")
    stale = client.get(SEARCH, params={"q": "a cat", "k": 1, "cursor": cursor})
    assert (stale.status_code, stale.json()["code"]) == (410, "stale_cursor")


@pytest.mark.parametrize("cursor", ["x", "x.1", "x.1.2.3", "x.-1.0", "x.99999999999999999999.0", "..", "\0.1.1"])
def test_what_is_no_cursor_is_refused(client: TestClient, cursor: str) -> None:
    answer = client.get(SEARCH, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) in [(400, "bad-cursor"), (410, "stale_cursor")]


def test_an_empty_library_has_an_empty_page(asker: Asker, tmp_path: Path, settings: Settings) -> None:
    with open_library(tmp_path / "empty", settings=settings) as empty:
        page = asker(empty).get(SEARCH, params={"q": "a dog"}).json()
    assert (page["hits"], page["found"], [note["code"] for note in page["notes"]]) == ([], 0, ["library-empty"])


def test_questions_are_told(client: TestClient) -> None:
    assert client.get(SEARCH, params={"q": "is there a cat?"}).json()["question"] == "is there a cat?"


def test_no_path_in_a_query_leads_anywhere(client: TestClient, shown: Path) -> None:
    """Nobody learns what lies on this machine, and no file of it is opened."""
    there = client.get(SEARCH, params={"q": str(shown / "cat.png")})
    gone = client.get(SEARCH, params={"q": str(shown / "none.png")})
    for answer in (there, gone):
        assert (answer.status_code, answer.json()["code"]) == (400, "no-paths")
    assert client.get(SEARCH, params={"q": "like:cat.png"}).json()["code"] == "no-paths"


def test_wrong_queries_are_explained(client: TestClient) -> None:
    answer = client.get(SEARCH, params={"q": "date:foo"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert (answer.json()["code"], answer.json()["fields"]) == ("query-syntax", {"column": 5})
    answer = client.get(SEARCH, params={"k": 0, "nothing": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-request")
    assert sorted(one["where"] for one in answer.json()["fields"]["errors"]) == ["query.k", "query.nothing"]
    assert client.get(SEARCH, params={"like": 99}).json()["code"] == "unknown-photo"


def test_names_that_are_no_utf8_get_through(
    asker: Asker, tmp_path: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    Image.new("RGB", (40, 30), "red").save(os.fsdecode(bytes(folder / "caf") + b"\xe9.png"))
    with open_library(tmp_path / "own", settings=settings, encoder=encoder) as library:
        library.index(folder)
        page = asker(library).get(SEARCH).json()
    assert names(page) == [os.fsdecode(b"caf\xe9.png")]
