"""``mmsearch duplicates``: files that show the same picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar

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
        bool,
        typer.Option("--bursts", help="Shots of one scene within 10 seconds by the camera's clock in one folder too."),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="T", min=-1, max=1, help="Least similarity, 0 to 1. Default: as measured."),
    ] = None,
    move_to: Annotated[
        str | None, typer.Option("--move-to", metavar="DIR", help="Show what would be moved into this folder.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Move it.")] = False,
    undo: Annotated[
        str | None, typer.Option("--undo", metavar="DIR", help="Put all back that was moved into this folder.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List files that show the same picture: the one to keep first, then the others.

    Kept is the one with most pixels; of equals the one with most of words, tags, date and place, then the largest, then
    the oldest. Nothing is ever deleted. --move-to DIR shows where the others would be moved, and with --yes moves them,
    each with the files that belong to it: sidecars, the clip of a live photo, the raw file. DIR/moved.tsv says where
    they were, and --undo DIR puts them back.
    """
    from mmsearch.cli.pager import paged
    from mmsearch.cli.welcome import nothing_yet

    if undo is not None:
        if paths or move_to is not None or yes or bursts or not near or threshold is not None:
            raise typer.BadParameter("--undo DIR goes with --json alone")
        _put_back(undo, json)
        return
    if bursts and not near:
        raise typer.BadParameter("--exact-only and --bursts exclude each other")
    if threshold is not None and not near:
        raise typer.BadParameter("--exact-only compares bytes; --threshold means nothing there")
    if yes and move_to is None:
        raise typer.BadParameter("--yes goes with --move-to DIR; nothing is ever deleted")
    level: Level = "burst" if bursts else "near" if near else "exact"
    moves: list[Moved | Skipped] | None = None
    with opened(library) as found:
        empty = nothing_yet(found)
        with progress_bar("Comparing") as progress:
            groups = found.duplicates(level, within=paths or [], threshold=threshold, progress=progress)
        if move_to is not None and groups:
            try:
                with progress_bar("Moving") as progress:
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
        with paged():
            _listing(groups)
    if empty is not None:
        formatting.say(empty)
    else:
        _summary(groups, moves, move_to, dry=not yes)
    if yes and moves is not None and _failures(moves):
        raise typer.Exit(1)


def _listing(groups: list[Group]) -> None:
    """Lines of a group under each other: the kept file, then the others by their levels."""
    for number, group in enumerate(groups):
        if number:
            print()
        for photo, what in ((group.keep, "keep"), *zip(group.others, group.levels, strict=True)):
            facts = formatting.shape(photo), formatting.size(photo.size), f"{photo.date:%Y-%m-%d %H:%M}"
            print(f"{what:6} {facts[0]:>11} {facts[1]:>9}  {facts[2]}  {formatting.shown(photo.path)}")


def _put_back(folder: str, json: bool) -> None:
    from mmsearch.manage.move_back import undo
    from mmsearch.types import Skipped

    place = os.path.realpath(os.path.expanduser(folder))
    with progress_bar("Moving") as progress:
        done = undo(place, progress)
    failed = [one for one in done if isinstance(one, Skipped)]
    if json:
        formatting.json_line(schemas.moves(done, moved=True))
    else:
        _moves(done)
    for one in failed:
        formatting.say(f"not moved: {formatting.shown(one.path)}: {one.reason}")
    formatting.say(f"put {formatting.plural(len(done) - len(failed), 'file')} back; to find them again: mmsearch index")
    if failed:
        raise typer.Exit(1)


def _moves(moves: list[Moved | Skipped]) -> None:
    from mmsearch.manage.move_aside import Moved

    for one in moves:
        if isinstance(one, Moved):
            for each in (one, *one.companions):
                print(f"{formatting.shown(each.source)} -> {formatting.shown(each.target)}")


def _summary(groups: list[Group], moves: list[Moved | Skipped] | None, folder: str | None, dry: bool) -> None:
    """The last lines, on stderr."""
    from mmsearch.types import Skipped

    if not groups:
        formatting.say("no duplicates found")
        return
    others = sum(len(group.others) for group in groups)
    space = sum(group.bytes for group in groups)
    counts = f"{formatting.plural(others, 'file')} in {formatting.plural(len(groups), 'group')}"
    if moves is None or folder is None:
        formatting.say(f"{counts} could go: {formatting.size(space)}; to move them aside: --move-to DIR")
        return
    failed = _failures(moves)
    for one in failed:
        formatting.say(f"not moved: {formatting.shown(one.path)}: {one.reason}")
    moved = [one for one in moves if not isinstance(one, Skipped)]
    done, along = len(moved), sum(len(one.companions) for one in moved)
    what = formatting.plural(done, "file") + (f" and {along:,} that belong to them" if along else "")
    if dry:
        staying = {one.path for one in failed}
        going = formatting.size(sum(one.size for group in groups for one in group.others if one.path not in staying))
        would = f"{what} of {formatting.plural(len(groups), 'group')} would be"
        formatting.say(f"nothing was moved: {would}, {going}; to do it, add --yes")
    elif done:
        formatting.say(f"moved {what}; where they were is in {_log(folder)}")


def _log(folder: str) -> str:
    from mmsearch.manage.move_log import LOG

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
