"""The map over HTTP: made in the background, drawn by places, asked for photos."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mapped
import numpy as np
import pytest
from fastapi.testclient import TestClient
from served import API, Asker

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.server.jobs import MapRuns


@pytest.fixture
def thirty(mapped_library: Path, encoder: OnnxEncoder, tag_cache: Path, tmp_path: Path) -> Iterator[Library]:
    own = Settings(library=shutil.copytree(mapped_library, tmp_path / "thirty"), cache=tag_cache, device="cpu")
    with open_library(own.library, settings=own, encoder=encoder) as library:
        yield library


def made(client: TestClient) -> tuple[str, dict[str, Any]]:
    """The last thing that is told of a run, once it has ended."""
    assert client.post(f"{API}/map", json={}).status_code == 202
    maps: MapRuns = client.app.state.context.maps  # type: ignore[attr-defined]

    async def listen() -> tuple[str, dict[str, Any]]:
        async for part in maps.events():
            lines = dict(line.split(": ", 1) for line in part.decode().splitlines() if line)
            if lines.get("event") in ("done", "failed"):
                return lines["event"], json.loads(lines["data"])
        raise AssertionError("the server closed")

    return asyncio.run(asyncio.wait_for(listen(), 120))


def test_a_map_is_made_and_drawn_and_its_photos_are_told(asker: Asker, thirty: Library) -> None:
    client = asker(thirty)
    missing = client.get(f"{API}/map")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert missing.json()["code"] == "no-map"
    assert "map" not in client.get(f"{API}/status").json()["features"]
    name, report = made(client)
    assert (name, report["photos"], report["laid_out"], report["run"]) == ("done", 30, 30, 1)
    assert "map" in client.get(f"{API}/status").json()["features"]
    told = client.get(f"{API}/map").json()
    kept = thirty.last_map()
    assert kept is not None
    assert (told["points"], told["current"], told["generation"]) == (30, True, kept.generation)
    assert len(np.frombuffer(base64.b64decode(told["places"]), "<u2")) == 60
    assert [one["name"] for one in told["clusters"]] == [one.name for one in kept.clusters]
    first = told["clusters"][1]
    points = list(range(first["first"], first["first"] + first["size"]))
    shown = client.post(f"{API}/map/photos", json={"generation": told["generation"], "points": points}).json()["photos"]
    expected = {
        photo.path for files in thirty.store.photos(kept.ids[kept.of == 2].tolist()).values() for photo in files
    }
    assert {photo["path"] for photo in shown} == expected
    offers = client.get(f"{API}/complete", params={"text": "cluster:"}).json()["completions"]
    assert [one["insert"] for one in offers] == [f"cluster:{one.number}" for one in kept.clusters]
    found = client.get(f"{API}/search", params={"q": "cluster:2"}).json()["hits"]
    assert {hit["path"] for hit in found} == expected


def test_a_map_of_another_state_is_told(asker: Asker, thirty: Library, tmp_path: Path) -> None:
    client = asker(thirty)
    made(client)
    asked = {"generation": thirty.store.generation() - 1, "points": [0]}
    assert client.post(f"{API}/map/photos", json=asked).json()["code"] == "stale-map"
    asked = {"generation": thirty.store.generation(), "points": [30]}
    assert client.post(f"{API}/map/photos", json=asked).json()["code"] == "no-such-point"
    mapped.draw(tmp_path / "more", 1, first=30)
    thirty.index(tmp_path / "more")
    assert client.get(f"{API}/map").json()["current"] is False


def test_what_cannot_be_is_a_problem(
    asker: Asker, thirty: Library, shelf: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asker(thirty, read_only=True).post(f"{API}/map", json={}).json()["code"] == "read-only"
    name, told = made(asker(shelf))
    assert (name, told["code"]) == ("failed", "too-few-photos")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "sklearn" else found(name, *more)
    )
    refused = asker(thirty).post(f"{API}/map", json={"clusters": "hdbscan"})
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    assert refused.json()["code"] == "no-hdbscan"
    assert asker(thirty).post(f"{API}/map", json={"clusters": "other"}).status_code == 422


def test_what_pages_share_is_served_and_no_more(asker: Asker, shelf: Library) -> None:
    client = asker(shelf)
    assert client.get("/static/map/atlas.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/static/map/atlas.css").status_code == 200
    assert [client.get(f"/static/map/{name}").status_code for name in ("page.js", "../layout.py", "")] == [404] * 3
