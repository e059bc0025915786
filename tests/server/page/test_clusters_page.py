"""The map in a real browser: the file that ``mmsearch map -o`` writes, and the tab of the page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mapped
import page_library
import pytest
from page_browsing import OF_COLOURS, Heard, axe

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shelf(
    mapped_library: Path, encoder: OnnxEncoder, tag_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A library with a map and its file, ``map.html`` beside it."""
    folder = tmp_path_factory.mktemp("clusters")
    settings = Settings(library=shutil.copytree(mapped_library, folder / "library"), cache=tag_cache)
    with open_library(settings.library, settings=replace(settings, device="cpu"), encoder=encoder) as library:
        library.map(folder / "map.html")
    return folder


@pytest.fixture(scope="module")
def address(shelf: Path, tag_cache: Path, encoder: OnnxEncoder) -> Iterator[str]:
    """Of a server of that library."""
    with page_library.served(shelf / "library", tag_cache, encoder) as found:
        yield found


@pytest.fixture
def opened_file(browser: Any, heard: Heard, shelf: Path) -> Iterator[Any]:
    """Opens the file; at the end it may have complained of nothing and asked for nothing."""
    contexts = []

    def open_file(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: heard.complaints.append(said.text))
        page.on("pageerror", lambda error: heard.complaints.append(str(error)))
        page.on("dialog", lambda dialog: heard.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: heard.hosts.add(asked.url.split(":")[0]))
        page.goto((shelf / "map.html").as_uri())
        page.locator(".atlas-item").first.wait_for()
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert heard.left() == []
    assert heard.hosts <= {"file", "data"}


def violations(page: Any) -> list[str]:
    """In light, and of colours in dark."""
    found = axe(page)
    page.emulate_media(color_scheme="dark")
    found += axe(page, *OF_COLOURS)
    page.emulate_media(color_scheme="light")
    return found


@pytest.mark.parametrize("viewport", [{"width": 1200, "height": 800}, {"width": 390, "height": 844}])
def test_the_file_is_accessible_in_light_and_dark(opened_file: Any, viewport: dict[str, int]) -> None:
    page = opened_file(viewport=viewport)
    assert violations(page) == []
    page.locator(".atlas-item").first.click()
    expect(page.locator(".atlas-bar")).to_be_visible()
    page.locator(".atlas-canvas").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".atlas-card")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_hostile_name_is_text_and_is_found_and_copied(opened_file: Any, mapped_photos: Path) -> None:
    page = opened_file(permissions=["clipboard-read", "clipboard-write"])
    page.locator("#atlas-search").fill("alert(1)")
    expect(page.locator(".atlas-said")).to_contain_text("1 file name")
    page.keyboard.press("Enter")
    expect(page.locator(".atlas-bar")).to_contain_text("1 photo selected")
    page.locator(".atlas-canvas").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".atlas-name")).to_contain_text("<script>alert(1)")
    expect(page.locator(".atlas-card")).to_contain_text("</script><b>bold</b> told")
    page.get_by_role("button", name="Copy paths").click()
    expect(page.locator(".atlas-bar")).to_contain_text("1 path copied")
    assert page.evaluate("navigator.clipboard.readText()") == str(mapped_photos / mapped.HOSTILE)


def test_a_lasso_around_all_selects_all(opened_file: Any) -> None:
    page = opened_file()
    box = page.locator(".atlas-canvas").bounding_box()
    corners = [(3, 3), (box["width"] - 3, 3), (box["width"] - 3, box["height"] - 3), (3, box["height"] - 3), (3, 4)]
    page.get_by_role("button", name=re.compile("Select by drawing")).click()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    expect(page.locator(".atlas-bar")).to_contain_text("30 photos selected")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".atlas-bar")).to_be_hidden()


def test_the_tab_shows_the_map_and_photos_of_it(address: str, opened: Any) -> None:
    page = opened(address)
    page.get_by_role("button", name="Clusters").click()
    expect(page.locator(".atlas-item")).to_have_count(3)
    expect(page.locator(".view-head")).to_contain_text("30 photos in 3 clusters")
    assert axe(page) == []
    page.locator(".atlas-item").first.click()
    page.locator(".atlas-canvas").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".atlas-card .atlas-name")).to_have_text(re.compile(r"\.png$"))
    page.locator(".atlas-card").get_by_role("button", name="Open").click()
    expect(page.locator(".pswp--open")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Photos", exact=True).click()
    expect(page.locator(".tile").first).to_be_visible()


def test_a_map_that_comes_late_leaves_the_one_that_is_shown(address: str, opened: Any) -> None:
    held: list[Any] = []
    page = opened(address)
    page.route(re.compile(r"/map$"), lambda route: route.continue_() if held else held.append(route))
    page.get_by_role("button", name="Clusters").click()
    page.wait_for_function("document.querySelector('.view-head')")
    while not held:
        page.wait_for_timeout(20)
    page.get_by_role("button", name="Photos", exact=True).click()
    page.get_by_role("button", name="Clusters").click()
    expect(page.locator(".atlas-item")).to_have_count(3)
    with page.expect_response(re.compile(r"/map$")) as late:
        held[0].continue_()
    late.value.finished()
    page.wait_for_timeout(200)  # the page has read it
    expect(page.locator(".atlas-item")).to_have_count(3)


def test_the_tab_makes_the_map(
    mapped_library: Path, tag_cache: Path, opened: Any, serving: Any, tmp_path: Path
) -> None:
    library = shutil.copytree(mapped_library, tmp_path / "library")
    cache = shutil.copytree(tag_cache, tmp_path / "cache")  # with the texts that clusters are named by
    page = opened(serving(library, cache), "?view=clusters")
    page.get_by_role("button", name="Make the map").click()
    expect(page.locator(".atlas-item")).to_have_count(3, timeout=120_000)
