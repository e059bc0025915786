"""``mmsearch duplicates``: files that show the same picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened

if TYPE_CHECKING:
    from mmsearch.manage.duplicates import Group, Level
    from mmsearch.manage.move_aside import Moved
    from mmsearch.types import Skipped


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Only in these folders. Default: the whole library.")
    ] = None,
    library: LibraryOption = None,
    near: Annotated[
        bool, typer.Option("--near/--exact-only", help="Edited and scaled copies too, or only files with equal bytes.")
    ] = True,
    bursts: Annotated[
        bool, typer.Option("--bursts", help="Shots of one scene within 10 seconds in one folder too.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="T", min=-1, max=1, help="Least similarity, 0 to 1. Default: as measured."),
    ] = None,
    move_to: Annotated[
        str | None, typer.Option("--move-to", metavar="DIR", help="Show what would be moved into this folder.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Move it.")] = False,
    json: JsonOption = False,
) -> None:
    """List files that show the same picture: the one to keep first, then the others.

    Kept is the one with most pixels, of equals the largest, then the oldest. Nothing is ever deleted. --move-to DIR
    shows where the others would be moved, and with --yes moves them; DIR/moved.tsv then says where they were.
    """
    if bursts and not near:
        raise typer.BadParameter("--exact-only and --bursts exclude each other")
    if threshold is not None and not near:
        raise typer.BadParameter("--exact-only compares bytes; --threshold means nothing there")
    if yes and move_to is None:
        raise typer.BadParameter("--yes goes with --move-to DIR; nothing is ever deleted")
    level: Level = "burst" if bursts else "near" if near else "exact"
    moves: list[Moved | Skipped] | None = None
    with opened(library) as found:
        with formatting.progress_bar("Comparing") as progress:
            groups = found.duplicates(level, within=paths or [], threshold=threshold, progress=progress)
        if move_to is not None and groups:
            try:
                with formatting.progress_bar("Moving") as progress:
                    moves = found.set_aside(groups, move_to, dry=not yes, progress=progress)
            except KeyboardInterrupt:
                formatting.say(f"interrupted: what was moved by then is in {_log(move_to)}")
                raise typer.Exit(130) from None
    if json:
        for line in _objects(groups, moves, dry=not yes):
            formatting.json_line(line)
    elif moves is not None:
        _moves(moves)
    else:
        _listing(groups)
    _summary(groups, moves, move_to, dry=not yes)
    if moves is not None and _failures(moves):
        raise typer.Exit(1)


def _listing(groups: list[Group]) -> None:
    """Lines of a group under each other: the kept file, then the others by their levels."""
    for number, group in enumerate(groups):
        if number:
            print()
        for photo, what in ((group.keep, "keep"), *zip(group.others, group.levels, strict=True)):
            facts = f"{photo.width}×{photo.height}", formatting.size(photo.size), f"{photo.date:%Y-%m-%d %H:%M}"
            print(f"{what:6} {facts[0]:>11} {facts[1]:>9}  {facts[2]}  {formatting.shown(photo.path)}")


def _moves(moves: list[Moved | Skipped]) -> None:
    from mmsearch.manage.move_aside import Moved

    for one in moves:
        if isinstance(one, Moved):
            print(f"{formatting.shown(one.source)} -> {formatting.shown(one.target)}")


def _summary(groups: list[Group], moves: list[Moved | Skipped] | None, folder: str | None, dry: bool) -> None:
    """The last lines, on stderr."""
    if not groups:
        formatting.say("no duplicates found")
        return
    others = sum(len(group.others) for group in groups)
    space = sum(group.bytes for group in groups)
    counts = f"{formatting.plural(others, 'file')} in {formatting.plural(len(groups), 'group')}"
    if moves is None or folder is None:
        formatting.say(f"{counts} could go: {formatting.size(space)}; to move them aside: --move-to DIR")
    elif dry:
        formatting.say(f"nothing was moved: {counts} would be, {formatting.size(space)}; to do it, add --yes")
    else:
        failed = _failures(moves)
        for one in failed:
            formatting.say(f"not moved: {formatting.shown(one.path)}: {one.reason}")
        done = len(moves) - len(failed)
        if done:
            formatting.say(f"moved {formatting.plural(done, 'file')}; where they were is in {_log(folder)}")


def _log(folder: str) -> str:
    from mmsearch.manage.move_aside import LOG

    return formatting.shown(os.path.join(folder, LOG), relative=False)


def _failures(moves: list[Moved | Skipped]) -> list[Skipped]:
    from mmsearch.types import Skipped

    return [one for one in moves if isinstance(one, Skipped)]


def _objects(groups: list[Group], moves: list[Moved | Skipped] | None, dry: bool) -> list[dict[str, Any]]:
    """An object a group; with moves, where each of the others went, or would go, or why it did not."""
    waiting = iter(moves or ())
    lines = []
    for group in groups:
        line = schemas.duplicates(group)
        if moves is not None:
            line |= schemas.moves([next(waiting) for _ in group.others], moved=not dry)
        lines.append(line)
    return lines
