"""Where a library may be made: in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryError
from mmsearch.library.opening import open_library
from mmsearch.store.open import check_new
from mmsearch.store.sqlite.backup import restore


def listing(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize(
    "name", ["cat.jpg", "trips/cat.jpg", "index/cat.jpg", ".hidden", "library.db", "index-2019.txt"]
)
def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, name: str, settings: Settings, encoder: OnnxEncoder
) -> None:
    folder = tmp_path / "pictures"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"mine")
    before = listing(folder)
    with pytest.raises(LibraryError, match="a library wants a folder of its own") as caught:
        open_library(folder, settings=settings, encoder=encoder)
    assert caught.value.code == "folder-in-use"
    assert listing(folder) == before
    with open_library(tmp_path / "library", settings=settings, encoder=encoder) as library:
        library.backup(tmp_path / "backup")
    with pytest.raises(LibraryError, match="a library wants a folder of its own"):
        restore(tmp_path / "backup", folder)
    assert listing(folder) == before


def test_an_index_that_is_a_link_is_no_folder_of_a_library(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "index").symlink_to(tmp_path / "theirs")
    with pytest.raises(LibraryError, match="a library wants a folder of its own"):
        check_new(tmp_path / "library")


def test_what_a_library_or_a_system_left_is_no_hindrance(
    tmp_path: Path, settings: Settings, encoder: OnnxEncoder, photos: Path
) -> None:
    folder = tmp_path / "library"
    check_new(folder)
    folder.mkdir()
    for name in ("lost+found", ".DS_Store"):
        (folder / name).mkdir()
    with open_library(folder, settings=settings, encoder=encoder) as library:
        library.index(photos)
    (folder / "library.sqlite").unlink()  # what is made of it is left
    with open_library(folder, settings=settings, encoder=encoder) as library:
        assert library.index(photos).added == 5


def test_files_between_those_of_a_library_stay(
    tmp_path: Path, settings: Settings, encoder: OnnxEncoder, photos: Path
) -> None:
    """They may have come later, or the library is from before such folders were refused."""
    folder = tmp_path / "library"
    with open_library(folder, settings=settings, encoder=encoder) as library:
        library.index(photos)
        names = ("decoding", "index/cat.jpg", "index/index-my-holiday-2019.json", "background-1.npy", "index/.draft")
        for name in names:
            (folder / name).write_bytes(b"mine")
            os.utime(folder / name, (1, 1))
        (photos / "cat.png").unlink()
        library.index(photos)
        library.search("a cat")
        library.repair(deep=True)
        assert [(folder / name).read_bytes() for name in names] == [b"mine"] * len(names)
        assert [(folder / name).stat().st_mtime for name in names] == [1] * len(names)
