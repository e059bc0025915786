"""Films over HTTP: a frame of a moment, where words are found in it, and a file that a browser plays."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from films import film, photos
from PIL import Image
from served import API, BASE, TOKEN, id_of
from sounds import sound

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.apart import pictures_apart
from mmsearch.server import ServerOptions, app

pytest.importorskip("av")


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Path:
    """A library of a film of four photos, two pages, a photo, and a song, to be copied."""
    folder = tmp_path_factory.mktemp("cinema")
    place = folder / "films"
    place.mkdir()
    (place / "story.mp4").write_bytes(film(photos()[:4]))
    pages = [Image.fromarray(one) for one in photos()[:2]]
    pages[0].save(place / "scan.tif", save_all=True, append_images=pages[1:])
    Image.fromarray(photos()[4]).save(place / "photo.png")
    (place / "song.mp3").write_bytes(sound(".mp3", LYRICS="[00:01.00]the purple giraffe"))
    own = Settings(library=folder / "library", cache=folder / "cache", batch=4, device="cpu")
    with open_library(own.library, settings=own, encoder=encoder) as library:
        library.index(place)
    return own.library


@pytest.fixture
def cinema(filmed: Path, settings: Settings, encoder: OnnxEncoder) -> Iterator[Library]:
    shutil.copytree(filmed, settings.library)
    with open_library(settings.library, settings=replace(settings, reranker="auto"), encoder=encoder) as library:
        yield library


@pytest.fixture
def visitor(cinema: Library) -> Iterator[TestClient]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app(cinema, ServerOptions(token=TOKEN)), base_url=BASE, headers=headers) as asking:
        yield asking


def shows(content: bytes) -> int:
    """Which of the photos it is."""
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB").resize((160, 120)), np.float32)
    return int(np.argmin([np.abs(shown - one).mean() for one in photos()]))


def test_a_thumbnail_of_each_moment_and_page(visitor: TestClient, cinema: Library) -> None:
    def thumb(name: str, **asked: int) -> int:
        answer = visitor.get(f"{API}/photos/{id_of(cinema, name)}/thumb", params={"size": 160, **asked})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        return shows(answer.content)

    assert [thumb("story.mp4", part=part) for part in range(4)] == [0, 1, 2, 3]
    assert [thumb("story.mp4", at=at) for at in (0, 2500, 7999)] == [0, 1, 3]
    assert [thumb("scan.tif", part=part) for part in (0, 1)] == [0, 1]
    assert thumb("photo.png", part=0) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_film_whose_decoder_hangs_and_dies_costs_its_thumbnail_only(visitor: TestClient, cinema: Library) -> None:
    def thumb(at: int) -> Any:
        return visitor.get(f"{API}/photos/{id_of(cinema, 'story.mp4')}/thumb", params={"size": 160, "at": at})

    assert thumb(0).status_code == 200
    processes = pictures_apart().processes
    for process in processes:
        os.kill(process, signal.SIGSTOP)  # it hangs
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(thumb, 2500)
        assert visitor.get(f"{API}/status").status_code == 200
        assert visitor.get(f"{API}/search", params={"q": "a cat"}).status_code == 200
        while not waiting.done():  # as the time limit does, where the stopped one was asked
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
    answer = waiting.result()
    assert answer.status_code in (200, 422)  # the one that was stopped may have been dead before it was asked
    if answer.status_code == 422:
        assert answer.json()["detail"].endswith("the decoder crashed (signal 9)")
    assert (thumb(2500).status_code, shows(thumb(2500).content)) == (200, 1)


@pytest.mark.parametrize(
    ("name", "asked", "status"),
    [
        ("story.mp4", "part=4", 404),
        ("story.mp4", "at=9999999", 404),
        ("photo.png", "at=0", 404),
        ("scan.tif", "part=2", 404),
        ("story.mp4", "at=-1", 422),
        ("story.mp4", "part=x", 422),
        ("story.mp4", "part=99999999999999999999", 422),
    ],
)
def test_what_a_file_does_not_have_is_said(
    visitor: TestClient, cinema: Library, name: str, asked: str, status: int
) -> None:
    answer = visitor.get(f"{API}/photos/{id_of(cinema, name)}/thumb?{asked}")
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["code"] == "no-such-part"


def test_a_close_look_at_a_moment(visitor: TestClient, cinema: Library) -> None:
    address = f"{API}/photos/{id_of(cinema, 'story.mp4')}"
    match = [visitor.get(f"{address}/heat", params={"q": "a cat", "part": part}).json()["score"] for part in range(4)]
    assert match[2] > max(match[0], match[3])
    at = visitor.get(f"{address}/heat", params={"q": "a cat", "at": 5000}).json()["score"]
    assert at == pytest.approx(match[2], abs=1.0)
    assert visitor.get(f"{address}/caption", params={"part": 2}).json()["caption"]
    assert visitor.get(f"{address}/ask", params={"q": "Is there a cat?", "part": 9}).status_code == 404


def test_a_film_is_sent_as_a_browser_plays_it(visitor: TestClient, cinema: Library) -> None:
    address = f"{API}/photos/{id_of(cinema, 'story.mp4')}/file"
    part = visitor.get(address, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content, part.headers["content-type"]) == (206, b"ftyp", "video/mp4")
    assert part.headers["content-security-policy"] == "default-src 'none'; media-src 'self'; sandbox"
    assert part.headers["content-disposition"].startswith("inline")


def test_an_audio_file_is_heard_and_not_seen(visitor: TestClient, cinema: Library) -> None:
    number = id_of(cinema, "song.mp3")
    hit = visitor.get(f"{API}/search", params={"q": "purple giraffe", "k": 1}).json()["hits"][0]
    assert (hit["id"], hit["width"], hit["length"], hit["moments"][0]["start"]) == (number, 0, 1.0, 1.0)
    part = visitor.get(f"{API}/photos/{number}/file", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-type"], len(part.content)) == (206, "audio/mpeg", 10)
    thumb = visitor.get(f"{API}/photos/{number}/thumb", params={"size": 160})
    assert thumb.status_code in (409, 415, 422)
    assert "there is no picture in it" in thumb.text
    refused = visitor.get(f"{API}/search", params={"like": number})
    assert (refused.status_code, refused.json()["code"]) == (422, "no-vector")
    status = visitor.get(f"{API}/status").json()
    assert (status["films"], status["sounds"]) == (1, 1)
