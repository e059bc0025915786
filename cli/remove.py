"""``mmsearch remove``: forget pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.errors import SourceError


def command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Folders or pictures to forget.")],
    library: LibraryOption = None,
    json: JsonOption = False,
) -> None:
    """Forget folders or pictures. The files themselves are left alone."""
    with opened(library) as found:
        before = found.store.roots()
        removed = found.remove(paths)
        roots = found.store.roots()
    if not removed and roots == before:
        named = ", ".join(formatting.shown(path) for path in paths)
        raise SourceError(f"the library knows no picture at {named}; `mmsearch status` shows the known folders")
    if json:
        formatting.json_line(schemas.removed(removed))
    else:
        formatting.say(f"forgot {formatting.plural(removed, 'picture')}")
    for root in roots:
        if any(Path(path).absolute().is_relative_to(root) for path in paths):
            formatting.say(f"{formatting.shown(root)} is still known: its next `mmsearch index` finds them again")
