"""What a pattern leaves out; git itself is the oracle for its rules."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mmsearch.errors import SourceError
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
        ["öl"], ["r*w/"], ["2019/r*/*.jpg"],
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
    ],
)
def test_what_is_meant_by_people(root: Path, pattern: str, out: set[str]) -> None:
    assert left_out(root, pattern) == out


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
    with pytest.raises(SourceError, match="nothing would be left of it"):
        list(walk(str(root), [pattern.replace("ROOT", str(root))]))


@pytest.mark.parametrize("pattern", ["!", "///"])
def test_a_pattern_that_says_nothing(root: Path, pattern: str) -> None:
    with pytest.raises(SourceError):
        list(walk(str(root), [pattern]))


def test_patterns_without_effect_are_known(root: Path) -> None:
    exclusions = Exclusions(["*.gif", "*.heic", "*.GIF", "nowhere/", "private"], str(root))
    list(walk(str(root), exclusions))
    assert exclusions.unused() == {"*.heic", "nowhere/"}
