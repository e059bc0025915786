"""What lies around a library goes wrong: the disk, the clock, other programs, files of the index."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from checked import check, encodes
from drawn_photos import Folder, draw
from forked_runs import ForkedRuns

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import TransferError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "photos")
    made.grow(20)
    return made


@pytest.fixture
def library(settings: Settings, encoder: OnnxEncoder, folder: Folder) -> Iterator[Library]:
    with open_library(settings.library, settings=settings, encoder=encoder) as opened:
        opened.index(folder.place)
        yield opened


def index(forked: ForkedRuns, place: Path, library: Path) -> subprocess.CompletedProcess[str]:
    command = ["index", str(place), "--library", str(library), "--no-regions", "--json"]
    return forked("none", 0, command, os.environ)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=420k", "tmpfs", str(place)]
    if not hasattr(os, "getuid") or os.getuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may make a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_full_disk(
    forked: ForkedRuns, small_disk: Path, folder: Folder, settings: Settings, encoder: OnnxEncoder
) -> None:
    folder.grow(180)
    full = index(forked, folder.place, small_disk / "library")
    assert (full.returncode, full.stdout) == (1, "")
    assert "disk is full" in full.stderr
    assert "Traceback" not in full.stderr
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    stored = encodes(small_disk / "library")
    done = index(forked, folder.place, small_disk / "library")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["encoded"] == encodes(small_disk / "library") - stored
    with open_library(small_disk / "library", settings=settings, encoder=encoder) as library:
        assert check(library) == ([], [])
        assert library.status().photos == 200


def test_another_program_holds_the_database_for_a_while(library: Library, folder: Folder) -> None:
    folder.grow(10)
    held = threading.Event()

    def hold() -> None:
        other = sqlite3.connect(library.folder / "library.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        held.set()
        time.sleep(1.5)
        other.execute("ROLLBACK")
        other.close()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert len(library.search("a photo", 100, rerank=False)) == 20  # readers are not disturbed
    assert library.index().added == 10
    holder.join()
    assert check(library) == ([], [])


def test_clock_that_goes_backwards(library: Library, folder: Folder) -> None:
    """A file whose time is before the one that is stored is as changed as one whose time is after it."""
    file = next(file for file in folder.files() if file.suffix == ".png")
    old = file.stat()
    draw(file, 777_777)
    os.utime(file, ns=(0, 0))
    assert library.index().updated == 1
    os.utime(file, ns=(old.st_mtime_ns + 10**18, old.st_mtime_ns + 10**18))  # decades from now
    assert (library.index().encoded, library.index().unchanged) == (0, 20)
    assert check(library) == ([], [])


@pytest.mark.parametrize("how", ["deleted", "emptied", "truncated", "of another library"])
def test_index_files(how: str, library: Library, settings: Settings, encoder: OnnxEncoder, tmp_path: Path) -> None:
    wanted = [hit.path for hit in library.search("red squares", 20, rerank=False)]
    library.close()
    place = settings.library / "index"
    if how == "deleted":
        shutil.rmtree(place)
    elif how == "of another library":
        draw(tmp_path / "other.png", 5)
        with open_library(tmp_path / "second", settings=settings, encoder=encoder) as other:
            other.index(tmp_path / "other.png")
        shutil.rmtree(place)
        shutil.copytree(tmp_path / "second" / "index", place)
    else:
        for file in place.iterdir():
            with file.open("r+b") as opened:
                opened.truncate(0 if how == "emptied" else file.stat().st_size // 2)
    with open_library(settings.library, settings=settings, encoder=encoder) as again:
        assert [hit.path for hit in again.search("red squares", 20, rerank=False)] == wanted
        assert check(again) == ([], [])


def test_a_write_ahead_log_that_was_left_behind(library: Library, settings: Settings, encoder: OnnxEncoder) -> None:
    """What a killed process had committed and not yet moved into the database is there for the next one."""
    copy = settings.library.with_name("copy")
    shutil.copytree(settings.library, copy)  # with -wal and -shm, as a kill leaves them
    assert (copy / "library.sqlite-wal").stat().st_size > 0
    with open_library(copy, settings=settings, encoder=encoder) as again:
        assert check(again) == ([], [])
        assert again.status().photos == 20


@pytest.mark.parametrize("there", ["", "lost+found", "somebody's"])
def test_export_into_a_drive(there: str, small_disk: Path, library: Library, tmp_path: Path) -> None:
    """The folder is where the drive is mounted: nothing on the same drive is beside it."""
    if there:
        (small_disk / there).mkdir()
    if there == "somebody's":
        with pytest.raises(TransferError, match="not empty"):
            library.export(small_disk)
        return
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    library.export(small_disk)
    library.export(tmp_path / "folder")
    names = {file.name for file in (tmp_path / "folder").iterdir()}
    assert {file.name for file in small_disk.iterdir()} == names | ({there} if there else set())
    for name in ("photos.csv", "vectors.npy", "model.json"):
        assert (small_disk / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()


def test_full_drive_keeps_nothing_of_an_export(small_disk: Path, library: Library) -> None:
    subprocess.run(["mount", "-o", "remount,size=40k", small_disk], check=True)
    with pytest.raises(TransferError, match="No space left"):
        library.export(small_disk)
    assert list(small_disk.iterdir()) == []
