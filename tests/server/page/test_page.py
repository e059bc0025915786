"""What people do with the page, in a real browser."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from page_browsing import Heard, axe, find, names, tile
from page_library import COPIES
from PIL import Image
from samples import SAMPLES

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.slow


# Search and the grid


def test_search_finds_the_cat_first_and_says_how_relevant_it_is(page: Any) -> None:
    find(page, "a cat")
    expect(page.locator(".tile").first.locator("img")).to_have_attribute("alt", re.compile(r"cat\.png"))
    expect(page.locator(".tile").first.locator(".relevance")).to_have_text(re.compile(r"\d+ %"))
    expect(page.locator("#live")).to_contain_text("photos")


def test_back_and_forward_show_the_searches_before(page: Any) -> None:
    find(page, "a cat")
    expect(page.locator(".tile").first.locator("img")).to_have_attribute("alt", re.compile(r"cat\.png"))
    find(page, "a rocket")
    expect(page.locator(".tile").first.locator("img")).to_have_attribute("alt", re.compile(r"rocket\.jpg"))
    page.go_back()
    expect(page.locator("#box")).to_have_value("a cat")
    expect(page.locator(".tile").first.locator("img")).to_have_attribute("alt", re.compile(r"cat\.png"))
    page.go_forward()
    expect(page.locator("#box")).to_have_value("a rocket")


def test_a_long_list_is_scrolled_with_few_tiles_and_kept_when_a_photo_was_open(page: Any) -> None:
    wanted = page.locator(".tile[aria-posinset='281']")
    for _ in range(300):
        there = page.eval_on_selector_all(".tile", "tiles => tiles.map(tile => Number(tile.ariaPosInSet))")
        if 281 in there:
            break
        page.mouse.move(600, 500)
        page.mouse.wheel(0, 1200 if max(there, default=0) < 281 else -600)  # a busy browser takes several steps at once
        page.wait_for_timeout(60)
    wanted.scroll_into_view_if_needed()
    expect(wanted).to_be_visible()
    assert page.locator(".tile").count() < 120
    before = page.evaluate("scrollY")
    wanted.locator("a").click()
    expect(page.locator(".pswp--open")).to_be_visible()
    expect(page).to_have_url(re.compile(r"photo=\d+"))
    page.keyboard.press("Escape")
    expect(page.locator(".pswp")).to_have_count(0)
    assert page.evaluate("scrollY") == before
    expect(wanted.locator("a")).to_be_focused()
    expect(page).not_to_have_url(re.compile(r"photo="))


def test_reloading_and_going_back_keep_the_place(page: Any) -> None:
    for _ in range(6):
        page.mouse.move(600, 500)
        page.mouse.wheel(0, 1200)
        page.wait_for_timeout(300)
    page.wait_for_function("history.state?.place?.top === scrollY")  # it is kept once nothing moves
    before = page.evaluate("scrollY")
    assert before > 1500
    page.reload()
    page.wait_for_function("before => scrollY === before", arg=before)
    find(page, "a cat")
    expect(page.locator(".tile").first.locator("img")).to_have_attribute("alt", re.compile(r"cat\.png"))
    assert page.evaluate("scrollY") == 0
    page.go_back()
    page.wait_for_function("before => scrollY === before", arg=before)


def test_the_header_stays_above_the_tiles(page: Any) -> None:
    page.mouse.move(600, 500)
    page.mouse.wheel(0, 500)
    page.wait_for_timeout(300)
    assert page.evaluate("document.elementFromPoint(640, 30).closest('.top') !== null")


def test_keys_walk_through_the_grid_open_and_select(page: Any) -> None:
    page.locator("#box").press("Escape")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".tile").first.locator("a")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile[aria-posinset='2'] a")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#selected")).to_have_text("1 selected")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#selected")).to_have_text("2 selected")
    page.keyboard.press("Escape")
    expect(page.locator("#actions")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator(".pswp--open")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.go_back()
    expect(page.locator(".pswp")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.locator("#box")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keys")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_fields_are_completed(page: Any) -> None:
    page.locator("#box").press_sequentially("cam")
    option = page.get_by_role("option").filter(has_text="camera").first
    expect(option).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#box")).to_have_value(re.compile("^camera:"))


def test_a_query_that_is_wrong_is_told_in_plain_words(page: Any, heard: Heard) -> None:
    heard.expected.append("Failed to load resource")  # Chromium writes each answer above 399 to its console
    find(page, "date:2024-13")
    expect(page.locator("#message")).to_contain_text("month must be in 1..12")


def test_nothing_found_says_what_to_do(page: Any) -> None:
    find(page, "words:nothinghasthisword")
    expect(page.locator("#message")).to_contain_text("No photos found")
    expect(page.locator("#count")).to_have_text("0 photos")


# Narrowing


def test_facets_write_the_query_several_at_once_and_leave_out(page: Any) -> None:
    page.locator("#filter-switch").click()
    years = page.get_by_role("region", name="Year")
    years.get_by_role("button", name=re.compile(r"^2022")).first.click()
    expect(page.locator("#box")).to_have_value("date:2022")
    expect(page.locator("#count")).to_have_text(f"{12 * COPIES} photos")
    years.get_by_role("button", name=re.compile(r"^2023")).first.click()
    expect(page.locator("#box")).to_have_value("date:2022,2023")
    expect(page.locator("#count")).to_have_text(f"{24 * COPIES} photos")
    cameras = page.get_by_role("region", name="Camera")
    cameras.get_by_role("button", name=re.compile("^Leave out .*Canon", re.IGNORECASE)).click()
    expect(page.locator("#box")).to_have_value(re.compile(r"^date:2022,2023 -camera:"))
    expect(page.locator("#count")).to_have_text(f"{12 * COPIES} photos")
    page.locator("#chips").get_by_role("button", name=re.compile("Take out date")).click()
    expect(page.locator("#box")).to_have_value(re.compile(r"^-camera:"))


def test_conditions_are_joined_turned_round_and_taken_out_of_a_query(page: Any) -> None:
    written = page.evaluate(
        """async cases => {
          const { conditions, withUse, withoutField, words } = await import('/static/js/querytext.js');
          return [
            ...cases.map(([query, piece, how]) => withUse(query, piece, how)),
            withoutField('a dog date:2024 -date:2020', 'date'),
            words('a dog -people date:2024 "type:jpeg" tag:"red car"'),
            conditions('a dog in:"/my photos" -tag:cat'),
          ];
        }""",
        [
            ["a dog", "date:2024", "wanted"],
            ["a dog date:2024", "date:2023", "wanted"],
            ["date:2023,2024 a dog", "date:2023", ""],
            ["a dog date:2024", "date:2024", "excluded"],
            ["tag:cat", 'tag:"red car"', "wanted"],
            ['camera:"Canon EOS 5D"', 'camera:"canon eos 5d"', ""],
            ["date:2020..2022 dog", "date:2024", "wanted"],
        ],
    )
    assert written == [
        "a dog date:2024",
        "a dog date:2024,2023",
        "date:2024 a dog",
        "a dog -date:2024",
        'tag:cat tag:"red car"',
        "",
        "date:2020..2022,2024 dog",
        "a dog",
        'a dog -people "type:jpeg"',
        ['in:"/my photos"', "-tag:cat"],
    ]


def test_the_slider_hides_what_is_less_relevant(page: Any) -> None:
    find(page, "a cat")
    expect(page.locator(".tile").first.locator("img")).to_have_attribute("alt", re.compile(r"cat\.png"))
    page.locator("#relevance").fill("0.2")
    expect(page).to_have_url(re.compile(r"min=0\.2"))
    expect(page.locator("#count")).to_have_text(re.compile(r"^\d photos?$"))
    assert any("cat.png" in name for name in names(page))


def test_sorted_by_date_photos_stand_under_their_months(page: Any) -> None:
    page.locator("#box").fill("in:photos date:2022")
    find(page, "date:2022")
    page.locator("#sort").select_option("oldest")
    expect(page.locator(".section").first).to_have_text("January 2022")
    page.locator("#sort").select_option("newest")
    expect(page.locator(".section").first).to_have_text("December 2022")


def test_the_timeline_writes_a_month(page: Any) -> None:
    find(page, "camera:canon")
    page.locator("#timeline-switch").click()
    page.get_by_role("button", name=f"April 2022: {COPIES} photos").click()
    expect(page.locator("#box")).to_have_value("camera:canon date:2022-04")
    expect(page.locator("#count")).to_have_text(f"{COPIES} photos")


# Pictures


def _picture() -> bytes:
    made = io.BytesIO()
    Image.open(SAMPLES / "chelsea.png").rotate(3).convert("RGB").save(made, "JPEG")
    return made.getvalue()


GIVE = """([kind, bytes]) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], 'mine.jpg', {type: 'image/jpeg'}));
  const options = {bubbles: true, cancelable: true};
  if (kind === 'paste') document.body.dispatchEvent(new ClipboardEvent('paste', {...options, clipboardData: files}));
  else for (const name of ['dragenter', 'dragover', 'drop'])
    document.body.dispatchEvent(new DragEvent(name, {...options, dataTransfer: files}));
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted_to_search_by(page: Any, kind: str) -> None:
    page.evaluate(GIVE, [kind, list(_picture())])
    expect(page).to_have_url(re.compile("picture="))
    expect(page.locator("#chips")).to_contain_text("Like your picture")
    expect(page.locator(".tile").first.locator("img")).to_have_attribute("alt", re.compile(r"cat\.png"))
    page.reload()
    expect(page.locator(".tile").first.locator("img")).to_have_attribute("alt", re.compile(r"cat\.png"))


