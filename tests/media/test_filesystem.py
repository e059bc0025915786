"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmsearch.media.filesystem import atomic_file, atomic_folder, atomic_write, draft_folder


def test_content_takes_the_place_of_the_file_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")
    with atomic_file(file) as draft:
        draft.write_bytes(b"new")
        assert (file.read_bytes(), draft.parent) == (b"old", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.json": b"new"}


def test_after_an_error_the_old_content_is_there_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(file) as draft:  # noqa: PT012
        draft.write_bytes(b"half")
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.json": b"old"}


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_permissions_of_the_file_that_is_replaced_stay_and_new_ones_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "new", b"1")
    finally:
        os.umask(before)
    private = tmp_path / "private"
    private.write_bytes(b"old")
    private.chmod(0o600)
    atomic_write(private, b"2")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "private")] == [0o640, 0o600]


def test_the_longest_name_that_there_is_can_be_written(tmp_path: Path) -> None:
    atomic_write(tmp_path / ("n" * 255), b"1")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("n" * 255, b"1")]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "a"
    with atomic_file(file) as first, atomic_file(file) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
        assert first != second
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"first")]


def test_folder_appears_with_all_its_files_where_there_is_none_or_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with atomic_folder(tmp_path / name) as draft:
            (draft / "a").write_bytes(b"1")
            assert not (tmp_path / name / "a").exists()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "empty", "empty/a", "new", "new/a",
    ]  # fmt: skip


def test_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_bytes(b"old")
    with pytest.raises(OSError, match="full"), atomic_folder(tmp_path / "full") as draft:
        (draft / "a").write_bytes(b"new")
    assert [(path.name, path.is_file() and path.read_bytes()) for path in tmp_path.rglob("*")] == [
        ("full", False), ("a", b"old"),
    ]  # fmt: skip


def test_draft_that_was_not_renamed_is_removed(tmp_path: Path) -> None:
    with draft_folder(tmp_path / "model", ".export-") as draft:
        (draft / "a").write_bytes(b"1")
        assert draft.name.startswith(".export-")
    assert list(tmp_path.iterdir()) == []
