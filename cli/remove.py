"""``mmsearch remove``: forget pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import working
from mmsearch.errors import SourceError
from mmsearch.media.remote_path import is_remote

if TYPE_CHECKING:
    from mmsearch.store.types import Losses


def command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Folders or pictures to forget.")],
    library: LibraryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Forget folders or pictures. The files themselves are left alone.

    Read text, captions and your own tags are forgotten too. On a terminal it asks before; in a script it does not.
    """
    with opened(library) as found:
        with working("Counting"):
            before, lost = found.store.roots(), found.losses(paths)
        if lost.photos and not yes and not json and formatting.attended():
            question = f"forget {formatting.plural(lost.photos, 'picture')}{_with(lost)}? No file is deleted"
            if not typer.confirm(question, err=True):
                formatting.say("nothing was forgotten")
                return
        with working("Forgetting"):
            removed = found.remove(paths)
        roots = found.store.roots()
    if not removed and roots == before:
        named = ", ".join(formatting.shown(path) for path in paths)
        raise SourceError(f"the library knows no picture at {named}; `mmsearch status` shows the known folders")
    if json:
        formatting.json_line(schemas.removed(removed, lost))
    else:
        formatting.say(f"forgot {formatting.plural(removed, 'picture')}{_with(lost)}{_again(lost)}")
    for root in roots:
        if any(_is_below(path, root) for path in paths):
            formatting.say(f"{formatting.shown(root)} is still known: its next `mmsearch index` finds them again")


def _is_below(path: str, root: str) -> bool:
    if is_remote(path):
        return f"{path.rstrip('/')}/".startswith(f"{root.rstrip('/')}/")
    return Path(path).absolute().is_relative_to(root)


def _with(lost: Losses) -> str:
    """What is lost beside the pictures."""
    parts = ("the text read in", lost.texts), ("the captions of", lost.captions), ("your own tags of", lost.tagged)
    named = " and ".join(f"{what} {count:,}" for what, count in parts if count)
    return named and f" with {named}"


def _again(lost: Losses) -> str:
    """How it is had again."""
    options = " ".join(option for option, count in (("--ocr", lost.texts), ("--captions", lost.captions)) if count)
    return options and f"; to have that again: mmsearch index {options}"
