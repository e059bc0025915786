"""Both files of a live photo are one hit: the picture, and the clip belongs to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from films import Making, film, photos
from PIL import Image

from mmsearch.library.library import Library
from mmsearch.search.shots import within_seconds
from mmsearch.types import Hit

pytest.importorskip("av")
AT = "2024-05-06T07:08:09"


def picture(path: Path, number: int, taken: str | None = AT) -> None:
    exif = Image.Exif()
    if taken:
        exif[0x0132] = taken.replace("-", ":").replace("T", " ")
    Image.fromarray(photos()[number]).save(path, "JPEG", quality=95, exif=exif)


def clip(path: Path, number: int, taken: str = f"{AT}+0200", seconds: float = 2.0) -> None:
    shown = photos()[number]
    tags = {"com.apple.quicktime.creationdate": taken}
    path.write_bytes(
        film([shown] * round(seconds / 2), Making("h264 mov", tags=tags, muxer={"movflags": "use_metadata_tags"}))
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A live photo, a picture and a film that are only called alike, a longer film, and a clip alone."""
    place = tmp_path / "live"
    place.mkdir()
    picture(place / "IMG_1.jpg", 2)
    clip(place / "IMG_1.mov", 2)
    picture(place / "IMG_2.jpg", 1)
    clip(place / "IMG_2.mov", 3, "2024-05-06T08:00:09+0200")
    picture(place / "IMG_3.jpg", 0)
    clip(place / "IMG_3.mov", 0, seconds=12.0)
    clip(place / "IMG_4.mov", 4)
    return place


def shown(hits: list[Hit]) -> dict[str, list[str]]:
    return {os.path.basename(hit.path): [os.path.basename(other) for other in hit.similar] for hit in hits}


ALL = {
    "IMG_1.jpg": ["IMG_1.mov"], "IMG_2.jpg": [], "IMG_2.mov": [], "IMG_3.jpg": [], "IMG_3.mov": [], "IMG_4.mov": [],
}  # fmt: skip


def test_the_picture_is_shown_and_has_its_clip(library: Library, folder: Path) -> None:
    assert library.index(folder).added == 7
    assert shown(list(library.search("a cat", k=20, rerank=False))) == ALL
    assert shown(list(library.search("size:>0", k=20))) == ALL
    best = library.search("a cat", k=1, rerank=False)[0]
    assert (os.path.basename(best.path), best.moments) == ("IMG_1.jpg", ())
    films = shown(list(library.search("type:video", k=20)))
    assert set(films) == {"IMG_1.mov", "IMG_2.mov", "IMG_3.mov", "IMG_4.mov"}


def test_a_clip_is_no_duplicate_and_goes_with_its_picture(library: Library, folder: Path, tmp_path: Path) -> None:
    (folder / "copy").mkdir()
    picture(folder / "copy" / "IMG_1.jpg", 2)
    (folder / "copy" / "IMG_1.mov").write_bytes((folder / "IMG_1.mov").read_bytes())
    library.index(folder)
    groups = library.duplicates()
    assert [sorted(os.path.relpath(one.path, folder) for one in (g.keep, *g.others)) for g in groups] == [
        ["IMG_1.jpg", "copy/IMG_1.jpg"]
    ]
    (moved,) = library.set_aside(groups, tmp_path / "aside")
    assert [os.path.basename(one.source) for one in moved.companions] == ["IMG_1.mov"]  # type: ignore[union-attr]


def test_subtitles_go_with_their_film(library: Library, folder: Path, tmp_path: Path) -> None:
    content = (folder / "IMG_3.mov").read_bytes()
    (folder / "again.mov").write_bytes(content)
    (folder / "again.en.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    os.utime(folder / "again.mov", (2e9, 2e9))
    library.index(folder)
    (group,) = library.duplicates("exact")
    (moved,) = library.set_aside([group], tmp_path / "aside")
    assert [os.path.basename(one.source) for one in moved.companions] == ["again.en.srt"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("clip_at", "picture_at", "same"),
    [
        ("2024-05-06T07:08:09+02:00", "2024-05-06T07:08:11", True),
        ("2024-05-06T07:08:09+02:00", "2024-05-06T07:08:09+02:00", True),
        ("2024-05-06T05:08:07+00:00", "2024-05-06T07:08:09", True),  # in UTC
        ("2024-05-06T05:08:07+00:00", "2024-05-06T07:18:09", False),
        ("2024-05-04T07:08:09+00:00", "2024-05-06T07:08:09", False),
        ("2024-05-06T07:08:09+02:00", "2024-05-06T07:08:20", False),
        ("2024-05-06T07:08:09", "2024-05-06T08:08:09", False),
    ],
)
def test_times_of_a_clip_and_a_picture(clip_at: str, picture_at: str, same: bool) -> None:
    from datetime import datetime

    assert within_seconds(datetime.fromisoformat(clip_at), datetime.fromisoformat(picture_at), 0, 10**18) == same


def test_without_a_clock_the_files_tell() -> None:
    assert within_seconds(None, None, 0, 4 * 10**9)
    assert not within_seconds(None, None, 0, 6 * 10**9)
