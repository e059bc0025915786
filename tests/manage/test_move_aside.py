"""Duplicates moved aside: what is looked at before, what is written down, and what stays where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from samples import SAMPLES

from mmsearch.errors import SourceError
from mmsearch.library.library import Library
from mmsearch.manage import move_aside
from mmsearch.manage.companions import Companions
from mmsearch.manage.duplicates import Group
from mmsearch.manage.move_aside import Moved
from mmsearch.manage.move_back import undo
from mmsearch.media import filesystem
from mmsearch.types import Progress, Skipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three equal photos, and a smaller one of another."""
    folder = tmp_path / "photos"
    for name, place, age in (("chelsea.png", "cat.png", 300), ("coffee.png", "coffee.png", 300)):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / name, folder / place)
        _aged(folder / place, age)
    for place in ("a/cat.png", "b/cat.png"):
        (folder / place).parent.mkdir()
        shutil.copy(folder / "cat.png", folder / place)
        _aged(folder / place, 100)
    with Image.open(folder / "coffee.png") as image:
        image.convert("RGB").resize((300, 200)).save(folder / "coffee small.jpg")
    return folder


def _aged(file: Path, seconds: int) -> None:
    os.utime(file, (1577836800 - seconds, 1577836800 - seconds))


def _tree(folder: Path) -> dict[str, bytes]:
    """Relative path -> content."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def _groups(library: Library, folder: Path) -> list[Group]:
    library.index(folder)
    groups = library.duplicates()
    assert [len(group.others) for group in groups] == [2, 1]
    return groups


def test_a_dry_run_says_where_to_and_changes_nothing(library: Library, folder: Path, tmp_path: Path) -> None:
    groups = _groups(library, folder)
    aside, before, known = tmp_path / "aside", _tree(folder), library.status()
    assert library.set_aside(groups, aside, dry=True) == [
        Moved(f"{folder}/a/cat.png", f"{aside}/photos/a/cat.png"),
        Moved(f"{folder}/b/cat.png", f"{aside}/photos/b/cat.png"),
        Moved(f"{folder}/coffee small.jpg", f"{aside}/photos/coffee small.jpg"),
    ]
    assert not aside.exists()
    assert _tree(folder) == before
    assert library.status() == known


def test_all_but_the_kept_files_are_moved_and_forgotten(library: Library, folder: Path, tmp_path: Path) -> None:
    groups, before = _groups(library, folder), _tree(folder)
    aside = tmp_path / "aside"
    (aside / "photos" / "a").mkdir(parents=True)
    (aside / "photos" / "a" / "cat.png").write_bytes(b"another cat")
    times = {name: (folder / name).stat().st_mtime_ns for name in before}
    moves = [
        ("a/cat.png", "photos/a/cat (2).png"),
        ("b/cat.png", "photos/b/cat.png"),
        ("coffee small.jpg", "photos/coffee small.jpg"),
    ]
    assert library.set_aside(groups, aside) == [Moved(f"{folder}/{a}", f"{aside}/{b}") for a, b in moves]
    assert _tree(folder) == {name: before[name] for name in ("cat.png", "coffee.png")}
    log = "".join(f"{folder}/{a}\t{b}\n" for a, b in moves).encode()
    assert _tree(aside) == {"photos/a/cat.png": b"another cat", **{b: before[a] for a, b in moves}, "moved.tsv": log}
    assert [(aside / b).stat().st_mtime_ns for _, b in moves] == [times[a] for a, _ in moves]
    assert library.status().photos == 2
    assert library.status().missing == 0
    assert library.status().index == 2
    assert library.duplicates() == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell")
def test_the_log_puts_everything_back(library: Library, folder: Path, tmp_path: Path) -> None:
    groups, before = _groups(library, folder), _tree(folder)
    aside = tmp_path / "aside"
    library.set_aside(groups, aside)
    line = 'while IFS=$\'\\t\' read -r from to photo; do mv -n "$to" "$from"; done < moved.tsv'
    subprocess.run(["bash", "-c", line], cwd=aside, check=True)
    assert _tree(folder) == before
    report = library.index()
    assert (report.added, report.unchanged, report.skipped) == (3, 2, ())


def test_names_with_tabs_and_newlines_stay_on_one_line_of_the_log(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    odd = folder / "tab\there\nline\\.png"
    shutil.copy(folder / "cat.png", odd)
    library.index(folder)
    library.set_aside(library.duplicates("exact", within=[odd, folder / "cat.png"]), tmp_path / "aside")
    written = (tmp_path / "aside" / "moved.tsv").read_text()
    assert written == f"{folder}/tab\\there\\nline\\\\.png\tphotos/tab\\there\\nline\\\\.png\n"
    assert not odd.exists()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    here = tmp_path.stat().st_dev
    places = [Path("/dev/shm"), Path(tempfile.gettempdir())]  # the tests themselves may write into either
    other = next((one for one in places if one.is_dir() and one.stat().st_dev != here), None)
    if other is None:
        pytest.skip("there is no other file system")
    place = other / f"mmsearch-test-{os.getpid()}"
    yield place
    shutil.rmtree(place, ignore_errors=True)


def test_files_are_moved_to_another_file_system(library: Library, folder: Path, elsewhere: Path) -> None:
    groups, before = _groups(library, folder), _tree(folder)
    times = (folder / "a" / "cat.png").stat().st_mtime_ns
    moved = library.set_aside(groups, elsewhere)
    names = ["photos/a/cat.png", "photos/b/cat.png", "photos/coffee small.jpg"]
    assert [one.target for one in moved if isinstance(one, Moved)] == [f"{elsewhere}/{name}" for name in names]
    found = _tree(elsewhere)
    assert {name: found[name] for name in names} == {
        "photos/a/cat.png": before["a/cat.png"],
        "photos/b/cat.png": before["b/cat.png"],
        "photos/coffee small.jpg": before["coffee small.jpg"],
    }
    assert sorted(_tree(folder)) == ["cat.png", "coffee.png"]
    assert (elsewhere / "photos" / "a" / "cat.png").stat().st_mtime_ns == times


def test_the_bytes_are_compared_whatever_the_library_says(library: Library, folder: Path, tmp_path: Path) -> None:
    groups = _groups(library, folder)
    copy = folder / "a" / "cat.png"
    status, content = copy.stat(), bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))  # by size and time the same as ever
    first, *others = library.set_aside(groups, tmp_path / "aside")
    assert first == Skipped(str(copy), f"differs from {folder}/cat.png, although the library says that they are equal")
    assert [type(one) for one in others] == [Moved, Moved]
    assert copy.read_bytes() == content
    assert library.status().photos == 3


def test_nothing_of_a_group_is_moved_when_its_kept_file_is_not_as_it_was(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    groups = _groups(library, folder)
    (folder / "cat.png").unlink()
    damaged = folder / "coffee.png"
    status = damaged.stat()
    damaged.write_bytes(damaged.read_bytes()[:20000].ljust(status.st_size, b"\0"))
    os.utime(damaged, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = library.set_aside(groups, tmp_path / "aside")
    assert done[:2] == [
        Skipped(f"{folder}/{name}/cat.png", f"the one to keep, {folder}/cat.png: not there now") for name in "ab"
    ]
    assert isinstance(done[2], Skipped)
    assert done[2].path == f"{folder}/coffee small.jpg"
    assert done[2].reason.startswith(f"the one to keep, {folder}/coffee.png: ")
    assert _tree(tmp_path / "aside") == {"moved.tsv": b""}
    assert library.status().photos == 5


def test_what_has_changed_or_gone_in_the_meantime_stays(library: Library, folder: Path, tmp_path: Path) -> None:
    groups = _groups(library, folder)
    (folder / "a" / "cat.png").unlink()
    _aged(folder / "b" / "cat.png", 5)
    done = library.set_aside(groups, tmp_path / "aside")
    assert done[:2] == [
        Skipped(f"{folder}/a/cat.png", "not there now"),
        Skipped(f"{folder}/b/cat.png", "changed since it was indexed"),
    ]
    assert [type(one) for one in done[2:]] == [Moved]


def test_the_kept_file_under_another_name_is_not_moved(library: Library, folder: Path, tmp_path: Path) -> None:
    copy = folder / "a" / "cat.png"
    _aged(copy, 300)
    groups = _groups(library, folder)
    copy.unlink()
    os.link(folder / "cat.png", copy)  # by size and time still as it was
    done = library.set_aside(groups, tmp_path / "aside")
    assert done[0] == Skipped(str(copy), f"is the same file as {folder}/cat.png")
    assert [type(one) for one in done[1:]] == [Moved, Moved]
    assert os.path.samefile(copy, folder / "cat.png")


def test_an_interrupted_move_is_remembered(library: Library, folder: Path, tmp_path: Path) -> None:
    groups = _groups(library, folder)

    def stop(step: Progress) -> None:
        assert (step.done, step.total) == (1, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.set_aside(groups, tmp_path / "aside", progress=stop)
    assert library.status().photos == 4
    assert sorted(_tree(tmp_path / "aside")) == ["moved.tsv", "photos/a/cat.png"]
    assert sorted(_tree(folder)) == ["b/cat.png", "cat.png", "coffee small.jpg", "coffee.png"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the permissions do not bind root")
def test_a_file_that_may_not_leave_its_folder_stays_and_leaves_nothing_behind(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    groups = _groups(library, folder)
    (folder / "a").chmod(0o555)
    done = library.set_aside(groups, tmp_path / "aside")
    (folder / "a").chmod(0o755)
    assert done[0] == Skipped(f"{folder}/a/cat.png", "cannot be moved: Permission denied")
    assert sorted(_tree(tmp_path / "aside")) == ["moved.tsv", "photos/b/cat.png", "photos/coffee small.jpg"]
    assert (tmp_path / "aside" / "moved.tsv").read_text().count("\n") == 2


def test_folders_that_are_no_place_for_duplicates_are_refused(library: Library, folder: Path, tmp_path: Path) -> None:
    groups, before = _groups(library, folder), _tree(folder)
    (tmp_path / "file").write_text("")
    for place, reason in (
        (folder / "aside", "is indexed: what is moved there would be found again"),
        (folder, "is indexed"),
        (tmp_path / "file", "is not a folder"),
        (tmp_path / "file" / "below", "nothing can be moved to"),
    ):
        with pytest.raises(SourceError, match=reason):
            library.set_aside(groups, place)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(SourceError, match="is indexed"):
        library.set_aside(groups, tmp_path / "link" / "aside", dry=True)
    assert _tree(folder) == before


def test_files_are_not_moved_to_where_they_are(library: Library, folder: Path) -> None:
    files = [folder / "cat.png", folder / "a" / "cat.png"]
    library.index(files)  # the folder itself is not indexed
    groups = library.duplicates()
    with pytest.raises(SourceError, match=r"is in .* already"):
        library.set_aside(groups, folder / "a")
    assert [type(one) for one in library.set_aside(groups, folder)] == [Moved]
    assert (folder / "cat (2).png").exists()


def test_what_belongs_to_a_photo_goes_with_it_and_comes_back(library: Library, folder: Path, tmp_path: Path) -> None:
    names = ("cat.png.xmp", "cat.txt", "cat.MOV", "cat.nef", "cat.png.supplemental-metadata.json")
    for name in (*names, "cats.txt", "category.xmp"):
        (folder / "a" / name).write_bytes(name.encode())
    (folder / "coffee.xmp").write_text("stays with coffee.png")
    (folder / "cat.txt").write_text("as much is known of the one that is kept")
    groups, before = _groups(library, folder), _tree(folder)
    aside = tmp_path / "aside"
    (aside / "photos" / "a").mkdir(parents=True)
    (aside / "photos" / "a" / "cat.txt").write_text("somebody's")
    planned = library.set_aside(groups, aside, dry=True)
    done = library.set_aside(groups, aside)
    assert done == planned
    assert isinstance(done[0], Moved)
    assert done[0].target == f"{aside}/photos/a/cat (2).png"
    moved = {one.source: one.target for one in done[0].companions}
    assert moved == {f"{folder}/a/{name}": f"{aside}/photos/a/cat (2){name[3:]}" for name in names}
    assert {name for name in _tree(folder) if name.startswith("a/")} == {"a/cats.txt", "a/category.xmp"}
    assert (folder / "coffee.xmp").exists()
    back = undo(str(aside))
    assert len([one for one in back if isinstance(one, Moved)]) == 8
    assert _tree(folder) == before
    assert _tree(aside) == {"photos/a/cat.txt": b"somebody's"}
    assert sorted(place.name for place in aside.rglob("*") if place.is_dir()) == ["a", "photos"]
    report = library.index()
    assert (report.added, report.unchanged) == (3, 2)
    assert {Path(skipped.path).name for skipped in report.skipped} <= {"cat.MOV", "cat.nef"}  # which are none


def test_what_another_picture_is_called_after_too_stays(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.jpg.xmp", "a.xmp", "a.mov", "b.jpg", "b.CR3", "b.json", "b.pdf", "b 2.xmp"):
        (tmp_path / name).touch()
    assert Companions().of(str(tmp_path / "a.jpg")) == [str(tmp_path / "a.jpg.xmp")]
    assert Companions().of(str(tmp_path / "b.jpg")) == [str(tmp_path / name) for name in ("b.CR3", "b.json")]


@pytest.mark.parametrize(
    ("photo", "beside", "belongs"),
    [
        ("a(1).jpg", "a.jpg(1).json", True),
        ("a(1).jpg", "a.jpg.supplemental-metadata(1).json", True),
        ("a(1).jpg", "a.supplemental-metadata(1).json", True),
        ("b.jpg", "b.supplemental-metadata.json", True),
        ("a-edited.jpg", "a.jpg.json", False),  # of a.jpg
        ("a.png", "a.supplemental-metadata.json", False),  # of a.jpg too
        ("a(1).jpg", "a.jpg.json", False),
    ],
)
def test_json_of_google_takeout_goes_with_its_only_photo(
    tmp_path: Path, photo: str, beside: str, belongs: bool
) -> None:
    for name in {"a.jpg", photo, beside}:
        (tmp_path / name).touch()
    assert Companions().of(str(tmp_path / photo)) == ([str(tmp_path / beside)] if belongs else [])


def test_json_of_google_takeout_still_belongs_to_a_photo_that_is_renamed(library: Library, tmp_path: Path) -> None:
    folder, aside = tmp_path / "photos", tmp_path / "aside"
    folder.mkdir()
    shutil.copy(SAMPLES / "coffee.png", folder / "cup(1).png")
    shutil.copy(SAMPLES / "coffee.png", folder / "larger.png")
    (folder / "larger.txt").write_text("more is known of this one, a cup of coffee")
    (folder / "cup.png(1).json").write_text("{}")
    (aside / "photos").mkdir(parents=True)
    (aside / "photos" / "cup(1).png").write_text("somebody's")
    library.index(folder)
    [done] = library.set_aside(library.duplicates(), aside)
    assert isinstance(done, Moved)
    assert done.target == f"{aside}/photos/cup(1) (2).png"
    assert [one.target for one in done.companions] == [f"{aside}/photos/cup(1) (2).png.json"]
    undo(str(aside))
    assert (folder / "cup.png(1).json").exists()


def test_a_photo_stays_where_a_file_of_its_own_cannot_go(library: Library, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.txt").write_text("words")
    (folder / "a" / "cat.xmp").write_text("words")
    (folder / "cat.txt").write_text("as much is known of the one that is kept")
    (folder / "a" / "cat.txt").symlink_to(tmp_path / "elsewhere.txt")
    groups, before = _groups(library, folder), _tree(folder)
    first, *others = library.set_aside(groups, tmp_path / "aside")
    assert isinstance(first, Skipped)
    assert first.reason == f"cannot be moved: {folder}/a/cat.txt is no regular file"
    assert [type(one) for one in others] == [Moved, Moved]
    assert {name: before[name] for name in ("a/cat.png", "a/cat.xmp")}.items() <= _tree(folder).items()
    assert (tmp_path / "aside" / "moved.tsv").read_text().count("\n") == 2


def test_what_an_editor_saves_meanwhile_stays(
    library: Library, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By renaming another file onto it, just before the old one goes."""
    groups = _groups(library, folder)
    edited = folder / "a" / "cat.png"
    link = os.link

    def saved(source: str, target: str, **more: bool) -> None:
        link(source, target, **more)
        if str(source) == str(edited):
            (folder / "a" / "new").write_bytes(b"edited")
            (folder / "a" / "new").rename(edited)

    monkeypatch.setattr(os, "link", saved)
    first, *_ = library.set_aside(groups, tmp_path / "aside")
    assert first == Skipped(str(edited), f"cannot be moved: {edited} was changed while it was moved")
    assert edited.read_bytes() == b"edited"
    assert not [name for name, content in _tree(tmp_path / "aside").items() if content == b"edited"]


