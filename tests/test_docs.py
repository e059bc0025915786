"""README and docs are true: their Python runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer.main

from mmsearch.cli.app import app
from mmsearch.cli.command_group import joined

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def command_lines() -> list[list[str]]:
    """Every ``mmsearch …`` line of the README and the docs, without its comment and what it is piped into."""
    texts = [file.read_text("utf-8") for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]]
    lines = dict.fromkeys(line for text in texts for line in re.findall(r"^    (mmsearch .*)$", text, re.MULTILINE))
    return [shlex.split(line.split("  #")[0].split(" | ")[0])[1:] for line in lines]


def test_every_command_is_in_the_readme() -> None:
    group = typer.main.get_command(app)
    lines = re.findall(r"^    mmsearch ([a-z-]+)", README, re.MULTILINE)
    assert set(lines) == {name.partition(" ")[0] for name in group.commands}  # type: ignore[attr-defined]


def test_reference_is_what_the_commands_say() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
    page = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert made["reference"]() + "\n" == page, "run: make reference"
    manual = (ROOT / "man" / "mmsearch.1").read_text("utf-8")
    assert made["manual"]() == manual, "run: make reference"
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 250


def test_commands_of_the_docs_parse() -> None:
    group = typer.main.get_command(app)
    for words in command_lines():
        name, *rest = joined(group.commands, words)  # type: ignore[attr-defined]
        command = group.commands[name]  # type: ignore[attr-defined]
        command.make_context(name, rest, resilient_parsing=False)


def test_python_of_the_readme_runs(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    lines = printed.getvalue().splitlines()
    assert lines[0] == "5 added, 0 skipped"
    assert lines[1].endswith("cameraman.png")


def test_python_of_the_page_about_python_runs(photos: Path, tag_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks one after the other; what a block prints stands in the grey one after it."""
    monkeypatch.chdir(photos.parent)
    monkeypatch.setenv("MMSEARCH_CACHE", str(tag_cache))
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", page, re.DOTALL)
    assert len(blocks) == page.count("```python")
    names: dict[str, object] = {}
    said = []
    for code, _ in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "docs/python.md", "exec"), names)
        said.append(printed.getvalue())
    assert said == [output for _, output in blocks]


def anchors(file: Path) -> set[str]:
    """What links can name in a file: its headings, as web pages write them."""
    headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_of_the_docs_lead_somewhere() -> None:
    for file in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^):]+)\)", file.read_text("utf-8")):
            path, _, anchor = target.partition("#")
            there = file.parent / path if path else file
            assert there.exists(), f"{file.name}: {target}"
            assert not anchor or anchor in anchors(there), f"{file.name}: {target}"


def test_every_page_of_the_docs_can_be_found_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", README))
    assert {file.name for file in (ROOT / "docs").glob("*.md")} <= linked


def test_toml_of_the_docs_is_understood(tmp_path: Path) -> None:
    from mmsearch import config

    (toml,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "libraries.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "config.toml").write_text(toml, "utf-8")
    settings = config.load(tmp_path / "config.toml", {})
    assert settings.library == Path("~/photos.mmsearch").expanduser()
    assert (settings.model, settings.max_megapixels, settings.batch) == ("auto", 200.0, 32)


def test_architecture_draws_every_room_and_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = {folder.name for folder in (ROOT / "mmsearch").iterdir() if (folder / "__init__.py").exists()}
    assert {f"{room}/" for room in {*rooms, "indexes", "cli"}} <= set(re.findall(r"^\| `(\w+/)`", text, re.MULTILINE))
    for name in re.findall(r"`((?:mmsearch|indexes|cli|tests)/[\w/]+(?:\.py)?/?)`", text):
        assert (ROOT / name).exists(), name