def test_more_and_less_like_this(page: Any) -> None:
    find(page, "a cat")
    tile(page, "cat.png").locator("a").first.click()
    page.get_by_role("button", name="More like this").click()
    expect(page.locator("#chips")).to_contain_text("More like this")
    expect(page.locator(".pswp")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"like=\d+"))
    page.locator(".tile").nth(1).locator("a").click()
    page.get_by_role("button", name="Less like this").click()
    expect(page.locator("#chips")).to_contain_text("Less like this")


# An open photo


LIES_ON_IT = """() => {
  const heat = document.querySelector("canvas.heat").getBoundingClientRect();
  const image = [...document.querySelectorAll(".pswp__item[aria-hidden=false] img")].at(-1).getBoundingClientRect();
  return Math.abs(heat.width - image.width) < 2 && Math.abs(heat.x - image.x) < 2;
}"""


def test_an_open_photo_shows_why_it_was_found_its_facts_and_heat(page: Any) -> None:
    find(page, "a cat")
    tile(page, "cat.png").locator("a").first.click()
    panel = page.get_by_role("complementary", name="What is known of the photo")
    expect(panel).to_contain_text("Relevance")
    expect(panel).to_contain_text("name: cat")
    expect(panel).to_contain_text("451 × 300")
    page.keyboard.press("h")
    expect(page.locator("canvas.heat")).to_be_visible()
    panel.get_by_role("button", name="cat", exact=True).click()
    expect(page.locator("canvas.heat")).to_be_visible()
    page.wait_for_function(LIES_ON_IT)  # once the photo has grown to its size
    page.keyboard.press("h")
    expect(page.locator("canvas.heat")).to_have_count(0)
    page.keyboard.press("i")
    expect(panel).to_be_hidden()


