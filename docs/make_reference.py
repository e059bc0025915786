"""Writes ``docs/reference.md`` from what the commands say of themselves with ``--help``.  Run: make reference"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer.main

from mmsearch.cli.app import app
from mmsearch.cli.command_help import help_record

FILE = Path(__file__).with_name("reference.md")
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
    links = "\n".join(f"- [`{name}`](#{name}): {command.get_short_help_str(200)}" for name, command in commands)
    return "\n".join([_BEGINNING, links, *(_section(name, command, above) for name, command in commands)])


def _section(name: str, command: Any, above: Any) -> str:
    context = command.make_context(name, [], parent=above, resilient_parsing=True)
    usage = " ".join(["mmsearch", name, *command.collect_usage_pieces(context)])
    records = [help_record(param, context) for param in command.get_params(context)]
    lines = [f"- `{names}`: {text}" if text else f"- `{names}`" for names, text in filter(None, records)]
    return "\n".join([f"\n## {name}\n", f"`{usage}`\n", inspect.cleandoc(command.help or ""), "", *lines])


if __name__ == "__main__":
    FILE.write_text(reference() + "\n", "utf-8")
