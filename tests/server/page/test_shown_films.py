"""Films and documents on the page, in a real browser: where they are good, a strip of their best parts, a player."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import films
import page_library
import pytest
from page_browsing import axe, find
from PIL import Image
from sounds import sound

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library

pytestmark = pytest.mark.slow
SHOWN = ("rocket", "coffee", "chelsea", "coffee")  # for three seconds each


@pytest.fixture(scope="module")
def address(chromium: str, tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("films")
    photos = folder / "photos"
    photos.mkdir()
    shots = [films.Shot(films.photo(name, (320, 240)), 3.0) for name in SHOWN]
    (photos / "trip.webm").write_bytes(films.film(shots, films.Making("vp9 webm")))
    (photos / "trip.srt").write_text("1\n00:00:06,500 --> 00:00:08,000\nshe sees a mouse\n", "utf-8")
    pages = [Image.fromarray(films.photo(name, (600, 800))) for name in SHOWN[:3]]
    pages[0].save(photos / "album.pdf", save_all=True, append_images=pages[1:])
    Image.fromarray(films.photo("astronaut", (320, 240))).save(photos / "astronaut.png")
    (photos / "song.opus").write_bytes(sound(".opus", 8.0, LYRICS="[00:05.00]the purple giraffe"))
    with open_library(folder / "library", encoder=encoder) as library:
        assert library.index(photos).added == 4
    with page_library.served(folder / "library", folder / "cache", encoder) as found:
        yield found


def place(tile: Any) -> Any:
    return tile.locator(".moment")


def test_a_film_is_opened_at_its_best_moment(opened: Any, address: str) -> None:
    from playwright.sync_api import expect

    page = opened(address)
    find(page, "a cup of coffee")
    tile = page.locator(".tile", has=page.locator(".moment", has_text="▶"))
    expect(place(tile)).to_have_text(re.compile("▶ 0:0[39]"))  # both show it
    best = int(place(tile).inner_text()[-1])
    tile.locator("a").click()
    expect(page.locator("video")).to_have_js_property("readyState", 4)
    expect(page.locator("video")).to_have_js_property("currentTime", best)
    frames = page.locator(".strip .frame")
    expect(frames).to_have_text(["0:03", "0:09"])
    expect(page.locator(".strip .frame.best")).to_have_text(f"0:0{best}")
    assert axe(page) == []
    frames.last.click()
    page.wait_for_function("document.querySelector('video').currentTime >= 9")
    expect(page.locator(".facts")).to_contain_text("0:12")


def test_what_is_said_leads_to_its_moment(opened: Any, address: str) -> None:
    from playwright.sync_api import expect

    page = opened(address)
    find(page, "mouse")
    first = page.locator(".tile").first
    expect(place(first)).to_have_text("▶ 0:06")
    first.locator("a").click()
    expect(page.locator(".strip .frame").first).to_have_attribute("aria-label", "Play from 0:06: she sees a mouse")


def test_a_document_shows_its_best_page(opened: Any, address: str) -> None:
    from playwright.sync_api import expect

    page = opened(address)
    find(page, "a cat type:document")
    tile = page.locator(".tile").first
    expect(place(tile)).to_have_text("p. 3")
    tile.locator("a").click()
    shown = page.locator(".pswp__item[aria-hidden=false] img.pswp__img").last
    expect(shown).to_have_attribute("src", re.compile(r"part=2(&|$)"))
    expect(page.locator("video")).to_have_count(0)
    assert axe(page) == []


def test_an_audio_file_plays_from_what_is_sung(opened: Any, address: str) -> None:
    from playwright.sync_api import expect

    page = opened(address)
    find(page, "purple giraffe")
    tile = page.locator(".tile").first
    expect(place(tile)).to_have_text("♪ 0:05")
    expect(tile.locator(".missing")).to_have_text("song.opus")
    tile.locator("a").click()
    audio = page.locator("audio")
    expect(audio).to_have_js_property("readyState", 4)
    expect(audio).to_have_js_property("currentTime", 5)
    expect(page.locator(".strip .frame")).to_have_attribute("aria-label", "Play from 0:05: the purple giraffe")
    expect(page.locator(".facts")).to_contain_text("0:08 · opus")
    expect(page.locator("video")).to_have_count(0)
    expect(page.locator(".asking")).to_be_hidden()  # nothing in it can be seen, nor is anything like it
    expect(page.locator(".panel-tools")).not_to_contain_text("like this")
    expect(page.locator(".panel-tools")).to_contain_text("Original")
    assert axe(page) == []
    page.locator(".strip .frame").click()
    page.wait_for_timeout(300)
    assert audio.evaluate("audio => audio.currentTime") >= 5
