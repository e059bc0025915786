"""Long output on a terminal goes through a pager; colours keep to NO_COLOR."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from played_terminal import play
from samples import CLI, surroundings

COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-9][0-9;]*m")


def shown(folder: Path, *arguments: str, **environment: str) -> str:
    own = {**surroundings(folder, {}), **environment}
    command = [sys.executable, "-m", "mmsearch.cli", *arguments]
    written, _ = play(command, {}, size=(12, 100, 0, 0), folder=folder, **own)  # type: ignore[arg-type]
    return written.decode()


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """A pager that says that it is one."""
    program = tmp_path / "pager"
    program.write_text("#!/bin/sh\necho PAGED\ncat\n", "utf-8")
    program.chmod(0o755)
    return str(program)


def test_what_does_not_fit_is_paged(tmp_path: Path, pager: str) -> None:
    whole = shown(tmp_path, "models", "--all", PAGER=pager)
    assert whole.startswith("PAGED\r\n")
    assert "ViT-B-32/openai" in whole
    assert "PAGED" not in shown(tmp_path, "models", PAGER=pager)
    for off in ({"PAGER": "cat"}, {"PAGER": ""}, {"PAGER": pager, "MMSEARCH_PAGER": ""}):
        plain = shown(tmp_path, "models", "--all", **off)
        assert "PAGED" not in plain
        assert plain.count("\n") > 100
    assert shown(tmp_path, "models", "--all", PAGER="/no/such/pager").count("\n") > 100


def test_a_pipe_is_never_paged(mmsearch: CLI, pager: str) -> None:
    assert "PAGED" not in mmsearch("models", "--all", PAGER=pager).stdout


def test_no_color(tmp_path: Path, photos: Path, mmsearch: CLI) -> None:
    mmsearch("index", photos)
    query = ("query", "a cat", "-k", "3")
    assert COLOUR.search(shown(tmp_path, *query, PAGER="cat").encode())
    assert not COLOUR.search(shown(tmp_path, *query, PAGER="cat", NO_COLOR="1").encode())
