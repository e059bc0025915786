"""``mmsearch backup`` and ``mmsearch restore``: a library as one file, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    library: LibraryOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: JsonOption = False,
) -> None:
    """Copy the library to one file, while others may search and index.

    It holds all that the library knows, but not the index, which is made anew from it, and not the pictures themselves.
    """
    with opened(library) as found:
        try:
            with progress_bar("Backing up") as progress:
                found.backup(file, force=force, progress=progress)
        except KeyboardInterrupt:
            formatting.say("interrupted: nothing was written")
            raise typer.Exit(130) from None
    size = Path(os.path.expanduser(file)).stat().st_size
    if json:
        formatting.json_line(schemas.backup(str(file), size))
    else:
        formatting.say(f"{formatting.shown(str(file))} holds the library, {formatting.size(size)}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `mmsearch backup` wrote.")],
    library: LibraryOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a library that has pictures; it is kept beside.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Put a backup in the place of the library, all at once; searches that are going on see the old or the new one.

    The next query makes the index anew. FILE stays as it is.
    """
    from mmsearch import config, restore
    from mmsearch.library.library_file import located

    place, _ = located(library, config.load())
    if config.is_address(place):
        raise typer.BadParameter("a backup is put into a folder, not into PostgreSQL", param_hint="--library")
    folder = Path(place)
    file = Path(os.path.expanduser(file))
    try:
        with progress_bar("Restoring") as progress:
            kept = restore(file, folder, force, progress)
    except KeyboardInterrupt:
        formatting.say("interrupted: the library holds the old state or the new one; run the same command again")
        raise typer.Exit(130) from None
    with opened(library) as found:
        photos = found.store.counts().photos
    if json:
        formatting.json_line(schemas.restored(str(folder), photos, kept))
    else:
        formatting.say(f"{formatting.plural(photos, 'photo')} can be found in {formatting.shown(str(folder))}")
        if kept is not None:
            formatting.say(f"what was there before is kept: {formatting.shown(str(kept))}")
