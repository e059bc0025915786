"""Both files of a live photo are one hit: the picture, and the clip belongs to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from apple_notes import maker_note, with_note
from films import Making, film, photos
from PIL import Image

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.search.shots import within_seconds
from mmsearch.types import Hit

pytest.importorskip("av")
AT = "2024-05-06T07:08:09"


ONE, OTHER = "6C4D6A8E-2F1B-4D3A-9F00-0123456789AB", "00000000-2F1B-4D3A-9F00-0123456789AB"


def picture(path: Path, number: int, taken: str | None = AT, identifier: str = "") -> None:
    exif = with_note(Image.Exif(), maker_note(identifier)) if identifier else Image.Exif()
    if taken:
        exif[0x0132] = taken.replace("-", ":").replace("T", " ")
    Image.fromarray(photos()[number]).save(path, "JPEG", quality=95, exif=exif)


def clip(path: Path, number: int, taken: str = f"{AT}+0200", seconds: float = 2.0, identifier: str = "") -> None:
    shown = photos()[number]
    tags = {"com.apple.quicktime.creationdate": taken}
    tags |= {"com.apple.quicktime.content.identifier": identifier} if identifier else {}
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


@pytest.fixture
def identified(tmp_path: Path) -> Path:
    """Live photos by their content identifiers: called otherwise, an hour apart, and two that are only called alike."""
    place = tmp_path / "identified"
    (place / "deeper").mkdir(parents=True)
    picture(place / "IMG_1.jpg", 2, identifier=ONE)
    clip(place / "IMG_E1.mov", 2, "2024-05-06T08:08:09+0200", identifier=ONE.lower())
    picture(place / "IMG_2.jpg", 1, identifier=OTHER)
    clip(place / "IMG_2.mov", 3, identifier="11111111-2F1B-4D3A-9F00-0123456789AB")
    picture(place / "IMG_3.jpg", 0, identifier="22222222-2F1B-4D3A-9F00-0123456789AB")
    clip(place / "IMG_3.mov", 0)
    clip(place / "deeper" / "IMG_9.mov", 4, identifier=OTHER)
    return place


IDENTIFIED = {
    "IMG_1.jpg": ["IMG_E1.mov"], "IMG_2.jpg": [], "IMG_2.mov": [], "IMG_3.jpg": ["IMG_3.mov"], "IMG_9.mov": [],
}  # fmt: skip


def test_content_identifiers_pair_and_part(library: Library, identified: Path) -> None:
    assert library.index(identified).added == 7
    assert shown(list(library.search("a cat", k=20, rerank=False))) == IDENTIFIED
    assert shown(list(library.search("size:>0", k=20))) == IDENTIFIED
    assert shown(list(library.search("type:video", k=20)))["IMG_E1.mov"] == ["IMG_1.jpg"]


def test_a_clip_with_its_picture_s_identifier_is_no_duplicate(library: Library, identified: Path) -> None:
    content = (identified / "IMG_E1.mov").read_bytes()
    (identified / "IMG_E1 copy.mov").write_bytes(content)  # of the same shot in the same folder: its clip too
    (identified / "deeper" / "IMG_1.mov").write_bytes(content)
    (identified / "deeper" / "IMG_2.mov").write_bytes((identified / "IMG_2.mov").read_bytes())  # a film by itself
    library.index(identified)
    names = [sorted(os.path.relpath(one.path, identified) for one in (g.keep, *g.others)) for g in library.duplicates()]
    assert names == [["IMG_2.mov", "deeper/IMG_2.mov"]]


def test_of_copies_in_one_folder_each_picture_has_its_own_clip(library: Library, tmp_path: Path) -> None:
    for name, number in (("IMG_1", 2), ("IMG_1 (1)", 1)):
        picture(tmp_path / f"{name}.jpg", number, identifier=ONE)
        clip(tmp_path / f"{name}.mov", number, identifier=ONE)
    library.index(tmp_path)
    assert shown(list(library.search("size:>0", k=20))) == {
        "IMG_1.jpg": ["IMG_1.mov"], "IMG_1 (1).jpg": ["IMG_1 (1).mov"],
    }  # fmt: skip


def test_identifiers_survive_an_export(
    library: Library, encoder: OnnxEncoder, identified: Path, tmp_path: Path
) -> None:
    library.index(identified)
    library.export(tmp_path / "out")
    with open_library(tmp_path / "again", settings=library.settings, encoder=encoder) as again:
        again.import_from(tmp_path / "out")
        assert shown(list(again.search("size:>0", k=20))) == IDENTIFIED


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
