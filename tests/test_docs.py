"""The README is true: its Python runs, its commands exist, and every command is in it."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from mmsearch.cli.app import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def command_lines() -> list[list[str]]:
    """Every ``mmsearch …`` line of the README, without its comment and what it is piped into."""
    lines = re.findall(r"^    (mmsearch .*)$", README, re.MULTILINE)
    return [shlex.split(line.split("  #")[0].split(" | ")[0])[1:] for line in lines]


def test_every_command_is_in_the_readme() -> None:
    group = typer.main.get_command(app)
    assert {words[0] for words in command_lines()} == set(group.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", command_lines(), ids=" ".join)
def test_commands_of_the_readme_parse(words: list[str]) -> None:
    group = typer.main.get_command(app)
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:], resilient_parsing=False)


def test_python_of_the_readme_runs(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    lines = printed.getvalue().splitlines()
    assert lines[0] == "5 added, 0 skipped"
    assert lines[1].endswith("cameraman.png")


def test_links_of_the_docs_lead_somewhere() -> None:
    for file in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text("utf-8")):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_toml_of_the_readme_is_understood(tmp_path: Path) -> None:
    from mmsearch import config

    (toml,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "config.toml").write_text(toml, "utf-8")
    settings = config.load(tmp_path / "config.toml", {})
    assert settings.library == Path("~/photos.mmsearch").expanduser()
    assert (settings.model, settings.max_megapixels, settings.batch) == ("auto", 200.0, 32)
