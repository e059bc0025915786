"""What a pattern leaves out; git itself is the oracle for its rules."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mmsearch.errors import PatternError
from mmsearch.media.discover import walk
from mmsearch.media.exclusions import Exclusions

FILES = [
    "a.png", "b.jpg", "E.GIF", "d.gif", "2019/c.jpg", "2019/raw/d.jpg", "2019/raw2/e.jpg", "2019/raw.jpg", "raw/f.png",
    "private/x/e.jpg", "Private/g.jpg", "[2024] trip/h.jpg", "2 trip/i.jpg", "#1/j.jpg", "{a,b}/k.jpg", "end /l.jpg",
    "ab/m.jpg", "öl/n.jpg",
]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    return tmp_path / "root"


def left_out(root: Path, *patterns: str) -> set[str]:
    found = {os.path.relpath(item.path, root) for item in walk(str(root), patterns)}
    return set(FILES) - found


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    "patterns",
    [
        ["raw"], ["raw/"], ["*.png"], ["2019/*"], ["2019/raw"], ["/raw"], ["private/**"], ["**/raw"], ["**/*.jpg"],
        ["raw?"], ["2019/**/d.jpg"], ["[ab].*"], ["*.jpg", "!b.jpg"], ["2019", "!2019/c.jpg"], ["*"], ["nothing"],
        ["öl"], ["r*w/"], ["2019/r*/*.jpg"], ["2019/", "!2019/c.jpg"], ["2019/*", "!2019/c.jpg"],
        ["2019/**", "!2019/raw/", "!d.jpg"], ["*", "!*/", "!*.jpg"], ["*/", "!2019/"], ["*.jpg", "!2019/"],
    ],
)  # fmt: skip
def test_patterns_follow_the_rules_of_git(root: Path, patterns: list[str]) -> None:
    (root / ".gitignore").write_text("\n".join(patterns) + "\n", "utf-8")
    quiet = {"check": True, "cwd": root, "capture_output": True}
    subprocess.run(["git", "init", "-q"], **quiet)  # type: ignore[call-overload]
    subprocess.run(["git", "config", "core.ignorecase", "true"], **quiet)  # type: ignore[call-overload]
    command = ["git", "ls-files", "-z", "--others", "--ignored", "--exclude-standard"]
    ignored = subprocess.run(command, **quiet).stdout  # type: ignore[call-overload]
    assert left_out(root, *patterns) == set(FILES) & set(os.fsdecode(ignored).split("\0"))


@pytest.mark.parametrize(
    ("pattern", "out"),
    [
        ("*.gif", {"E.GIF", "d.gif"}),
        ("*.{gif,png}", {"E.GIF", "d.gif", "a.png", "raw/f.png"}),
        ("{raw,private}", {"2019/raw/d.jpg", "raw/f.png", "private/x/e.jpg", "Private/g.jpg"}),
        ("[2024] trip", {"[2024] trip/h.jpg", "2 trip/i.jpg"}),
        ("[2024] trip/", {"[2024] trip/h.jpg", "2 trip/i.jpg"}),
        ("#1", {"#1/j.jpg"}),
        ("{a,b}", {"{a,b}/k.jpg"}),
        ("end ", {"end /l.jpg"}),
        ("ROOT/private", set()),
        ("./2019/raw", {"2019/raw/d.jpg"}),
        ("ÖL", {"öl/n.jpg"}),
        ("o\u0308l", {"öl/n.jpg"}),  # as macOS writes it
        ("[o\u0308]l/", {"öl/n.jpg"}),
    ],
)
def test_what_is_meant_by_people(root: Path, pattern: str, out: set[str]) -> None:
    assert left_out(root, pattern) == out


def test_an_accent_in_a_name_is_written_in_either_way(tmp_path: Path) -> None:
    (tmp_path / "u\u0308ber").mkdir()
    (tmp_path / "u\u0308ber" / "a.jpg").touch()
    for pattern in ("über", "Über/", "u\u0308ber", "**/ÜBER/a.jpg", str(tmp_path / "über" / "a.jpg")):
        assert list(walk(str(tmp_path), [pattern])) == []


@pytest.mark.parametrize(
    ("patterns", "out"),
    [
        (["*.{gif,png}", "!ROOT/raw/f.png"], {"E.GIF", "d.gif", "a.png"}),
        (["*.{gif,png}", "!{raw/f.png,d.gif}"], {"E.GIF", "a.png"}),
        (["*.jpg", "![2024] trip/h.jpg", "!#1/*"], None),
    ],
)
def test_what_is_brought_back(root: Path, patterns: list[str], out: set[str] | None) -> None:
    if out is None:
        out = {file for file in FILES if file.endswith(".jpg")} - {"[2024] trip/h.jpg", "#1/j.jpg"}
    assert left_out(root, *(pattern.replace("ROOT", str(root)) for pattern in patterns)) == out


@pytest.mark.parametrize("pattern", ["private", "private/", "private/x", "[2024] trip", "*.gif", "2019/{raw,raw2}"])
def test_absolute_paths(root: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    anchored = left_out(root, f"/{pattern}")
    assert anchored
    monkeypatch.setenv("HOME", str(root.parent))
    linked = root.parent / "linked"
    linked.symlink_to(root)
    for way in (root, Path("~/root")):
        assert left_out(root, f"{way}/{pattern}") == anchored
    if not set(pattern) & set("*{["):
        assert left_out(root, f"{linked}/{pattern}") == anchored


@pytest.mark.parametrize("pattern", ["ROOT", "ROOT/", "/", "ROOT/..", "~"])
def test_nothing_would_be_left(root: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    with pytest.raises(PatternError, match="nothing would be left of it"):
        list(walk(str(root), [pattern.replace("ROOT", str(root))]))


@pytest.mark.parametrize("pattern", ["!", "///", "\\"])
def test_a_pattern_that_says_nothing(root: Path, pattern: str) -> None:
    with pytest.raises(PatternError):
        list(walk(str(root), [pattern]))


def test_patterns_without_effect_are_known(root: Path) -> None:
    exclusions = Exclusions(["*.gif", "*.heic", "*.GIF", "nowhere/", "private"], str(root))
    list(walk(str(root), exclusions))
    assert exclusions.unused() == {"*.heic", "nowhere/"}


def test_what_brings_back_nothing_is_known(root: Path) -> None:
    patterns = ["*.jpg", "!b.jpg", "!none.jpg", "private/", "!private/g.jpg", "raw", "!a.png", "!d.jpg", "raw/f.png"]
    exclusions = Exclusions(patterns, str(root))
    kept = {os.path.relpath(item.path, root) for item in walk(str(root), exclusions)}
    assert kept == {"a.png", "E.GIF", "d.gif", "b.jpg"}
    # d.jpg lies in a folder that is left out, a.png was never left out
    assert exclusions.unused() == {"!none.jpg", "!private/g.jpg", "!a.png", "!d.jpg", "raw/f.png"}
