"""Walking folders: what is a picture, what is passed over, what is said about what cannot be read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mmsearch.media.discover import walk
from mmsearch.types import Found, Skipped

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX file names and links")


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))


def names(root: Path, *exclude: str) -> list[str]:
    """The paths found, relative to ``root``; fails on anything skipped."""
    found = list(walk(str(root), exclude))
    assert not [item for item in found if isinstance(item, Skipped)]
    return [os.path.relpath(item.path, root).replace(os.sep, "/") for item in found]


def test_files_come_before_folders_each_sorted_by_name(tmp_path: Path) -> None:
    make(tmp_path, "b/2.jpg", "b/a/1.jpg", "z.png", "a/3.gif", "A.JPG", "m.TIFF")
    assert names(tmp_path) == ["A.JPG", "m.TIFF", "z.png", "a/3.gif", "b/2.jpg", "b/a/1.jpg"]


def test_found_has_the_path_size_and_time_of_the_file(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(0, 1_234_567_891_000_000_000))
    assert list(walk(str(tmp_path))) == [Found(str(tmp_path / "a.jpg"), 5, 1_234_567_891_000_000_000)]


def test_other_hidden_and_junk_files_are_passed_over(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a.jpg", "notes.txt", "song.mid", "jpg", "Thumbs.db", ".hidden.jpg", "._a.jpg", ".thumbnails/1.jpg",
        "@eaDir/1.jpg", "__MACOSX/1.jpg", "$RECYCLE.BIN/1.jpg", "System Volume Information/1.jpg", "#recycle/1.jpg",
        "lost+found/1.jpg", "sub/node_modules/1.jpg", "__pycache__/1.jpg",
    )  # fmt: skip
    assert names(tmp_path) == ["a.jpg"]


def test_a_root_that_is_hidden_or_junk_is_walked_all_the_same(tmp_path: Path) -> None:
    make(tmp_path, ".private/a.jpg", "@eaDir/b.jpg")
    assert names(tmp_path / ".private") == ["a.jpg"]
    assert names(tmp_path / "@eaDir") == ["b.jpg"]


def test_a_file_as_root_is_yielded_whatever_its_suffix(tmp_path: Path) -> None:
    make(tmp_path, ".scan.dat")
    path = tmp_path / ".scan.dat"
    assert list(walk(str(path), ["*"])) == [Found(str(path), 9, path.stat().st_mtime_ns)]


def test_a_root_that_is_not_there_is_skipped_with_a_reason(tmp_path: Path) -> None:
    path = str(tmp_path / "unplugged")
    assert list(walk(path)) == [Skipped(path, "no such file or folder")]


def test_an_empty_folder_yields_nothing(tmp_path: Path) -> None:
    assert list(walk(str(tmp_path))) == []


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("raw", ["a.png", "2019/b.jpg", "2019/raw2/d.jpg", "private/x/e.jpg"]),
        ("raw/", ["a.png", "2019/b.jpg", "2019/raw2/d.jpg", "private/x/e.jpg"]),
        ("*.png", ["2019/b.jpg", "2019/raw/c.jpg", "2019/raw2/d.jpg", "private/x/e.jpg"]),
        ("2019/*", ["a.png", "private/x/e.jpg"]),
        ("2019", ["a.png", "private/x/e.jpg"]),
        ("./2019/raw", ["a.png", "2019/b.jpg", "2019/raw2/d.jpg", "private/x/e.jpg"]),
        ("private/**", ["a.png", "2019/b.jpg", "2019/raw/c.jpg", "2019/raw2/d.jpg"]),
        ("**/raw", ["a.png", "2019/b.jpg", "2019/raw2/d.jpg", "private/x/e.jpg"]),
        ("**/2019/**", ["a.png", "private/x/e.jpg"]),
        ("**/*.jpg", ["a.png"]),
        ("raw?", ["a.png", "2019/b.jpg", "2019/raw/c.jpg", "private/x/e.jpg"]),
        ("", ["a.png", "2019/b.jpg", "2019/raw/c.jpg", "2019/raw2/d.jpg", "private/x/e.jpg"]),
    ],
)
def test_exclude(tmp_path: Path, pattern: str, left: list[str]) -> None:
    make(tmp_path, "a.png", "2019/b.jpg", "2019/raw/c.jpg", "2019/raw2/d.jpg", "private/x/e.jpg")
    assert names(tmp_path, pattern) == left


@posix
@pytest.mark.parametrize("pattern", ["closed", "closed/**", "closed/*", "**/closed"])
def test_an_excluded_folder_is_not_entered(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "closed/a.jpg")
    (tmp_path / "closed" / "gone.jpg").symlink_to("nowhere")  # would be reported
    assert list(walk(str(tmp_path), [pattern])) == []


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes UTF-8 names only")
def test_any_name_the_file_system_allows_is_found(tmp_path: Path) -> None:
    raw = [b"caf\xe9.jpg", "日本 🐈.jpg".encode(), b"two\nlines.jpg", b"-rf *.jpg", b"a\\b.jpg"]
    for name in raw:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).touch()
    found = {os.path.basename(os.fsencode(item.path)) for item in walk(str(tmp_path))}
    assert found == set(raw)


@posix
def test_links_to_files_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "outside/cat.jpg", "root/a.jpg")
    (tmp_path / "root" / "link.jpg").symlink_to(tmp_path / "outside" / "cat.jpg")
    status = (tmp_path / "outside" / "cat.jpg").stat()
    assert list(walk(str(tmp_path / "root")))[1] == Found(
        str(tmp_path / "root" / "link.jpg"), status.st_size, status.st_mtime_ns
    )


@posix
def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path, "outside/cat.jpg", "root/sub/a.jpg")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "sub" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "outside" / "self").symlink_to(tmp_path / "outside")
    assert names(tmp_path / "root") == ["sub/a.jpg", "linked/cat.jpg"]


@posix
def test_a_photo_keeps_its_real_path_when_a_link_to_its_folder_sorts_first(tmp_path: Path) -> None:
    make(tmp_path, "z/a.jpg")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    assert names(tmp_path) == ["z/a.jpg"]


@posix
def test_a_link_as_root_is_followed(tmp_path: Path) -> None:
    make(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(tmp_path / "link") == ["a.jpg"]


@posix
def test_pipes_and_devices_that_are_called_like_pictures_are_skipped_with_a_reason(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.HEIC", "c.txt", "left-out.jpg"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "d.png").symlink_to("/dev/zero")
    reason = "neither a file nor a folder"
    wanted = [Skipped(str(tmp_path / name), reason) for name in ("a.jpg", "b.HEIC", "d.png")]
    assert list(walk(str(tmp_path), ["left*"])) == wanted
    assert list(walk(str(tmp_path / "a.jpg"))) == wanted[:1]


@posix
def test_broken_links_are_skipped_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "b").symlink_to("b")
    make(tmp_path, "c.jpg")
    found = list(walk(str(tmp_path)))
    assert found[:2] == [
        Skipped(str(tmp_path / "a.jpg"), "broken link"),
        Skipped(str(tmp_path / "b"), "broken link"),
    ]
    assert [item.path for item in found[2:]] == [str(tmp_path / "c.jpg")]
    assert list(walk(str(tmp_path / "b"))) == [Skipped(str(tmp_path / "b"), "broken link")]


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_skipped_and_the_walk_goes_on(tmp_path: Path) -> None:
    make(tmp_path, "closed/a.jpg", "open/b.jpg")
    (tmp_path / "closed").chmod(0)
    try:
        found = list(walk(str(tmp_path)))
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert found[0] == Skipped(str(tmp_path / "closed"), "permission denied")
    assert [item.path for item in found[1:]] == [str(tmp_path / "open" / "b.jpg")]


def test_a_folder_that_goes_away_during_the_walk_is_skipped(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b/c.jpg", "d/e.jpg")
    found = walk(str(tmp_path))
    next(found)
    (tmp_path / "b" / "c.jpg").unlink()
    (tmp_path / "b").rmdir()
    rest = list(found)
    assert rest[0] == Skipped(str(tmp_path / "b"), "no such file or folder")
    assert [item.path for item in rest[1:]] == [str(tmp_path / "d" / "e.jpg")]
