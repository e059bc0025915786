"""Completion: what may follow, and that bash, zsh and fish really complete it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.main
from samples import CLI, surroundings

from mmsearch.cli.app import app
from mmsearch.cli.completing import Candidates, candidates
from mmsearch.cli.shells import escaped, split
from mmsearch.store.open import beginnings

GROUP = typer.main.get_command(app)


def completed(*words: str) -> Candidates:
    return candidates(GROUP.commands, GROUP.params, words)  # type: ignore[attr-defined]


def test_commands_and_options() -> None:
    assert list(completed("du").values) == ["duplicates"]
    assert list(completed("re").values) == ["repair", "remove", "restore", "reindex"]
    assert list(completed("--v").values) == ["--version"]
    assert list(completed("query", "--or").values) == ["--orientation"]
    assert list(completed("--library", "x", "tag", "--l").values) == ["--library", "--list"]
    assert completed("query", "--orientation", "p").values == {"portrait": ""}
    assert completed("index", "--device=cu").values == {"--device=cuda": ""}
    assert completed("index", "--model", "emb").values == {"embedded": ""}
    assert "ViT-B-32/openai" in completed("index", "--model", "ViT-B-32/").values


def test_paths_are_left_to_the_shell() -> None:
    assert completed("index", "") == Candidates(files=True)
    assert completed("query", "./a") == Candidates(files=True)
    assert completed("query", "--copy-to", "") == Candidates(folders=True)
    assert completed("status", "--library", "") == Candidates(folders=True)


def test_fields_of_a_query() -> None:
    assert list(completed("query", "ca").values) == ["camera:"]
    assert list(completed("query", "dog", "-ty").values) == ["-type:"]
    assert completed("query", "has:").values == {"has:text": "", "has:gps": ""}
    assert completed("query", "orientation:portrait,sq").values == {"orientation:portrait,square": ""}
    assert {"tag:", "date:", "words:", "sort:", "near:"} <= set(completed("query", "").values)


def test_values_come_from_the_library(tmp_path: Path, mmsearch: CLI, photos: Path, tag_cache: Path) -> None:
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("cat\na photo\ncar\n", "utf-8")
    folder = str(tmp_path / "library")
    mmsearch("index", photos, "--library", folder)
    own = ("--vocabulary", vocabulary, "--threshold", "0.01", "--library", folder)
    mmsearch("tag", *own, MMSEARCH_CACHE=str(tag_cache))
    known = set(beginnings(Path(folder), "tag", ""))
    assert known <= {"cat", "a photo", "car"}
    assert "cat" in known
    assert "tag:cat" in completed("query", "--library", folder, "tag:C").values
    assert completed("query", f"--library={folder}", "type:").values == {"type:png": "", "type:jpeg": ""}
    assert completed("query", "-l", folder, "--tag", "cat").values == {"cat": ""}
    said = mmsearch(
        _MMSEARCH_COMPLETE="complete_bash",
        _MMSEARCH_WORDS=f"mmsearch query --library {folder} type:j",
        _MMSEARCH_WORD="j",
    )
    assert said.stdout == "jpeg\t\n"  # bash keeps what stands before the colon


def test_no_library_and_a_wrong_field_complete_to_nothing(tmp_path: Path) -> None:
    assert completed("query", "--library", str(tmp_path / "none"), "tag:").values == {}
    assert not (tmp_path / "none").exists()
    assert beginnings(tmp_path, "near", "") == []
    (tmp_path / "library.sqlite").write_bytes(b"no database")
    assert beginnings(tmp_path, "tag", "") == []


@pytest.mark.parametrize(
    ("line", "words", "quote"),
    [
        ("mmsearch query ", ["mmsearch", "query", ""], ""),
        ("mmsearch query 'a dog' tag:b", ["mmsearch", "query", "a dog", "tag:b"], ""),
        ('mmsearch query "a do', ["mmsearch", "query", "a do"], '"'),
        (r"m a\ b\"c", ["m", "a b\"c"], ""),
        ("m '' x", ["m", "", "x"], ""),
    ],
)  # fmt: skip
def test_lines_are_split_as_bash_does(line: str, words: list[str], quote: str) -> None:
    assert split(line) == (words, quote)
    assert escaped('tag:"taking a photo"') == r"tag:\"taking\ a\ photo\""


def test_it_is_quick(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom mmsearch.cli.app import main\ntry: main()\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'sqlalchemy', 'onnxruntime', 'faiss', 'rich', 'PIL'} & set(sys.modules)))"
    )
    own = {"_MMSEARCH_COMPLETE": "complete_fish", "_MMSEARCH_WORDS": "mmsearch\nquery\ntag:"}
    environment = surroundings(tmp_path, own)
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``mmsearch`` is a program on the path."""
    binary = tmp_path / "bin"
    binary.mkdir()
    (binary / "mmsearch").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmsearch.cli "$@"\n', "utf-8")
    (binary / "mmsearch").chmod(0o755)
    return surroundings(tmp_path, {"PATH": f"{binary}{os.pathsep}{os.environ['PATH']}", "TERM": "xterm"})


