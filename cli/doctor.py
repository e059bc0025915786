"""``mmsearch doctor``: whether all works on this machine, how fast, and what would help."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, settings_with
from mmsearch.cli.progress_bar import working


def command(
    library: LibraryOption = None,
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Measure how fast pictures are decoded and encoded.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Look whether all works on this machine: versions, engines, GPU, hub, extras, the library, and how fast.

    Each line may have advice below it, with what to type. Exit code 1 where something is broken; advice alone is no
    failure. Only the hub's front page is asked for.
    """
    settings = settings_with()
    with working("Looking"):
        from mmsearch.cli.checkup import looked

        findings = looked(library, settings, speed)
    broken = [one for one in findings if one.state == "broken"]
    if json:
        for one in findings:
            formatting.json_line(schemas.finding(one))
    else:
        for one in findings:
            mark = {"ok": "  ", "advice": "! ", "broken": "x "}[one.state]
            print(f"{mark}{one.name:9} {one.said}")
            if one.advice:
                print(f"{'':12}{one.advice}")
        advice = sum(1 for one in findings if one.state == "advice")
        formatting.say(_summary(len(broken), advice))
    if broken:
        raise typer.Exit(1)


def _summary(broken: int, advice: int) -> str:
    if broken:
        return f"{formatting.plural(broken, 'thing')} broken, marked x"
    return f"all works; {formatting.plural(advice, 'line')} with advice, marked !" if advice else "all is well"
