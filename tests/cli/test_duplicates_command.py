"""``mmsearch duplicates`` as people and scripts run it."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from samples import CLI, SAMPLES

from mmsearch.library.library import Library


@pytest.fixture
def duplicates(mmsearch: CLI, tmp_path: Path) -> CLI:
    return partial(mmsearch, "duplicates", "--library", tmp_path / "library")


@pytest.fixture
def folder(tmp_path: Path, library: Library) -> Path:
    """An indexed folder: a photo and its copy, a photo and a small version, two shots of one scene, one alone."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea.png", "coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg"):
        shutil.copy(SAMPLES / name, folder / name)
        os.utime(folder / name, (1714557600, 1714557600))
    for name in ("motorcycle_left.png", "motorcycle_right.png"):
        with Image.open(SAMPLES / name) as image:
            exif = Image.Exif()
            exif[0x0110] = "a camera"
            exif.get_ifd(0x8769)[0x9003] = "2024:05:01 10:00:00"
            image.save(folder / name, exif=exif)
    shutil.copy(folder / "chelsea.png", folder / "copy.png")
    with Image.open(folder / "coffee.png") as image:
        image.convert("RGB").resize((300, 200)).save(folder / "small.jpg")
    library.index(folder)
    return folder


def _objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_groups_are_listed_the_kept_file_first(duplicates: CLI, folder: Path) -> None:
    found = duplicates(TZ="UTC")
    lines = [line.split() for line in found.stdout.splitlines()]
    assert (
        [[line[0], line[1], *line[4:]] for line in lines if line]
        == [
            ["keep", "451×300", "2009-02-09", "09:11", "photos/chelsea.png"],  # as its XMP says
            ["exact", "451×300", *lines[1][4:6], "photos/copy.png"],
            ["keep", "600×400", "2024-05-01", "10:00", "photos/coffee.png"],
            ["near", "300×200", *lines[4][4:6], "photos/small.jpg"],
        ]
    )
    assert lines[0][2:4] == ["241", "kB"]
    assert lines[2] == []
    space = (folder / "copy.png").stat().st_size + (folder / "small.jpg").stat().st_size
    assert found.stderr == (f"2 files in 2 groups could go: {space / 1000:.0f} kB; to move them aside: --move-to DIR\n")


def test_levels_as_json(duplicates: CLI, folder: Path) -> None:
    exact = {
        "level": "exact",
        "keep": f"{folder}/chelsea.png",
        "others": [f"{folder}/copy.png"],
        "levels": ["exact"],
        "bytes": (folder / "copy.png").stat().st_size,
    }
    near = {
        "level": "near",
        "keep": f"{folder}/coffee.png",
        "others": [f"{folder}/small.jpg"],
        "levels": ["near"],
        "bytes": (folder / "small.jpg").stat().st_size,
    }
    burst = {
        "level": "burst",
        "keep": f"{folder}/motorcycle_left.png",
        "others": [f"{folder}/motorcycle_right.png"],
        "levels": ["burst"],
        "bytes": (folder / "motorcycle_right.png").stat().st_size,
    }
    assert _objects(duplicates("--exact-only", "--json").stdout) == [exact]
    assert _objects(duplicates("--json").stdout) == [exact, near]
    assert _objects(duplicates("--bursts", "--json").stdout) == [burst, exact, near]
    assert _objects(duplicates("--threshold", "0.999", "--json").stdout) == [exact]
    assert _objects(duplicates(folder / "coffee.png", folder / "small.jpg", "--json").stdout) == [near]
    alone = duplicates(folder / "rocket.jpg", folder / "coffee.png", "--json")
    assert (alone.stdout, alone.stderr) == ("", "no duplicates found\n")


