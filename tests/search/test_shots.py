"""A raw file and the picture of the same shot are one hit, never two that are only called alike."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image
from raw_files import dng
from samples import CLI, SAMPLES

from mmsearch.library.library import Library
from mmsearch.types import Hit

pytest.importorskip("rawpy")
CAT = Image.open(SAMPLES / "chelsea.png").convert("RGB").resize((640, 512))


def jpeg(path: Path, image: Image.Image, taken: str = "2020:01:02 03:04:05", camera: str = "Abc X1") -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = camera.split(" ")
    exif[0x0132] = taken
    path.parent.mkdir(exist_ok=True)
    image.save(path, "JPEG", quality=95, exif=exif)


@pytest.fixture
def shots(photos: Path) -> Path:
    """A shot in both, one whose files are of two times, one of two cameras, and one raw file alone."""
    jpeg(photos / "IMG_1.jpg", CAT)
    (photos / "IMG_1.DNG").write_bytes(dng(CAT, CAT))
    jpeg(photos / "IMG_2.jpg", CAT.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "2021:01:02 03:04:05")
    (photos / "IMG_2.DNG").write_bytes(dng(CAT, CAT, taken="2020:01:02 03:04:06"))
    jpeg(photos / "IMG_3.jpg", CAT.rotate(5), camera="Def Y2")
    (photos / "IMG_3.DNG").write_bytes(dng(CAT.rotate(7), CAT.rotate(7)))
    (photos / "trips" / "IMG_1.DNG").write_bytes(dng(CAT.rotate(3), CAT.rotate(3)))
    return photos


def names(hits: list[Hit], photos: Path) -> dict[str, list[str]]:
    """What is shown, and what it stands for."""
    return {
        os.path.relpath(hit.path, photos): [os.path.relpath(other, photos) for other in hit.similar] for hit in hits
    }


EACH = {"IMG_2.jpg", "IMG_2.DNG", "IMG_3.jpg", "IMG_3.DNG", "trips/IMG_1.DNG"}


def test_both_files_of_a_shot_are_one_hit(library: Library, shots: Path) -> None:
    assert library.index(shots).added == 12
    found = names(list(library.search("a cat", k=50, rerank=False)), shots)
    assert found["IMG_1.jpg"] == ["IMG_1.DNG"]
    assert set(found) >= EACH
    assert "IMG_1.DNG" not in found
    assert [name for name, others in found.items() if others] == ["IMG_1.jpg"]
    assert len(found) == 11


def test_pages_joined_are_the_one_larger_search(library: Library, shots: Path) -> None:
    library.index(shots)
    for query in ("a cat", "type:jpeg,raw sort:date"):
        whole = list(library.search(query, k=20, rerank=False))
        for size in (1, 2, 5):
            joined: list[Hit] = []
            for offset in range(0, 20, size):
                joined += library.search(query, k=size, offset=offset, rerank=False)
            assert [hit.path for hit in joined] == [hit.path for hit in whole]
            assert [hit.similar for hit in joined] == [hit.similar for hit in whole]


def test_conditions_and_names_find_the_file_that_fits(library: Library, shots: Path) -> None:
    library.index(shots)
    raws = names(list(library.search("type:raw", k=50)), shots)
    assert set(raws) == {"IMG_1.DNG", "IMG_2.DNG", "IMG_3.DNG", "trips/IMG_1.DNG"}
    assert set(names(list(library.search("type:jpeg", k=50)), shots)) >= {"IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"}
    (hit,) = library.search(f'in:"{shots / "IMG_1.DNG"}"')
    assert hit.path == str(shots / "IMG_1.DNG")


def test_a_file_that_is_gone_stands_for_nothing(library: Library, shots: Path) -> None:
    library.index(shots)
    (shots / "IMG_1.jpg").unlink()
    library.index(shots)
    found = names(list(library.search("a cat", k=50, rerank=False)), shots)
    assert found["IMG_1.DNG"] == []
    assert "IMG_1.jpg" not in found


def test_the_negative_of_a_picture_is_no_duplicate_of_it(library: Library, shots: Path) -> None:
    library.index(shots)
    for group in library.duplicates("near"):
        paths = {photo.path for photo in (group.keep, *group.others)}
        assert str(shots / "IMG_1.DNG") not in paths


def test_raw_files_are_still_found_where_their_library_went(
    library: Library, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(shots)
    monkeypatch.setitem(sys.modules, "rawpy", None)  # what a missing module looks like
    report = library.index()
    assert (report.removed, report.skipped) == (0, ())
    assert "passed over: 4 raw files" in report.notes
    assert len(library.search("type:raw", k=50)) == 4
    (shots / "IMG_1.DNG").unlink()
    assert library.index().removed == 1


def test_what_is_passed_over_is_said_in_one_line(mmsearch: CLI, photos: Path) -> None:
    for name in ("a.psb", "b.XCF", "c.svg", "trips/d.psb", "e.txt"):
        (photos / name).write_bytes(b"x")
    done = mmsearch("index", photos)
    assert done.stderr.count("passed over") == 1
    assert "passed over: 3 layered pictures, 1 drawing: see docs/formats.md" in done.stderr
    again = mmsearch("index", photos, "--json")
    assert "passed over" in again.stderr
    assert json.loads(again.stdout)["passed_over"] == {".psb": 2, ".svg": 1, ".xcf": 1}
    assert "passed over" not in mmsearch("index", photos / "trips" / "rocket.jpg").stderr
