"""``mmsearch remove``: forget pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsearch.cli import present
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.errors import SourceError


def command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", readable=False, help="Folders or pictures to forget.")
    ],
    library: LibraryOption = None,
    json: JsonOption = False,
) -> None:
    """Forget folders or pictures. The files themselves are left alone."""
    with opened(library) as found:
        removed = found.remove(paths)
    if json:
        present.json_line({"removed": removed})
    elif not removed:
        named = ", ".join(present.shown(str(path)) for path in paths)
        raise SourceError(f"the library knows no picture at {named}; `mmsearch status` shows the known folders")
    else:
        present.say(f"forgot {present.plural(removed, 'picture')}")
