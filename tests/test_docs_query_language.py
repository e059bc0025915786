"""The page on the query language is true: its queries are understood, its messages are those that are said."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from mmsearch.cli.app import app
from mmsearch.errors import QuerySyntaxError
from mmsearch.query.fields import FORMATS
from mmsearch.query.files import parse
from mmsearch.query.parser import FIELDS

DOC = (Path(__file__).parent.parent / "docs" / "query-language.md").read_text("utf-8")
FILES = ("cat.jpg", "holidays/a.jpg")


def in_tables() -> list[str]:
    """The queries in the first column of tables; options stand there too."""
    cells = re.findall(r"^\| (`.*?) \|", DOC, re.MULTILINE)
    spans = [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]
    return [span for span in spans if not span.startswith("--")]


def command_lines() -> list[str]:
    """Command lines on lines of their own and within a sentence."""
    return re.findall(r"^    (mmsearch query .*)$", DOC, re.MULTILINE) + re.findall(r"`(mmsearch query .*?)`", DOC)


def messages() -> list[tuple[str, str]]:
    return re.findall(r"^```\n\$ (mmsearch query .*)\nmmsearch: ((?:.*\n)*?)```", DOC, re.MULTILINE)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


def asked(line: str) -> tuple[list[str], list[tuple[str, str]]]:
    """What a command line gives ``parse``: words, and options that mirror fields."""
    group = typer.main.get_command(app)
    command = group.commands["query"]  # type: ignore[attr-defined]
    given = command.make_context("query", shlex.split(line)[2:], resilient_parsing=False).params
    options = [
        (f"--{name.rstrip('_')}", value)
        for name, values in given.items()
        if name.rstrip("_") in (*FIELDS, "where", "not")
        for value in values or []
    ]
    return given["query"] or [], options


def test_every_field_and_option_is_in_it() -> None:
    group = typer.main.get_command(app)
    options = {name for param in group.commands["query"].params for name in param.opts}  # type: ignore[attr-defined]
    mirrored = [f"--{name}" for name in (*FIELDS, "where", "not", "arithmetic") if f"--{name}" in options]
    assert len(mirrored) == 34
    assert [name for name in mirrored if f"`{name}" not in DOC] == []
    assert [name for name in FIELDS if not any(re.match(rf"-?{name}:", query) for query in in_tables())] == ["sort"]
    assert [name for name in FORMATS.values() if not re.search(rf"\b{name}\b", DOC)] == []


@pytest.mark.parametrize("query", in_tables())
def test_queries_in_tables_are_understood_and_mean_what_is_said_of_them(query: str) -> None:
    understood = parse([query])
    assert understood.terms or understood.conditions
    named = re.match(r"-?([a-z]+):", query)
    if named and named[1] in FIELDS and named[1] not in ("words", "like"):
        assert understood.conditions  # read as a field, not as words


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_are_understood(line: str) -> None:
    words, options = asked(line)
    query = parse(words, options)
    assert query.terms or query.conditions


@pytest.mark.parametrize(("line", "message"), messages())
def test_messages_are_those_that_are_said(line: str, message: str) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse(*asked(line))
    assert f"{caught.value}\n" == message


def test_there_is_something_to_test() -> None:
    assert len(in_tables()) > 60
    assert len(command_lines()) > 10
    assert len(messages()) == 4


def test_python_runs(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    (code,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "query-language.md", "exec"), {})
    first, *others = printed.getvalue().splitlines()
    assert first == "[]"  # none was taken that summer
    names = [Path(line).name for line in others]
    assert names == ["cat.png", "grass.png", "cameraman.png", "cat.png", "motorcycle.png"]
