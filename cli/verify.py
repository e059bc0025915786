"""``mmsearch verify`` and ``mmsearch repair``: whether a library is in order, and what can be done where it is not."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.advice import remedy
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.store.types import Damage

DeepOption = Annotated[
    bool, typer.Option("--deep", help="Compare every vector of the index, and read every picture file.")
]


def verify(library: LibraryOption = None, deep: DeepOption = False, json: JsonOption = False) -> None:
    """Look whether the library is in order: database, index, and what is between them.

    Exit code 1 when something is wrong. Nothing is changed.
    """
    with opened(library) as found:
        photos = found.store.counts().photos
        with progress_bar("Reading") as progress:
            damages = found.verify(deep, progress)
    with suppress(BrokenPipeError):  # the exit code says it too
        if json:
            formatting.json_line(schemas.verified(photos, damages))
        else:
            for line in _lines(damages):
                print(line)
            if not damages:
                print(f"all is well: {formatting.plural(photos, 'photo')}")
    if damages:
        if any(one.mendable for one in damages):
            formatting.say(f"mend it with: mmsearch repair{' --deep' if deep else ''}")
        raise typer.Exit(1)


def repair(library: LibraryOption = None, deep: DeepOption = False, json: JsonOption = False) -> None:
    """Mend what `mmsearch verify` finds. No picture file is touched.

    What can be made again is made again; pictures that have to be read for that are read by the next `mmsearch index`.
    Exit code 1 when something is left.
    """
    with opened(library) as found, progress_bar("Reading") as progress:
        done = found.repair(deep, progress)
    with suppress(BrokenPipeError):
        if json:
            formatting.json_line(schemas.repaired(done))
        else:
            for line in (*_lines(done.mended, "mended: "), *_lines(done.left, "left: ")):
                print(line)
            if not (done.mended or done.left):
                print("nothing is wrong")
    if done.left:
        raise typer.Exit(1)


def _lines(damages: Iterable[Damage], before: str = "") -> list[str]:
    lines = []
    for one in damages:
        lines.append(f"{before}{one.count:,} {one.what}; {remedy(one.kind, one.remedy, one.mendable)}")
        lines += [f"    {formatting.shown(example)}" for example in one.examples[: schemas.EXAMPLES]]
    return lines