def test_a_question_is_answered_on_the_photos_and_in_the_open_one(page: Any) -> None:
    find(page, "is there a cat?")
    expect(page.locator(".tile .answer").first).to_have_text("yes")
    page.locator(".tile a").first.click()
    expect(page.locator(".answer-line")).to_contain_text("yes")
    asked = page.get_by_label("Ask something of this photo")
    asked.fill("what animal is this?")
    asked.press("Enter")
    expect(page.locator(".answers li").first).to_contain_text("sure")


# The selection


def test_selected_photos_become_a_zip(page: Any, shown_photos: Path) -> None:
    find(page, "type:png in:" + str(shown_photos / "named"))
    expect(page.locator("#count")).to_have_text("6 photos")
    tile(page, "cat.png").locator(".mark").click()
    tile(page, "grass.png").locator(".mark").click()
    expect(page.locator("#selected")).to_have_text("2 selected")
    with page.expect_download() as download:
        page.get_by_role("button", name="Zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == ["cat.png", "grass.png"]
        assert archive.read("cat.png") == (SAMPLES / "chelsea.png").read_bytes()


def test_a_range_and_all_that_are_found_are_selected(page: Any) -> None:
    find(page, "date:2022")
    expect(page.locator("#count")).to_have_text(f"{12 * COPIES} photos")
    page.locator(".tile[aria-posinset='1'] .mark").click()
    page.locator(".tile[aria-posinset='5'] .mark").click(modifiers=["Shift"])
    expect(page.locator("#selected")).to_have_text("5 selected")
    page.locator("#select-all").click()
    expect(page.locator("#selected")).to_have_text(f"{12 * COPIES} selected")


def test_selected_photos_are_copied_to_a_folder_and_their_paths_to_the_clipboard(
    opened: Any, address: str, shown_photos: Path, tmp_path: Path
) -> None:
    page = opened(address, permissions=["clipboard-read", "clipboard-write"])
    find(page, "words:cat.png")
    tile(page, "cat.png").locator(".mark").first.click()
    page.get_by_role("button", name="Copy paths").click()
    expect(page.locator(".toast")).to_contain_text("Copied 1 path")
    assert page.evaluate("navigator.clipboard.readText()") == str(shown_photos / "named" / "cat.png")
    page.get_by_role("button", name="Copy to folder").click()
    page.get_by_label("Folder on this machine").fill(str(tmp_path / "taken"))
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator(".toast").last).to_contain_text("Copied 1 photo to")
    assert (tmp_path / "taken" / "cat.png").read_bytes() == (SAMPLES / "chelsea.png").read_bytes()


