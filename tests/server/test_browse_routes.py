"""What the photos of a query are, what a query may go on with, and what is seen in a photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from served import API, Asker, id_of

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.decode import seen


def with_exif(taken: str, model: str, place: tuple[float, float] | None) -> Image.Exif:
    exif = Image.Exif()
    exif[272] = model
    exif.get_ifd(0x8769)[0x9003] = taken
    if place is not None:
        south, west = "NS"[place[0] < 0], "EW"[place[1] < 0]
        exif.get_ifd(0x8825).update({1: south, 2: (abs(place[0]), 0.0, 0.0), 3: west, 4: (abs(place[1]), 0.0, 0.0)})
    return exif


@pytest.fixture
def travels(library: Library, tmp_path: Path) -> Library:
    """Four photos of three months, two of which have a place."""
    folder = tmp_path / "travels"
    folder.mkdir()
    for name, (taken, camera, place) in {
        "a.jpg": ("2024:07:01 10:00:00", "Fuji X100", (48.0, 2.0)),
        "b.jpg": ("2024:07:31 23:59:59", "Fuji X100", None),
        "c.jpg": ("2023:12:31 23:59:59", "Leica Q", (-33.5, 151.0)),
        "d.jpg": ("2024:01:01 00:00:00", "Leica Q", None),
    }.items():
        color = (10 * ord(name[0]) % 256, 99, 5)
        Image.new("RGB", (40, 30), color).save(folder / name, exif=with_exif(taken, camera, place))
    library.index(folder)
    return library


def test_facets_write_the_query(asker: Asker, travels: Library) -> None:
    told = asker(travels).get(f"{API}/facets", params={"q": "date:2024"}).json()
    by_field = {facet["field"]: facet["values"] for facet in told["facets"]}
    assert by_field["camera"] == [
        {"value": "Fuji X100", "count": 2, "query": 'camera:"Fuji X100"'},
        {"value": "Leica Q", "count": 1, "query": 'camera:"Leica Q"'},
    ]
    assert (told["counted"], told["complete"]) == (3, True)


def test_months_and_places(asker: Asker, travels: Library) -> None:
    client = asker(travels)
    months = [{"month": "2023-12", "count": 1}, {"month": "2024-01", "count": 1}, {"month": "2024-07", "count": 2}]
    assert client.get(f"{API}/timeline").json() == {"months": months}
    assert client.get(f"{API}/timeline", params={"q": "date:2024"}).json() == {"months": months[1:]}
    assert client.get(f"{API}/timeline", params={"q": "a red field"}).json() == {"months": months}
    told = client.get(f"{API}/places").json()
    expected = [
        {"id": id_of(travels, name), "latitude": latitude, "longitude": longitude}
        for name, latitude, longitude in (("a.jpg", 48.0, 2.0), ("c.jpg", -33.5, 151.0))
    ]
    assert told == {"places": sorted(expected, key=lambda one: one["id"]), "more": False}
    assert client.get(f"{API}/places", params={"q": "camera:leica"}).json()["places"] == [expected[1]]


def test_photos_without_a_date_count_where_they_were_written(client: TestClient, shelf: Library) -> None:
    months = client.get(f"{API}/timeline").json()["months"]
    dates = [photo.date for photo in shelf]
    expected = {month: sum(f"{date:%Y-%m}" == month for date in dates) for month in {f"{date:%Y-%m}" for date in dates}}
    assert {one["month"]: one["count"] for one in months} == expected


def test_places_can_be_hidden(asker: Asker, travels: Library) -> None:
    client = asker(travels, show_places=False)
    number, other = id_of(travels, "a.jpg"), id_of(travels, "b.jpg")
    assert client.get(f"{API}/photos/{number}").json()["latitude"] is None
    assert [hit["longitude"] for hit in client.get(f"{API}/search").json()["hits"]] == [None] * 4
    near = {"q": "near:48,2,10km"}
    for address, given in {
        "places": {}, f"photos/{number}/file": {}, "search": near, "facets": near, "timeline": near,
    }.items():  # fmt: skip
        answer = client.get(f"{API}/{address}", params=given)
        assert (answer.status_code, answer.json()["code"]) == (403, "places-hidden"), address
    assert client.post(f"{API}/export", json={"ids": [number]}).json()["code"] == "places-hidden"
    assert client.get(f"{API}/photos/{other}/file").status_code == 200
    assert "places" not in client.get(f"{API}/status").json()["features"]


@pytest.mark.parametrize(
    ("text", "start", "first"),
    [
        ("dog cam", 4, {"insert": "camera:", "label": "camera:", "kind": "field"}),
        ("dog -came", 4, {"insert": "-camera:", "label": "camera:", "kind": "field"}),
        ("camera:", 0, {"insert": 'camera:"Fuji X100"', "label": "Fuji X100", "kind": "camera"}),
        ("camera:le", 0, {"insert": 'camera:"Leica Q"', "label": "Leica Q", "kind": "camera"}),
        ('a camera:"leica q', 2, {"insert": 'camera:"Leica Q"', "label": "Leica Q", "kind": "camera"}),
        ("leica", 0, {"insert": 'camera:"Leica Q"', "label": "Leica Q", "kind": "camera"}),
        ("type:png,jp", 0, {"insert": "type:png,jpeg", "label": "jpeg", "kind": "type"}),
        ("sort:", 0, {"insert": "sort:score", "label": "score", "kind": "sort"}),
        ("date:20", 0, {"insert": "date:2024", "label": "2024", "kind": "date"}),
    ],
)
def test_completions(asker: Asker, travels: Library, text: str, start: int, first: dict[str, str]) -> None:
    client = asker(travels)
    told = client.get(f"{API}/complete", params={"text": text}).json()
    assert (told["start"], told["completions"][0]) == (start, first)
    more = client.get(f"{API}/complete", params={"text": f"{text} and more", "at": len(text)}).json()
    assert more == told


@pytest.mark.parametrize("text", ["", " ", "dog ", ":", "x:", '"', "-"])
def test_nothing_to_complete(asker: Asker, travels: Library, text: str) -> None:
    assert asker(travels).get(f"{API}/complete", params={"text": text}).json()["completions"] == []


def test_an_empty_library_has_nothing(asker: Asker, tmp_path: Path, settings: Settings) -> None:
    with open_library(tmp_path / "empty", settings=settings) as empty:
        client = asker(empty)
        assert client.get(f"{API}/facets").json()["facets"] == []
        assert client.get(f"{API}/timeline").json() == {"months": []}
        assert client.get(f"{API}/places").json() == {"places": [], "more": False}
        assert client.get(f"{API}/duplicates").json() == {"groups": [], "more": False}
        assert client.get(f"{API}/complete", params={"text": "tag:"}).json()["completions"] == []
        assert client.get(f"{API}/status").json()["photos"] == 0


def test_looking_at_a_photo(asker: Asker, shelf: Library, encoder: OnnxEncoder, shown: Path) -> None:
    own = replace(shelf.settings, reranker="auto")
    with open_library(shelf.folder, settings=own, encoder=encoder) as library:
        client, number = asker(library), id_of(library, "cat.png")
        path = str(shown / "cat.png")
        told = client.get(f"{API}/photos/{number}/heat", params={"q": "a cat"}).json()
        expected = library.explain(path, "a cat")
        assert (told["text"], told["score"], told["side"]) == ("a cat", expected.score, len(expected.overall))
        assert [word["word"] for word in told["words"]] == [word.word for word in expected.words]
        assert told["part"] == pytest.approx(seen(451, 300, encoder.card.preprocess), abs=1e-4)
        told = client.get(f"{API}/photos/{number}/ask", params={"q": "is there a cat?", "k": 2}).json()
        said = [{"answer": one.text, "confidence": one.confidence} for one in library.ask(path, "is there a cat?", 2)]
        assert told == {"photo": path, "question": "is there a cat?", "answers": said}
        assert client.get(f"{API}/photos/{number}/caption").json()["caption"] == library.caption(path)[0].text
        assert client.get(f"{API}/photos/{number}/heat", params={"q": "..."}).json()["code"] == "query-syntax"


def test_a_library_that_cannot_look_says_so(client: TestClient, shelf: Library) -> None:
    answer = client.get(f"{API}/photos/{id_of(shelf, 'cat.png')}/heat", params={"q": "a cat"})
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
