"""Commands by other names, and options before the command."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main
from drawn import draw
from samples import CLI

from mmsearch.cli.app import app
from mmsearch.cli.command_group import MEANT, command_first


@pytest.mark.parametrize(("typed", "meant"), [("search", "query"), ("find", "query"), ("rm", "remove")])
def test_other_names_of_commands_are_told(mmsearch: CLI, typed: str, meant: str) -> None:
    done = mmsearch(typed, "a red ball", check=2)
    assert f"No such command '{typed}'. Did you mean '{meant}'?" in done.stderr


def test_a_second_word_that_is_almost_right_is_told(mmsearch: CLI) -> None:
    done = mmsearch("cluster", "idnex", check=2)
    assert "No such command 'cluster idnex'. Did you mean 'cluster index'?" in done.stderr
    done = mmsearch("cluster", "dance", check=2)
    assert "Did you mean" not in done.stderr
    assert "mmsearch cluster reconcile" in done.stderr


def test_what_is_meant_are_commands() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(MEANT.values()) <= commands
    assert not set(MEANT) & commands


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("--library x query a dog", "query --library x a dog"),
        ("--library=x --json status", "status --library=x --json"),
        ("-k 3 --json query dog -people", "query -k 3 --json dog -people"),
        ("-k5 query dog", "query -k5 dog"),
        ("--library query query dog", "query --library query dog"),  # a value that is called as a command
        ("query --library x dog", "query --library x dog"),
        ("--version", "--version"),
        ("--help query", "--help query"),
        ("--nonsense query dog", "--nonsense query dog"),  # told by who knows the options
        ("--library query", "--library query"),  # a value, and no command
        ("-people query", "-people query"),
        ("", ""),
    ],
)
def test_options_may_stand_before_the_command(typed: str, understood: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert command_first(commands, typed.split()) == understood.split()


def test_a_command_runs_with_options_before_it(mmsearch: CLI, tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    mmsearch("--library", tmp_path / "own", "--model", "embedded", "index", tmp_path / "photos" / "red_ball.png")
    out = mmsearch("--library", tmp_path / "own", "--json", "query", "type:png").stdout
    assert '"score": null' in out
    status = mmsearch(f"--library={tmp_path / 'own'}", "status").stdout
    assert "compares all pictures (1 different)" in status
    assert not {word for word in ("token", "vector", "generation", "dimension", "region") if word in status}
    table = mmsearch("--library", tmp_path / "own", "query", "type:png").stdout
    assert "Score" not in table
    sheet = tmp_path / "sheet.html"
    mmsearch("--library", tmp_path / "own", "query", "type:png", "--html", sheet)
    assert "None" not in sheet.read_text()


def test_h_is_help_and_words_with_it_are_words(mmsearch: CLI) -> None:
    for command in ((), ("query",), ("export",)):
        assert mmsearch(*command, "-h").stdout == mmsearch(*command, "--help").stdout != ""
    assert "there is no library" in mmsearch("query", "dog", "-house", check=1).stderr
