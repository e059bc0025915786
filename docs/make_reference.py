"""Writes ``docs/reference.md`` and ``man/mmsearch.1`` from what ``--help`` says.  Run: make reference"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer.main

from mmsearch.cli.app import app
from mmsearch.cli.command_help import ABOUT, BEGINNING, help_record

FILE = Path(__file__).with_name("reference.md")
MANUAL = Path(__file__).parent.parent / "man" / "mmsearch.1"
_BEGINNING = """\
# Commands

What `mmsearch COMMAND --help` says, for all commands. Made by `make reference`: change the texts in `cli/`.
Results go to stdout, all else to stderr. Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage,
130 interrupted.
"""


def reference() -> str:
    """The page: a section for each command, in the order of ``mmsearch --help``."""
    group: Any = typer.main.get_command(app)
    above = group.make_context("mmsearch", [], resilient_parsing=True)
    commands = [(name, group.get_command(above, name)) for name in group.list_commands(above)]
    rows = [(name, name.replace(" ", "-"), command.get_short_help_str(200)) for name, command in commands]
    links = "\n".join(f"- [`{name}`](#{anchor}): {said}" for name, anchor, said in rows)
    return "\n".join([_BEGINNING, links, *(_section(name, command, above) for name, command in commands)])


def _section(name: str, command: Any, above: Any) -> str:
    context = command.make_context(name, [], parent=above, resilient_parsing=True)
    usage = " ".join(["mmsearch", name, *command.collect_usage_pieces(context)])
    records = [help_record(param, context) for param in command.get_params(context)]
    lines = [f"- `{names}`: {text}" if text else f"- `{names}`" for names, text in filter(None, records)]
    examples = "\n".join(f"    {line}" for line in ABOUT[name][2])
    return "\n".join([f"\n## {name}\n", f"`{usage}`\n", inspect.cleandoc(command.help or ""), "", examples, "", *lines])


_ENVIRONMENT = (
    (
        "MMSEARCH_LIBRARY",
        "The library to use, where --library names none. Other settings too: MMSEARCH_MODEL and so on.",
    ),
    ("MMSEARCH_OFFLINE", "1 forbids to ask the model hub."),
    ("MMSEARCH_TOKEN", "The token of mmsearch serve and mmsearch mcp --http."),
    ("NO_COLOR", "No colours, whatever its value."),
    ("PAGER, MMSEARCH_PAGER", "What shows long output on a terminal. Default: less; cat or nothing turns it off."),
)
_FILES = (
    ("~/.local/share/mmsearch/library", "Your own library."),
    ("~/.config/mmsearch/config.toml", "Settings; mmsearch status shows where it is."),
    ("~/.cache/mmsearch", "Exported models; may be deleted."),
)


def manual() -> str:
    """The man page, in roff."""
    group: Any = typer.main.get_command(app)
    above = group.make_context("mmsearch", [], resilient_parsing=True)
    lines = [
        '.TH MMSEARCH 1 "" "mmsearch" "User Commands"',
        ".SH NAME",
        f"mmsearch \\- {_roff(group.help.rstrip('.').lower())}",
        ".SH SYNOPSIS",
        ".B mmsearch",
        r"[\fICOMMAND\fR [\fIOPTIONS\fR] \fIARGUMENTS\fR]",
        ".SH DESCRIPTION",
        _roff("Finds pictures in folders of yours, by words, by a picture, or by both, on your machine. Pictures are "
        "read once by mmsearch index and stay where they are. Results go to standard output, "
        "all else to standard error."),
        *_typed(BEGINNING),
        ".SH COMMANDS",
    ]  # fmt: skip
    for name in group.list_commands(above):
        lines += _command(name, group.get_command(above, name), above)
    for title, rows in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        lines += [f".SH {title}", *(line for row in rows for line in _row(*row))]
    codes = "0 done; 1 failed, with the reason on standard error; 2 wrong usage; 130 interrupted."
    return "\n".join([*lines, ".SH EXIT STATUS", _roff(codes), ".SH SEE ALSO", ".BR less (1)", ""])


def _command(name: str, command: Any, above: Any) -> list[str]:
    context = command.make_context(name, [], parent=above, resilient_parsing=True)
    usage = " ".join(["mmsearch", name, *command.collect_usage_pieces(context)])
    lines = [f".SS {_roff(usage)}"]
    for number, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
        lines += [*([".PP"] if number else []), _roff(" ".join(paragraph.split()))]
    lines += _typed(ABOUT[name][2])
    for param in command.get_params(context):
        record = help_record(param, context)
        if record is not None and param.name != "help":
            lines += _row(*record)
    return lines


def _row(name: str, said: str) -> list[str]:
    return [".TP", f".B {_roff(name)}", _roff(said) or r"\&"]


def _typed(examples: tuple[str, ...]) -> list[str]:
    """Lines to type, as they are."""
    return [".PP", ".RS 4", ".nf", *map(_roff, examples), ".fi", ".RE"]


def _roff(text: str) -> str:
    """A text that roff shows as it is: hyphens stay hyphens, and no line is a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    FILE.write_text(reference() + "\n", "utf-8")
    MANUAL.parent.mkdir(exist_ok=True)
    MANUAL.write_text(manual(), "utf-8")
