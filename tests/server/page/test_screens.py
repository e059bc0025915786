"""Every screen of the page: no violation of accessibility, no script from names, captions or tags; and what it says
where there are no photos, where a run goes on, where the library changed and where the session is lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drawn_photos
import page_library
import pytest
from page_browsing import OF_COLOURS, Heard, axe, find, tile
from page_library import COPIES, SCRIPT
from samples import SAMPLES

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.slow


def _grid(page: Any) -> None:
    find(page, "words:img")
    expect(tile(page, SCRIPT)).to_be_visible()


def _open(page: Any) -> None:
    _grid(page)
    tile(page, SCRIPT).locator("a").click()
    expect(page.locator(".panel h2")).to_have_text(f"{SCRIPT}.png")
    expect(page.locator(".told").first).to_have_text(f"{SCRIPT} captioned")
    expect(page.locator(".pswp--ui-visible")).to_be_visible()


def _facets(page: Any) -> None:
    page.locator("#filter-switch").click()
    expect(page.get_by_role("region", name="Tag")).to_contain_text(SCRIPT)


def _map(page: Any) -> None:
    page.get_by_role("button", name="Map").click()
    expect(page.locator(".place").first).to_be_visible()


def _duplicates(page: Any) -> None:
    page.get_by_role("button", name="Duplicates").click()
    page.locator("#level").select_option("exact")
    expect(page.locator(".copy").first).to_be_visible()
    others = "document.querySelectorAll('.duplicates ~ .duplicates')"  # hundreds of photos, drawn as the first dozen
    page.evaluate(f"{others}.forEach(group => group.remove())")


def _timeline(page: Any) -> None:
    page.locator("#timeline-switch").click()
    expect(page.locator(".bars button").first).to_be_visible()


def _help(page: Any) -> None:
    page.locator("#help").click()
    expect(page.get_by_role("dialog")).to_contain_text("Queries")


def _library(page: Any) -> None:
    page.locator("#library").click()
    expect(page.get_by_role("dialog")).to_contain_text("Folders")


def _saved(page: Any) -> None:
    find(page, f'"{SCRIPT}"')
    expect(page.locator("#count")).not_to_be_empty()
    page.locator("#save-search").click()
    page.get_by_label("Name").fill(f"saved {SCRIPT}")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".toast")).to_contain_text(SCRIPT)
    page.locator("#saved").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"saved {SCRIPT}")


def _selected(page: Any) -> None:
    _grid(page)
    tile(page, SCRIPT).locator(".mark").click()
    expect(page.locator("#actions")).to_be_visible()


def _tagging(page: Any) -> None:
    _selected(page)
    page.get_by_role("button", name="Tag…").click()
    expect(page.locator("#tag-input-offers option").first).to_have_attribute("value", re.compile("img src"))


def _completions(page: Any) -> None:
    page.locator("#box").press_sequentially("tag:")
    expect(page.get_by_role("option").first).to_be_visible()


SCREENS: dict[str, Callable[[Any], None]] = {
    "grid": _grid,
    "open photo": _open,
    "facets": _facets,
    "map": _map,
    "duplicates": _duplicates,
    "timeline": _timeline,
    "help": _help,
    "library": _library,
    "saved": _saved,
    "selected": _selected,
    "tagging": _tagging,
    "completions": _completions,
}


@pytest.mark.parametrize("screen", SCREENS)
def test_screens_are_accessible_in_light_and_dark_and_run_no_script_of_a_photo(
    opened: Any, address: str, screen: str
) -> None:
    page = opened(address, color_scheme="light")
    SCREENS[screen](page)
    page.wait_for_timeout(400)  # fades
    assert axe(page) == []
    page.emulate_media(color_scheme="dark")
    assert axe(page, *OF_COLOURS) == []
    assert page.locator("img[src='x']").count() == 0
    assert page.locator("[onerror]").count() == 0


@pytest.mark.parametrize("screen", ["grid", "open photo", "facets", "selected", "tagging", "map"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(opened: Any, address: str, screen: str) -> None:
    page = opened(address, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    if screen == "open photo":
        _grid(page)
        tile(page, SCRIPT).locator("a").tap()
        page.locator(".pswp__button--info").tap()
        expect(page.locator(".panel")).to_be_visible()
    else:
        SCREENS[screen](page)
    page.wait_for_timeout(400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert axe(page) == []


def test_the_page_is_dark_where_the_system_is_and_where_one_says_so(opened: Any, address: str) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = opened(address, color_scheme="dark")
    assert dark.evaluate(paper) == "rgb(18, 20, 24)"
    page = opened(address, color_scheme="light")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.locator("#theme").click()
    assert page.evaluate(paper) == "rgb(18, 20, 24)"
    page.reload()
    assert page.evaluate(paper) == "rgb(18, 20, 24)"


def test_a_place_on_the_map_opens_its_photos(page: Any) -> None:
    _map(page)
    page.get_by_role("button", name=re.compile(f"^{6 * COPIES} photos taken here")).first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".pswp--open")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".pswp")).to_have_count(0)


def test_a_saved_search_is_opened_and_forgotten(page: Any) -> None:
    find(page, "a rocket")
    page.locator("#save-search").click()
    page.get_by_label("Name").fill("rockets")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator(".brand").click()
    expect(page.locator("#box")).to_have_value("")
    page.locator("#saved").click()
    page.get_by_role("button", name="rockets", exact=True).click()
    expect(page.locator("#box")).to_have_value("a rocket")
    page.locator("#saved").click()
    page.get_by_role("button", name="Forget rockets").click()
    expect(page.get_by_role("button", name="rockets", exact=True)).to_have_count(0)


def test_a_search_without_a_part_of_the_library_says_so_and_is_tried_again(opened: Any, address: str) -> None:
    page = opened(address)
    said = {"code": "vectors-unreachable", "message": "Only some were looked at: pgvector is away", "fields": {}}

    def partial(route: Any) -> None:
        whole = route.fetch().json()
        route.fulfill(json={**whole, "hits": [], "next_cursor": None, "notes": [said], "unreachable": ["vectors"]})

    search = re.compile(r"/api/v1/search\?")
    page.route(search, partial)
    find(page, "a rocket")
    expect(page.locator("#notes .notice")).to_have_text(said["message"])
    expect(page.locator("#message")).to_contain_text("A part of the library did not answer")
    assert axe(page) == []
    page.unroute(search)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.locator("#notes .notice")).to_have_count(0)


# Libraries of their own


@pytest.fixture
def own(tmp_path: Path, encoder: OnnxEncoder) -> Path:
    """A library with nothing in it."""
    with open_library(tmp_path / "library", encoder=encoder):
        return tmp_path / "library"


def test_an_empty_library_says_so_and_is_filled_from_the_page(
    opened: Any, serving: Any, own: Path, photos: Path
) -> None:
    page = opened(serving(own))
    expect(page.locator("#message")).to_contain_text("This library has no photos yet")
    assert axe(page) == []
    page.get_by_label("Folder of photos on this machine").fill(str(photos))
    page.get_by_role("button", name="Read the photos").click()
    expect(page.locator(".toast")).to_contain_text("Done: 5 new photos.")
    expect(page.locator("#count")).to_have_text("5 photos")
    expect(page.locator(".tile")).to_have_count(5)


def test_a_library_that_is_served_read_only_offers_nothing_that_writes(opened: Any, serving: Any, own: Path) -> None:
    page = opened(serving(own, read_only=True))
    expect(page.locator("#message")).to_contain_text("It is served read-only.")
    page.locator("#library").click()
    expect(page.get_by_label("Add a folder")).to_have_count(0)


def test_a_library_that_is_served_read_only_shows_tags_and_takes_none(
    opened: Any, serving: Any, shown_library: Path
) -> None:
    page = opened(serving(shown_library, read_only=True))
    _selected(page)
    expect(page.get_by_role("button", name="Tag…")).to_have_count(0)
    tile(page, SCRIPT).locator("a").click()
    expect(page.get_by_role("list", name="Tags")).to_contain_text(f"{SCRIPT} of a person")
    expect(page.get_by_label("Add a tag to this photo")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("Take away"))).to_have_count(0)


def test_a_list_of_a_library_that_changed_begins_anew(
    opened: Any, serving: Any, tmp_path: Path, own: Path, encoder: OnnxEncoder, heard: Heard
) -> None:
    heard.expected.append("410")
    folder = tmp_path / "many"
    folder.mkdir()
    drawn_photos.draw(folder / "0.jpg", 0)
    with open_library(own, encoder=encoder) as library:
        library.index(folder)
        for number in range(1, 200):
            shutil.copy(folder / "0.jpg", folder / f"{number}.jpg")
        library.index(folder)  # copies of what is known: nothing is encoded
        address = serving(own)
        page = opened(address)
        expect(page.locator(".tile").first).to_be_visible()
        shutil.copy(SAMPLES / "chelsea.png", folder / "cat.png")
        library.index(folder)
        search = address.split("?")[0] + "api/v1/search?k=1"
        while page.request.get(search).json()["found"] != 201:  # the server learns of it with a search
            page.wait_for_timeout(200)
        for _ in range(100):
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            page.wait_for_timeout(100)
            if page.locator("#count").inner_text() == "201 photos":
                break
        expect(page.locator("#count")).to_have_text("201 photos")


def test_a_lost_session_and_a_server_that_is_gone_are_told(
    opened: Any, own: Path, photos: Path, encoder: OnnxEncoder, heard: Heard
) -> None:
    heard.expected += ["401", "ERR_CONNECTION_REFUSED", "Failed to load resource"]
    with open_library(own, encoder=encoder) as library:
        library.index(photos)
    with page_library.served_by_a_process(own, own.parent) as address:
        page = opened(address)
        expect(page.locator(".tile")).to_have_count(5)
        page.context.clear_cookies()
        find(page, "a cat")
        expect(page.locator("#banner")).to_contain_text("This session has ended.")
        page.goto(address)
        page.wait_for_url(re.compile(r"/$"))
        expect(page.locator(".tile")).to_have_count(5)
    find(page, "a rocket")
    expect(page.locator("#banner")).to_contain_text("The server does not answer.")