def test_moving_needs_a_yes(mmsearch: CLI, duplicates: CLI, folder: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    dry = duplicates("--move-to", aside)
    arrows = ["photos/copy.png -> aside/photos/copy.png", "photos/small.jpg -> aside/photos/small.jpg"]
    assert dry.stdout.splitlines() == arrows
    assert dry.stderr.startswith("nothing was moved: 2 files of 2 groups would be, ")
    assert dry.stderr.endswith("to do it, add --yes\n")
    assert not aside.exists()
    done = duplicates("--move-to", "aside", "--yes")
    assert done.stdout.splitlines() == arrows
    assert done.stderr == "moved 2 files; where they were is in aside/moved.tsv\n"
    assert sorted(os.listdir(aside)) == ["moved.tsv", "photos"]
    assert sorted(os.listdir(aside / "photos")) == ["copy.png", "small.jpg"]
    assert duplicates().stderr == "no duplicates found\n"
    report = json.loads(mmsearch("index", folder, "--json", "--library", tmp_path / "library").stdout)
    assert (report["unchanged"], report["removed"], report["added"]) == (5, 0, 0)


def test_moves_as_json(duplicates: CLI, folder: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    planned = _objects(duplicates("--exact-only", "--move-to", aside, "--json").stdout)
    moves = [{"from": f"{folder}/copy.png", "to": f"{aside}/photos/copy.png"}]
    assert [(line["moved"], line["moves"]) for line in planned] == [(False, moves)]
    done = _objects(duplicates("--exact-only", "--move-to", aside, "--yes", "--json").stdout)
    assert [(line["moved"], line["moves"]) for line in done] == [(True, moves)]
    assert not (folder / "copy.png").exists()


def test_what_was_moved_is_put_back(duplicates: CLI, folder: Path, tmp_path: Path) -> None:
    before, aside = sorted(os.listdir(folder)), tmp_path / "aside"
    (folder / "copy.png.xmp").write_text("")
    done = duplicates("--move-to", aside, "--yes")
    assert "photos/copy.png.xmp -> aside/photos/copy.png.xmp" in done.stdout.splitlines()
    back = duplicates("--undo", "aside")
    assert "aside/photos/copy.png -> photos/copy.png" in back.stdout.splitlines()
    assert back.stderr == "put 3 files back; to find them again: mmsearch index\n"
    assert sorted(os.listdir(folder)) == sorted([*before, "copy.png.xmp"])
    assert os.listdir(aside) == []
    assert "moved.tsv: No such file" in duplicates("--undo", "aside", check=1).stderr
    assert "goes with --json alone" in duplicates("--undo", "aside", "--yes", check=2).stderr


def test_a_file_that_cannot_be_moved_is_said_and_the_others_are(duplicates: CLI, folder: Path, tmp_path: Path) -> None:
    """The kept photo is another one by now, though neither its size nor its time show it."""
    kept = folder / "chelsea.png"
    status, content = kept.stat(), bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    os.utime(kept, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = duplicates("--move-to", tmp_path / "aside", "--yes", check=1)
    assert done.stdout.splitlines() == ["photos/small.jpg -> aside/photos/small.jpg"]
    assert done.stderr.splitlines() == [
        f"not moved: photos/copy.png: differs from {kept}, although the library says that they are equal",
        f"moved 1 file; where they were is in {tmp_path}/aside/moved.tsv",
    ]
    assert (folder / "copy.png").exists()


def test_what_makes_no_sense_is_refused(duplicates: CLI, folder: Path) -> None:
    for wrong, reason in (
        (["--exact-only", "--bursts"], "exclude each other"),
        (["--exact-only", "--threshold", "0.5"], "--threshold means nothing there"),
        (["--yes"], "--yes goes with --move-to DIR"),
        (["--threshold", "2"], "--threshold"),
    ):
        assert reason in " ".join(duplicates(*wrong, check=2).stderr.split())
    inside = duplicates("--move-to", folder / "aside", "--yes", check=1)
    assert inside.stderr == (
        f"mmsearch: {folder}/aside lies in the folder {folder}, which is indexed: what is moved there would be found "
        "again; name a folder outside of it\n"
    )
    nowhere = duplicates(folder / "nowhere", check=1)
    assert nowhere.stderr == f"mmsearch: {folder}/nowhere: no such file or folder, and no picture is known there\n"
    assert len(os.listdir(folder)) == 7


def test_changed_files_are_left_alone_and_said(duplicates: CLI, folder: Path) -> None:
    (folder / "copy.png").write_bytes((folder / "rocket.jpg").read_bytes())
    found = duplicates("--exact-only", "--json")
    assert found.stdout == ""
    assert found.stderr.splitlines() == [
        f"left alone, changed since it was indexed: {folder}/copy.png; to read it again: mmsearch index",
        "no duplicates found",
    ]
