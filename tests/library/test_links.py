"""Folders and photos that are reached by links too: listed once, and found by whatever way one names them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from samples import SAMPLES

from mmsearch.library.library import Library

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Photos in two folders that lead into each other, and one that lies outside."""
    for folder in ("photos/2024", "other", "outside/deeper"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(SAMPLES / "chelsea.png", tmp_path / "photos" / "cat.png")
    shutil.copy(SAMPLES / "coffee.png", tmp_path / "photos" / "2024" / "cup.png")
    shutil.copy(SAMPLES / "rocket.jpg", tmp_path / "outside" / "deeper" / "rocket.jpg")
    for link, to in {
        "through": "photos",
        "photos/by_a": "outside",
        "photos/by_b": "outside/deeper",
        "photos/cat2.png": "photos/cat.png",
        "other/2024": "photos/2024",
        "other/cat3.png": "photos/cat.png",
    }.items():
        (tmp_path / link).symlink_to(tmp_path / to)
    return tmp_path


def listed(library: Library, place: Path, within: Path | None = None) -> list[str]:
    hits = library.search("a photo", 20, within=() if within is None else within)
    return sorted(os.path.relpath(hit.path, place) for hit in hits)


EVERYTHING = ["photos/2024/cup.png", "photos/by_a/deeper/rocket.jpg", "photos/cat.png"]


@pytest.mark.parametrize("runs", [["photos other"], ["other photos"], ["photos", "other"], ["photos other", "other"]])
def test_a_photo_that_is_reached_by_two_ways_is_listed_once(runs: list[str], library: Library, place: Path) -> None:
    for run in runs:
        library.index([place / name for name in run.split()])
    assert listed(library, place) == EVERYTHING
    assert library.status().photos == 3
    assert library.verify() == []


def test_a_link_that_was_listed_before_its_photo_gives_way_to_it(library: Library, place: Path) -> None:
    assert library.index(place / "other").added == 2
    assert listed(library, place) == ["other/2024/cup.png", "other/cat3.png"]
    library.index(place / "photos")
    report = library.index()
    assert (report.encoded, report.removed) == (0, 2)
    assert listed(library, place) == EVERYTHING


def test_a_link_to_a_photo_that_is_left_out_is_listed(library: Library, place: Path) -> None:
    library.index([place / "photos", place / "other"], exclude=[str(place / "photos" / "2024"), "cat.png"])
    assert listed(library, place) == ["other/2024/cup.png", "photos/by_a/deeper/rocket.jpg", "photos/cat2.png"]


def test_copies_and_hard_links_are_files_of_their_own(library: Library, place: Path) -> None:
    shutil.copy(place / "photos" / "cat.png", place / "photos" / "copy.png")
    (place / "photos" / "hard.png").hardlink_to(place / "photos" / "cat.png")
    library.index(place / "photos")
    assert listed(library, place) == sorted([*EVERYTHING, "photos/copy.png", "photos/hard.png"])


WAYS = {
    "photos/2024": ["photos/2024/cup.png"],
    "other/2024": ["photos/2024/cup.png"],
    "other/2024/cup.png": ["photos/2024/cup.png"],
    "through/2024": ["photos/2024/cup.png"],
    "through": EVERYTHING,
    "photos/cat2.png": ["photos/cat.png"],
    "other/cat3.png": ["photos/cat.png"],
    "other": ["photos/2024/cup.png", "photos/cat.png"],
    "photos/by_a": ["photos/by_a/deeper/rocket.jpg"],
    "photos/by_b": ["photos/by_a/deeper/rocket.jpg"],
    "through/by_b/rocket.jpg": ["photos/by_a/deeper/rocket.jpg"],
    "outside": ["photos/by_a/deeper/rocket.jpg"],
    "outside/deeper": ["photos/by_a/deeper/rocket.jpg"],
    "outside/deeper/rocket.jpg": ["photos/by_a/deeper/rocket.jpg"],
    "outside/none": [],
}


def test_any_way_to_a_photo_finds_it(library: Library, place: Path) -> None:
    library.index([place / "photos", place / "other"])
    (place / "outside" / "none").mkdir()
    for way, wanted in WAYS.items():
        assert (way, listed(library, place, place / way)) == (way, wanted)
        hits = library.search(f'in:"{place / way}"', 20)
        assert (way, sorted(os.path.relpath(hit.path, place) for hit in hits)) == (way, wanted)
    both = library.search("a photo", 20, within=[place / "outside", place / "photos" / "2024"])
    assert {Path(hit.path).name for hit in both} == {"rocket.jpg", "cup.png"}
    without = library.search(f'a photo -in:"{place / "other"}"', 20)
    assert [Path(hit.path).name for hit in without] == ["rocket.jpg"]