def typed(command: list[str], keys: bytes, wanted: bytes, environment: dict[str, str], folder: Path) -> bytes:
    """What a shell in a terminal shows after these keys, until ``wanted`` is there."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, environment)
    seen, end, sent = b"", time.monotonic() + 60, False
    try:
        while time.monotonic() < end and wanted not in seen:
            if select.select([terminal], [], [], 0.5)[0]:
                seen += os.read(terminal, 65536)
            if not sent and b"READY" in seen:
                os.write(terminal, keys)
                sent = True
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)
    return seen


CASES = [(b"mmsearch dup\t", b"mmsearch duplicates"), (b"mmsearch query has:g\t", b"mmsearch query has:gps")]


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(("keys", "wanted"), CASES)
def test_in_bash(keys: bytes, wanted: bytes, program: dict[str, str], tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.write_text("PS1='READY '\neval \"$(mmsearch completion bash)\"\n", "utf-8")
    assert wanted in typed(["bash", "--rcfile", str(start), "-i"], keys, wanted, program, tmp_path)


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh")
@pytest.mark.parametrize(("keys", "wanted"), CASES)
def test_in_zsh(keys: bytes, wanted: bytes, program: dict[str, str], tmp_path: Path) -> None:
    start = "autoload -Uz compinit && compinit -u\neval \"$(mmsearch completion zsh)\"\nPS1='READY '\n"
    (tmp_path / ".zshrc").write_text(start, "utf-8")
    wanted = wanted.removeprefix(b"m")  # it draws the first letter twice
    assert wanted in typed(["zsh", "-i"], keys, wanted, {**program, "ZDOTDIR": str(tmp_path)}, tmp_path)


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish")
@pytest.mark.parametrize(("keys", "wanted"), CASES)
def test_in_fish(keys: bytes, wanted: bytes, program: dict[str, str], tmp_path: Path) -> None:
    asked, last = keys.decode().rstrip("\t"), wanted.decode().split()[-1]
    code = f"mmsearch completion fish | source; complete -C '{asked}'"
    done = subprocess.run(["fish", "-c", code], env=program, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [last]


def test_set_up_for_a_shell(mmsearch: CLI, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert mmsearch("completion", "zsh").stdout.startswith("#compdef mmsearch\n")
    (home / ".bashrc").write_text("alias x=y", "utf-8")
    for _ in range(2):
        said = mmsearch("completion", "bash", "--install").stderr
        assert said == f"bash completes mmsearch from its next start on: {home}/.bashrc\n"
    first, line = (home / ".bashrc").read_text("utf-8").splitlines()
    assert (first, Path(line.split("'")[1]).is_file()) == ("alias x=y", True)
    mmsearch("completion", "fish", "--install")
    assert (home / ".config" / "fish" / "completions" / "mmsearch.fish").is_file()
    wrong = mmsearch("completion", "tcsh", check=2).stderr
    assert "must be bash, zsh or fish, not 'tcsh'" in wrong
