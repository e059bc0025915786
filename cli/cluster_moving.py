"""``mmsearch cluster import`` and ``mmsearch cluster export``: a library moves from a folder to a server, and back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.advice import worded
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.cluster.moving import MoveReport
    from mmsearch.library.library import Library

VerifyOption = Annotated[
    int,
    typer.Option("--verify-queries", metavar="N", min=0, help="Queries that both are asked at the end; 0 for none."),
]


def import_command(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The folder of a library.")],
    library: LibraryOption = None,
    verify_queries: VerifyOption = 200,
    json: JsonOption = False,
) -> None:
    """Copy the library in the folder SOURCE into PostgreSQL, with all that it knows. Nothing is encoded.

    --library is empty, or holds an unfinished copy of SOURCE: after Ctrl-C or a crash the same command goes on. Ids
    stay, and at the end both are asked the same queries: exit code 1 where the answers differ. SOURCE stays as it is;
    others may use it meanwhile.
    """
    _check_places(source, "SOURCE", library)
    with opened(source) as own, opened(library, must_exist=False) as other:
        _move(own, other, verify_queries, json)


def export_command(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A new folder, for the library.")],
    library: LibraryOption = None,
    verify_queries: VerifyOption = 200,
    json: JsonOption = False,
) -> None:
    """Copy a library in PostgreSQL into a new folder, as `mmsearch cluster import` does the other way.

    FOLDER is new or empty, or holds an unfinished copy of the library: the same command goes on.
    """
    _check_places(folder, "FOLDER", library)
    with opened(library) as own, opened(folder, must_exist=False) as other:
        _move(own, other, verify_queries, json)


def _check_places(folder: str, name: str, library: str | None) -> None:
    """Raises BadParameter unless the one is a folder, and the other, or that of the settings, is on a server."""
    from mmsearch import config
    from mmsearch.library.library_file import located

    settings = config.load()
    if config.is_address(located(folder, settings)[0]):
        raise typer.BadParameter("must be a folder, not the address of a server", param_hint=name)
    if not config.is_address(located(library, settings)[0]):
        raise typer.BadParameter("must be the address of a library in PostgreSQL", param_hint="--library")


def _move(source: Library, target: Library, queries: int, json: bool) -> None:
    from mmsearch.cluster.moving import move

    try:
        with progress_bar("Copying") as progress:
            report = move(source, target, queries=queries, progress=progress)
    except KeyboardInterrupt:
        formatting.say("interrupted: what was copied stays, and the same command goes on from there")
        raise typer.Exit(130) from None
    for note in report.notes:
        formatting.say(worded(note))
    with suppress(BrokenPipeError):  # the exit code says it too
        if json:
            formatting.json_line(schemas.moved_house(report))
        else:
            for line in _lines(report):
                print(line)
    if report.verified.differences:
        raise typer.Exit(1)


def _lines(report: MoveReport) -> list[str]:
    seen = report.verified
    lines = [
        f"{formatting.printable(report.target)} holds {formatting.plural(report.rows, 'row')}, "
        f"{report.copied:,} of them copied now: {formatting.plural(report.photos, 'photo')} can be found"
    ]
    for one in seen.differences:
        lines.append(formatting.printable(one.what if one.query is None else f"{one.query!r}: {one.what}"))
    if seen.differences:
        lines.append(f"the copy is not the same: {formatting.plural(len(seen.differences), 'difference')}")
    elif seen.way == "counts":
        lines.append("all tables have as many rows")
    elif seen.way == "rows":
        lines.append(f"{formatting.plural(seen.compared, 'row')} compared: all are the same")
    else:
        lines.append(f"{seen.compared:,} queries asked of both: the same answers")
    return lines