def test_a_copy_has_its_name_when_it_is_whole(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere.mkdir()
    (tmp_path / "a").write_bytes(b"x" * 1000)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(filesystem, "equal", killed)
    with pytest.raises(KeyboardInterrupt):
        filesystem.relocate(str(tmp_path / "a"), str(elsewhere / "a"))
    assert _tree(elsewhere) == {}
    assert (tmp_path / "a").read_bytes() == b"x" * 1000


def test_it_is_written_down_before_it_is_moved(
    library: Library, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed at any step is undone."""
    groups, before = _groups(library, folder), _tree(folder)
    for step in range(1, 7):
        aside = tmp_path / f"aside{step}"
        steps = iter(range(1, step))

        def stopping(real: Any, log: Path, steps: Iterator[int], path: str, *more: str) -> None:
            assert os.path.basename(path) in log.read_text()
            if next(steps, None) is None:
                raise KeyboardInterrupt
            real(path, *more)

        with monkeypatch.context() as patched:
            for name in ("link", "unlink"):
                patched.setattr(os, name, partial(stopping, getattr(os, name), aside / "moved.tsv", steps))
            with suppress(KeyboardInterrupt):
                list(move_aside.move(groups, str(aside), library.store.roots()))
        assert set(before.values()) <= {*_tree(folder).values(), *_tree(aside).values()}
        undo(str(aside))
        assert _tree(folder) == before
        assert _tree(aside) == {}


def test_undo_overwrites_nothing_and_follows_a_folder_that_was_moved(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    groups, before = _groups(library, folder), _tree(folder)
    library.set_aside(groups, tmp_path / "aside")
    aside = (tmp_path / "aside").rename(tmp_path / "elsewhere")
    (folder / "b" / "cat.png").write_bytes(b"another one")
    shutil.rmtree(folder / "a")
    done = undo(str(aside))
    (failed,) = (one for one in done if isinstance(one, Skipped))
    assert failed.reason == f"there is another file in its old place, {folder}/b/cat.png"
    assert _tree(folder) == {**before, "b/cat.png": b"another one"}
    assert sorted(_tree(aside)) == ["moved.tsv", "photos/b/cat.png"]
    (folder / "b" / "cat.png").unlink()
    assert [type(one) for one in undo(str(aside))] == [Moved]
    assert _tree(folder) == before
    with pytest.raises(SourceError, match=r"name the folder that duplicates were moved to"):
        undo(str(aside))


def test_undo_leaves_the_only_file_where_its_old_place_leads_to_it(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    library.set_aside(_groups(library, folder), tmp_path / "aside")
    there = tmp_path / "aside" / "photos" / "a" / "cat.png"
    (folder / "a" / "cat.png").symlink_to(there)
    content = there.read_bytes()
    (failed,) = (one for one in undo(str(tmp_path / "aside")) if isinstance(one, Skipped))
    assert failed.path == str(there)
    assert (folder / "a" / "cat.png").read_bytes() == content


def test_the_copy_with_words_is_kept(library: Library, tmp_path: Path) -> None:
    for name, quality in (("large.jpg", 95), ("small.jpg", 60)):
        with Image.open(SAMPLES / "chelsea.png") as image:
            (tmp_path / "photos").mkdir(exist_ok=True)
            image.convert("RGB").save(tmp_path / "photos" / name, quality=quality)
    (tmp_path / "photos" / "small.txt").write_text("Grandmother's cat")
    library.index(tmp_path / "photos")
    (group,) = library.duplicates()
    assert (Path(group.keep.path).name, [Path(one.path).name for one in group.others]) == ("small.jpg", ["large.jpg"])
    assert group.levels == ("near",)


def test_two_roots_of_one_name_do_not_mix_and_undo_takes_them_apart(library: Library, tmp_path: Path) -> None:
    for place in ("mine/photos", "yours/photos"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(SAMPLES / "chelsea.png", tmp_path / place / "cat.png")
        shutil.copy(SAMPLES / "chelsea.png", tmp_path / place / "cat again.png")
    library.index([tmp_path / "mine/photos", tmp_path / "yours/photos"])
    before = _tree(tmp_path / "mine"), _tree(tmp_path / "yours")
    library.set_aside(library.duplicates(), tmp_path / "aside")
    names = {"photos/cat again.png", "photos/cat again (2).png", "photos/cat.png", "photos/cat (2).png", "moved.tsv"}
    assert set(_tree(tmp_path / "aside")) < names
    assert len(_tree(tmp_path / "aside")) == 4
    undo(str(tmp_path / "aside"))
    assert (_tree(tmp_path / "mine"), _tree(tmp_path / "yours")) == before
    assert list((tmp_path / "aside").iterdir()) == []


def test_undo_reads_logs_of_earlier_versions(tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    (aside / "cat.png").write_bytes(b"a cat")
    (aside / "moved.tsv").write_text(f"{tmp_path}/old/cat.png\t/as/it/was/cat.png\n")
    assert undo(str(aside)) == [Moved(f"{aside}/cat.png", f"{tmp_path}/old/cat.png")]
    assert (tmp_path / "old" / "cat.png").read_bytes() == b"a cat"


@pytest.mark.parametrize(
    "line", ["{old}\t../cat.png", "{old}\tphotos/../../cat.png", "old.png\tcat.png", "garbage", "{old}\t"]
)
def test_lines_that_say_nothing_are_named_and_stay(tmp_path: Path, line: str) -> None:
    aside, line = tmp_path / "aside", line.format(old=f"{tmp_path}/old.png")
    aside.mkdir()
    for place in (aside, tmp_path):
        (place / "cat.png").write_bytes(b"a cat")
    (aside / "moved.tsv").write_text(f"\n{line}\n")
    log = f"{aside}/moved.tsv"
    assert undo(str(aside)) == [Skipped(log, "line 2 is no line of such a log; look at it")]
    assert Path(log).read_text() == f"{line}\n"
    assert sorted(_tree(tmp_path)) == ["aside/cat.png", "aside/moved.tsv", "cat.png"]


def test_a_line_that_a_run_left_half_written_costs_no_other(library: Library, folder: Path, tmp_path: Path) -> None:
    groups, before = _groups(library, folder), _tree(folder)
    aside = tmp_path / "aside"
    aside.mkdir()
    (aside / "moved.tsv").write_text(f"{folder}/cat.png\tphotos/c")
    library.set_aside(groups, aside)
    assert [type(one) for one in undo(str(aside))] == [Moved] * 3
    assert _tree(folder) == before
    assert _tree(aside) == {}


def test_what_is_nowhere_is_named(library: Library, folder: Path, tmp_path: Path) -> None:
    library.set_aside(_groups(library, folder), tmp_path / "aside")
    there = tmp_path / "aside" / "photos" / "a" / "cat.png"
    there.unlink()
    gone = Skipped(f"{folder}/a/cat.png", f"is not there any more, nor in its old place: {there}")
    assert [one for one in undo(str(tmp_path / "aside")) if isinstance(one, Skipped)] == [gone]
    assert undo(str(tmp_path / "aside")) == [gone]


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_only_a_file_is_taken_for_the_log(library: Library, folder: Path, tmp_path: Path, what: str) -> None:
    groups, before = _groups(library, folder), _tree(folder)
    log = tmp_path / "aside" / "moved.tsv"
    log.parent.mkdir()
    (tmp_path / "somebody's").write_text("keep")
    if what == "link":
        log.symlink_to(tmp_path / "somebody's")
    elif what == "pipe":
        os.mkfifo(log)
    else:
        log.mkdir()
    refused = partial(pytest.raises, SourceError, match=r"moved\.tsv: (it is )?(no regular file|Is a directory)")
    with refused():
        library.set_aside(groups, log.parent)
    with refused():
        undo(str(log.parent))
    assert _tree(folder) == before
    assert (tmp_path / "somebody's").read_text() == "keep"


def test_a_photo_is_put_back_with_all_that_belongs_to_it_or_not_at_all(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    for name in ("cat.png.xmp", "cat.mov"):
        (folder / "a" / name).write_bytes(name.encode())
    groups = _groups(library, folder)
    library.set_aside(groups, tmp_path / "aside")
    moved = _tree(tmp_path / "aside")
    (folder / "a" / "cat.mov").write_bytes(b"another clip")
    failed = {one.path: one.reason for one in undo(str(tmp_path / "aside")) if isinstance(one, Skipped)}
    aside = f"{tmp_path}/aside/photos/a"
    stays = f"stays with what belongs to it: {aside}/cat.mov"
    assert failed == {
        f"{aside}/cat.mov": f"there is another file in its old place, {folder}/a/cat.mov",
        f"{aside}/cat.png": stays,
        f"{aside}/cat.png.xmp": stays,
    }
    assert {name for name in _tree(folder) if name.startswith("a/")} == {"a/cat.mov"}
    assert (folder / "b" / "cat.png").exists()
    (folder / "a" / "cat.mov").unlink()
    assert [type(one) for one in undo(str(tmp_path / "aside"))] == [Moved] * 3
    assert {name: data for name, data in _tree(folder).items() if name.startswith("a/")} == {
        name.removeprefix("photos/"): data for name, data in moved.items() if name.startswith("photos/a/")
    }


def test_a_smaller_copy_that_says_more_stays(library: Library, tmp_path: Path) -> None:
    folder, aside = tmp_path / "photos", tmp_path / "aside"
    folder.mkdir()
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "1999:07:01 12:00:00"
    with Image.open(SAMPLES / "coffee.png") as image:
        image.convert("RGB").save(folder / "large.jpg", quality=90)
        image.convert("RGB").resize((450, 300)).save(folder / "dated.jpg", exif=exif)
        image.convert("RGB").resize((300, 200)).save(folder / "named.jpg")
        image.convert("RGB").resize((240, 160)).save(folder / "small.jpg")
        image.convert("RGB").resize((360, 240)).save(folder / "tagged.jpg")
    (folder / "named.txt").write_text("Grandmother's cup")
    library.index(folder)
    library.tag_photos([folder / "large.jpg", folder / "small.jpg", folder / "tagged.jpg"], add="cup")
    library.tag_photos(folder / "tagged.jpg", add="Grandmother")
    groups, before = library.duplicates(), _tree(folder)
    large = folder / "large.jpg"
    stay = [
        Skipped(f"{folder}/dated.jpg", f"{large}, which is kept, lacks its date"),
        Skipped(f"{folder}/tagged.jpg", f"{large}, which is kept, lacks its tags"),
        Skipped(f"{folder}/named.jpg", f"{large}, which is kept, lacks its words"),
    ]
    planned = library.set_aside(groups, aside, dry=True)
    assert planned == [*stay, Moved(f"{folder}/small.jpg", f"{aside}/photos/small.jpg")]
    assert library.set_aside(groups, aside) == planned
    assert set(before) - set(_tree(folder)) == {"small.jpg"}


def test_nothing_is_moved_that_could_not_be_written_down_whole(
    library: Library, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk is full: the system writes what has room, and says how much that was."""
    groups, before = _groups(library, folder), _tree(folder)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
    done = list(move_aside.move(groups, str(tmp_path / "aside"), library.store.roots()))
    monkeypatch.undo()
    assert [type(one) for one in done] == [Skipped] * 3
    assert _tree(folder) == before
    assert _tree(tmp_path / "aside") == {"moved.tsv": b""}
