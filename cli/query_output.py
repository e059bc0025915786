"""What ``mmsearch query`` does with what it found: printed, shown, written as a sheet, opened, copied."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.progress_bar import working
from mmsearch.cli.terminal import WAYS
from mmsearch.media.remote_path import is_remote, is_single, link

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmsearch.library.library import Library
    from mmsearch.types import Hit


# Players of films that can be told where to begin.
_PLAYERS = (("mpv", ("--start={}",)), ("vlc", ("--start-time={}",)))


class Shown(NamedTuple):
    """How pictures of hits are come by."""

    max_megapixels: float  # larger ones are not opened
    rough: Mapping[str, Image]  # by path, for files that are away


@dataclass(frozen=True)
class Results:
    """The options of ``query`` that say what is done with the hits."""

    json: bool = False
    paths: bool = False
    print0: bool = False  # paths, each ended by a NUL
    show: bool = False
    show_as: str | None = None  # implies ``show``
    html: Path | None = None
    open: bool = False  # the sheet, else the best hit
    copy_to: Path | None = None
    numbered: bool = False  # copies
    moments: bool = False  # a line for each in the table

    def check(self) -> Path | None:
        """Before any work is done; returns where the sheet goes.

        Raises BadParameter for options that make no sense together, SourceError for files that cannot be written.
        """
        from mmsearch.errors import SourceError

        if self.show_as not in (None, *WAYS):
            raise typer.BadParameter(
                f"must be {', '.join(WAYS[:-1])} or {WAYS[-1]}, not {self.show_as!r}", param_hint="--show-as"
            )
        given = {
            "--json": self.json,
            "--paths": self.paths and not self.print0,
            "--print0": self.print0,
            "--show": self.show or self.show_as is not None,
        }
        chosen = [name for name, wanted in given.items() if wanted]
        if len(chosen) > 1:
            raise typer.BadParameter(f"{' and '.join(chosen)} exclude each other")
        if self.moments and chosen:
            raise typer.BadParameter(f"--moments and {chosen[0]} exclude each other: --moments is of the table")
        if self.numbered and self.copy_to is None:
            raise typer.BadParameter("--numbered needs --copy-to")
        if self.copy_to is not None and os.path.exists(os.path.expanduser(self.copy_to)):
            folder = os.path.expanduser(self.copy_to)
            if not os.path.isdir(folder):
                raise SourceError(f"--copy-to: {formatting.shown(str(self.copy_to))} is no folder")
        if self.html is None:
            return None
        from mmsearch.cli.sheet import check

        return check(self.html)

    def rough(self, library: Library, hits: Sequence[Hit]) -> dict[str, Image]:
        """Where pictures are to be seen, what stands for those whose files are away, by path; see ``rough_picture``."""
        if self.html is None and not self.show and self.show_as is None:
            return {}
        found = {}
        for hit in hits:
            if not is_remote(hit.path) and not os.path.lexists(hit.path):
                picture = library.rough_picture(hit.photo, part=hit.moments[0].part if hit.moments else 0)
                if picture is not None:
                    found[hit.path] = picture
        return found

    def give(self, hits: Sequence[Hit], title: str, shown: Shown, nothing: str, sheet: Path | None) -> None:
        """Do what the options say; ``nothing`` is said on stderr where there are no hits.

        Raises Exit with code 1 where a file could not be copied or opened.
        """
        if self.json:
            for hit in hits:
                formatting.json_line(schemas.hit(hit))
        elif self.paths or self.print0:
            formatting.hit_paths(hits, b"\0" if self.print0 else b"\n")
        elif not hits:
            formatting.say(nothing)
        else:
            self._print(hits, title, shown)
        sys.stdout.flush()  # before what follows speaks on stderr, or fails
        done = True
        if sheet is not None and self.html is not None:
            from mmsearch.cli.sheet import write

            with working("Writing the contact sheet"):
                write(sheet, hits, title, shown.max_megapixels, shown.rough)
            formatting.say(f"wrote {formatting.shown(str(self.html))}")
        if self.copy_to is not None and hits:
            from mmsearch.cli.copying import copy

            with working("Copying"):
                done = copy([hit.path for hit in hits], self.copy_to, self.numbered)
        if self.open and (sheet is not None or hits):
            done = (_opened(str(sheet)) if sheet is not None else _opened_there(hits[0])) and done
        if not done:
            raise typer.Exit(1)

    def _print(self, hits: Sequence[Hit], title: str, shown: Shown) -> None:
        from mmsearch.cli.pager import paged

        if self.show or self.show_as is not None:
            from mmsearch.cli.show import show

            way = next((way for way in WAYS if way == self.show_as), None)
            if show(hits, title, shown.max_megapixels, way, shown.rough):
                return
            formatting.say("the output shows no pictures; --show-as blocks draws them anyway")
        with paged():
            formatting.hit_table(hits, title, self.moments)


def _opened_there(hit: Hit) -> bool:
    """Open a hit, a film at its best moment where there is a player that can be told; says so where that fails."""
    start_ms = hit.moments[0].start_ms if hit.moments else None
    if start_ms is not None and os.path.exists(hit.path) and not os.environ.get("BROWSER"):
        import shutil
        import subprocess

        seconds = f"{start_ms / 1000:.3f}"
        for player, options in _PLAYERS:
            program = shutil.which(player)
            if program is None:
                continue
            arguments = [program, *(option.format(seconds) for option in options), "--", hit.path]
            with suppress(OSError):  # the next one may be better
                playing = subprocess.Popen(
                    arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )  # fmt: skip
                playing.returncode = 0  # it goes on when this process ends: nobody waits for it
                return True
    return _opened(hit.path)


def _opened(path: str) -> bool:
    """Open a file in the viewer of the desktop, or in what BROWSER names; says so where that fails."""
    if is_remote(path) and not is_single(path):
        formatting.say(f"{formatting.shown(path)} cannot be opened by a viewer; --copy-to FOLDER fetches it")
        return False
    if not is_remote(path) and not os.path.exists(path):
        formatting.say(f"{formatting.shown(path)} cannot be opened: the file is gone")
        return False
    if os.environ.get("BROWSER"):
        import webbrowser

        opened = webbrowser.open(link(path))
    else:
        opened = typer.launch(path) == 0
    if not opened:
        formatting.say(f"{formatting.shown(path)} cannot be opened: there is no viewer; set BROWSER to the name of one")
    return opened
