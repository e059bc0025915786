"""What to do next: for ``mmsearch`` without a command, and where a command finds no pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.cli import formatting

if TYPE_CHECKING:
    from mmsearch.config import Settings
    from mmsearch.library.library import Library

_ASK = (
    ('mmsearch query "a dog on a beach"', "find pictures by words, or by a picture: mmsearch query ./cat.jpg"),
    ("mmsearch serve --open", "look at them in the browser"),
)


def welcome() -> None:
    """Say on standard output what can be done next with the person's own library."""
    from mmsearch import config
    from mmsearch.cli.options import opened

    settings = config.load()
    print("mmsearch finds your own pictures by what is in them.\n")
    begins = True
    if _there(settings):
        with opened(None) as found:
            said, place = nothing_yet(found), found.store.place
            photos, roots = found.store.counts().photos, found.store.roots()
        begins = said is not None and not roots
        if said is None:
            library = formatting.shown(place, relative=False)
            where = f" of {formatting.plural(len(roots), 'folder')}" if roots else ""
            print(f"{formatting.plural(photos, 'photo')}{where} can be found. The library is in {library}.\n")
            _lines((*_ASK, ("mmsearch index", "read what is new or changed"), ("mmsearch tag", "give them tags")))
        elif not begins:
            print(f"{said[0].upper()}{said[1:]}")
    if begins:
        print("No pictures are indexed yet. Begin with a folder of yours, then ask:\n")
        _lines(((f"mmsearch index {_pictures()}", "read them, once; it changes none of your files"), *_ASK))
    print("\nmmsearch --help lists all commands.")


def _there(settings: Settings) -> bool:
    """Whether the person's own library is there."""
    from mmsearch.config import is_address
    from mmsearch.library.library_file import located
    from mmsearch.store.open import has_store, server_state

    place, _ = located(None, settings)
    return server_state(place).made if is_address(place) else has_store(Path(place))


def nothing_yet(library: Library) -> str | None:
    """Why no picture of an open library can be found, and what to type; None where there are some."""
    counts = library.store.counts()
    if counts.photos:
        return None
    roots = library.store.roots()
    if counts.missing:
        return (
            f"none of the {formatting.plural(counts.missing, 'picture')} of this library is where it was; when the "
            "drive or folder is there again: mmsearch index"
        )
    if counts.failed:
        files = formatting.plural(counts.failed, "file")
        return f"{files} could not be read, and there is nothing else; the reasons: mmsearch status --failed"
    if not roots:
        return f"nothing is indexed yet: mmsearch index {_pictures()}"
    shown = formatting.shown(roots[0]) if len(roots) == 1 else formatting.plural(len(roots), "folder")
    return f"there are no pictures in {shown} yet; name another folder: mmsearch index FOLDER"


def _pictures() -> str:
    """The folder where people have their pictures, as they would type it."""
    import platformdirs

    folder = Path(platformdirs.user_pictures_dir())
    if not folder.is_dir():
        return "FOLDER"
    name = str(folder)
    short = f"~/{folder.relative_to(Path.home()).as_posix()}" if folder.is_relative_to(Path.home()) else name
    return short if " " not in short else f'"{name}"'


def _lines(rows: tuple[tuple[str, str], ...]) -> None:
    """Commands and what they do, beside each other where the terminal is wide enough."""
    width = max(len(command) for command, _ in rows)
    beside = shutil.get_terminal_size().columns >= 100
    for command, said in rows:
        print(f"    {command:{width}}  {said}" if beside else f"    {command}\n        {said}")
