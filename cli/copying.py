"""``query --copy-to``: found files into a folder, beside what is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from mmsearch.cli import formatting
from mmsearch.media.filesystem import BLOCK, equal, open_regular, status_of
from mmsearch.media.remote_path import file_name, is_remote


def copy(paths: Sequence[str], folder: Path, numbered: bool = False) -> bool:
    """Copy files into ``folder``, made if absent, and say on stderr what was done; returns whether all are there now.

    Nothing is overwritten: a name that is taken gets a number, ``name-2.jpg``, unless the file that has it is the same
    byte for byte.  ``numbered`` puts the rank before the name.  Times are kept.  Raises OSError where the folder cannot
    be made or written.
    """
    target = Path(os.path.expanduser(folder))
    target.mkdir(parents=True, exist_ok=True)
    copied = there = 0
    complete = True
    digits = len(str(len(paths)))
    for rank, path in enumerate(paths, 1):
        name = f"{rank:0{digits}}-{file_name(path)}" if numbered else file_name(path)
        try:
            new = _copy(path, target, name)
        except OSError as error:
            if not os.access(target, os.W_OK | os.X_OK):
                raise
            formatting.say(f"{formatting.shown(path)}: {error.strerror or error}")
            complete = False
            continue
        copied, there = copied + new, there + (not new)
    known = f", {there:,} were there already" if there else ""
    formatting.say(f"copied {formatting.plural(copied, 'picture')} to {formatting.shown(str(folder))}{known}")
    return complete


def _copy(path: str, folder: Path, name: str) -> bool:
    """Returns False where the same file is there already."""
    stem, suffix = os.path.splitext(name)
    _, written = status_of(path)  # a file that is gone takes no name
    draft = folder / f".{os.getpid()}.mmsearch"
    for number in count(1):
        target = folder / (name if number == 1 else f"{stem}-{number}{suffix}")
        try:
            with target.open("xb"):  # takes the name, or fails where another has it
                pass
        except FileExistsError:
            if target.is_file() and equal(path, target):
                return False
            continue
        try:
            with open_regular(path) as read, draft.open("wb") as copied:
                shutil.copyfileobj(read, copied, BLOCK)
            if is_remote(path):
                os.utime(draft, ns=(written, written))
            else:
                shutil.copystat(path, draft)
            draft.replace(target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            draft.unlink(missing_ok=True)
        return True
    raise AssertionError("count() ends")