# Tags that people give


def test_selected_photos_are_tagged_by_keyboard_and_found_by_it(page: Any, heard: Heard) -> None:
    find(page, "words:coffee.png")
    tile(page, "coffee.png").locator(".mark").click()
    page.get_by_role("button", name="Tag…").click()
    dialog = page.get_by_role("dialog", name="Tag 1 photo")
    field = dialog.get_by_label("Tag", exact=True)
    expect(field).to_be_focused()
    page.keyboard.type("Morning, Kenya, Morning")
    page.keyboard.press("Enter")
    expect(page.locator("#tag-said")).to_have_text("“Morning”, “Kenya”: given to 1 photo.")
    expect(field).to_be_focused()
    assert axe(page) == []
    page.keyboard.type("ken")
    expect(dialog.locator("datalist option")).to_have_count(1)
    expect(dialog.locator("datalist option")).to_have_attribute("value", "Kenya")
    field.fill("KENYA")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Take away
    expect(page.locator("#tag-said")).to_have_text("“KENYA”: taken from 1 photo.")
    heard.expected.append("Failed to load resource")
    field.fill("x" * 101)
    page.keyboard.press("Enter")
    expect(page.locator("#tag-said")).to_contain_text("at most 100 are taken")
    page.keyboard.press("Escape")
    expect(page.locator("#selected")).to_have_text("1 selected")
    page.locator("#filter-switch").click()
    page.get_by_role("region", name="Tag").get_by_role("button", name="Morning").first.click()
    expect(page.locator("#box")).to_have_value(re.compile("tag:Morning"))
    find(page, "tag:morning")
    expect(page.locator("#count")).to_have_text("1 photo")


def test_what_is_typed_in_while_a_photo_opens_keeps_the_focus(page: Any) -> None:
    find(page, "words:rocket.jpg")
    expect(tile(page, "rocket.jpg")).to_be_visible()
    page.evaluate("""() => {
        const focus = (_, observer) => {
            const field = document.querySelector(".pswp #photo-tag");
            if (field) observer.disconnect(), field.focus();
        };
        new MutationObserver(focus).observe(document.body, { childList: true, subtree: true });
    }""")
    tile(page, "rocket.jpg").locator("a").click()
    expect(page.locator(".pswp--open .pswp__img").first).to_be_visible()
    page.wait_for_timeout(1000)  # it has grown to its size
    expect(page.get_by_label("Add a tag to this photo")).to_be_focused()


def test_a_tag_that_is_stored_late_leaves_the_photo_that_is_open_by_then(page: Any) -> None:
    held: list[Any] = []
    find(page, "type:png")
    page.locator(".tile").first.locator("a").click()
    panel, field = page.locator(".panel"), page.get_by_label("Add a tag to this photo")
    expect(panel.locator(".facts")).to_contain_text("Folder")
    page.route(re.compile(r"/tags$"), lambda route: held.append(route))
    field.fill("Belated")
    field.press("Enter")
    while not held:
        page.wait_for_timeout(20)
    page.locator(".pswp__button--arrow--next").click()
    expect(page).to_have_url(re.compile(r"photo=\d+"))
    with page.expect_response(re.compile(r"/photos/\d+$")) as late:
        held[0].continue_()
    late.value.finished()
    page.wait_for_timeout(300)  # the page has read it
    expect(panel).not_to_contain_text("Belated")
    expect(panel.locator(".facts")).to_contain_text("Folder")
    page.locator(".pswp__button--arrow--prev").click()
    expect(page.get_by_role("list", name="Tags")).to_contain_text("Belated")
    page.unroute(re.compile(r"/tags$"))
    page.get_by_role("button", name="Take away the tag Belated").click()
    expect(panel).not_to_contain_text("Belated")


def test_an_open_photo_gets_a_tag_and_loses_it(page: Any) -> None:
    find(page, "words:rocket.jpg")
    tile(page, "rocket.jpg").locator("a").click()
    field = page.get_by_label("Add a tag to this photo")
    field.fill("Launch")
    field.press("Enter")
    tags = page.get_by_role("list", name="Tags")
    expect(tags).to_contain_text("Launch")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    page.get_by_role("button", name="Take away the tag Launch").click()
    expect(tags).to_have_count(0)
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".tile").first).to_be_visible()
