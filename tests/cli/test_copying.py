"""Copies of found files: under which names, what stays, what is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmsearch.cli.copying import copy


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three of one name in three folders, the third like the first, and one without a suffix."""
    for folder, name, content in (("a", "x.jpg", b"1"), ("b", "x.jpg", b"2"), ("c", "x.jpg", b"1"), ("d", "x", b"4")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
        os.utime(tmp_path / folder / name, (1_500_000_000, 1_500_000_000))
    return [str(tmp_path / path) for path in ("a/x.jpg", "b/x.jpg", "c/x.jpg", "d/x")]


def held(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_names_that_are_taken_get_a_number_and_equal_files_are_copied_once(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "copies"
    assert copy(files, target)
    assert held(target) == {"x.jpg": b"1", "x-2.jpg": b"2", "x": b"4"}
    assert {file.stat().st_mtime for file in target.iterdir()} == {1_500_000_000}
    assert capsys.readouterr().err == f"copied 3 pictures to {target}, 1 were there already\n"
    assert copy(files, target)
    assert held(target) == {"x.jpg": b"1", "x-2.jpg": b"2", "x": b"4"}
    assert capsys.readouterr().err == f"copied 0 pictures to {target}, 4 were there already\n"


def test_nothing_is_overwritten(files: list[str], tmp_path: Path) -> None:
    target = tmp_path / "copies"
    (target / "x.jpg").mkdir(parents=True)  # a folder has the name
    (target / "x-2.jpg").write_bytes(b"mine")
    (target / "x-3.jpg").symlink_to(tmp_path / "nowhere")  # a link that leads nowhere
    assert copy(files[:1], target)
    assert (target / "x-4.jpg").read_bytes() == b"1"
    assert ((target / "x-2.jpg").read_bytes(), (target / "x-3.jpg").is_symlink()) == (b"mine", True)
    assert not (tmp_path / "nowhere").exists()


def test_rank_can_stand_before_the_name(files: list[str], tmp_path: Path) -> None:
    assert copy(files[:3] * 4, tmp_path / "copies", numbered=True)
    assert sorted(held(tmp_path / "copies")) == [f"{rank:02}-x.jpg" for rank in range(1, 13)]


def test_files_that_are_gone_are_named_and_the_others_copied(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.remove(files[0])
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    assert not copy([files[0], odd, files[1]], tmp_path / "copies")
    assert held(tmp_path / "copies") == {"x.jpg": b"2"}
    assert capsys.readouterr().err.splitlines() == [
        f"{files[0]}: No such file or directory",
        f"{tmp_path}/caf\\xe9.jpg: No such file or directory",
        f"copied 1 picture to {tmp_path / 'copies'}",
    ]


def test_copies_into_the_folder_where_the_files_are(files: list[str], tmp_path: Path) -> None:
    assert copy(files[:1], tmp_path / "a")
    assert held(tmp_path / "a") == {"x.jpg": b"1"}


def test_names_of_odd_bytes_are_kept(tmp_path: Path) -> None:
    name = b"caf\xe9 \xf0\x9f\x90\xb1.jpg"
    try:
        (tmp_path / os.fsdecode(name)).write_bytes(b"1")
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    assert copy([os.fsdecode(os.path.join(os.fsencode(tmp_path), name))], tmp_path / "copies")
    assert os.listdir(os.fsencode(tmp_path / "copies")) == [name]


def test_a_folder_that_cannot_be_made(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OSError, match="taken"):
        copy(files, tmp_path / "taken")
