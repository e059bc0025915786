"""``mmsearch caption``: what photos show, in words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.looking import looker
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.rerank.captions import Caption


def command(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO", help="Picture files.")],
    library: LibraryOption = None,
    alternatives: Annotated[
        int, typer.Option("--alternatives", min=0, max=9, metavar="N", help="Add the N next best captions.")
    ] = 0,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Describe photos, a sentence each.

    A line is the path, a tab and the caption; alternatives follow after further tabs. Photos that cannot be read are
    named on stderr, and the exit code is 1. A photo of the library is described even where its file is gone.
    """
    from mmsearch.errors import ImageError
    from mmsearch.types import Progress

    failed = False
    rows: list[tuple[str, list[Caption]]] = []
    with looker(library, device) as found, progress_bar("Captioning") as progress:
        for done, path in enumerate(photos):
            progress(Progress(done, len(photos), path))
            try:
                captions = found.caption(path, alternatives)
            except ImageError as error:
                formatting.say(f"{formatting.shown(path)}: {error.reason}")
                failed = True
                continue
            if json:
                formatting.json_line(schemas.caption(path, captions))
            elif sys.stdout.isatty():
                rows.append((path, captions))
            else:
                formatting.path_line(path, [caption.text for caption in captions])
    if rows:
        formatting.caption_table(rows)
    if failed:
        raise typer.Exit(1)
