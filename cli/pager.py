"""Long output on a terminal goes through a pager, as git's does; a short one, a pipe and a file get it as it is."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from mmsearch.cli import streams

LESS = "FRX"  # ends where all fits on one screen; colours as they are; what was read stays on the screen


class _Kept(io.StringIO):
    """Takes what a terminal would have got."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@contextmanager
def paged() -> Iterator[None]:
    """What is printed within is shown by the pager where standard output is a terminal that it does not fit into.

    The pager is $MMSEARCH_PAGER, else $PAGER, else less where it is installed; one that is empty, or ``cat``, is none.
    """
    pager = pager_command() if sys.stdout.isatty() and sys.stdin.isatty() else None
    if pager is None:
        yield
        return
    own, kept = sys.stdout, _Kept()
    sys.stdout = cast("io.TextIOWrapper", streams.Guarded(kept))
    try:
        yield
    finally:
        sys.stdout = own
        _show(kept.getvalue(), pager)


def pager_command() -> str | None:
    """The pager to use; None where none is wanted or there is none."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return None
    for name in ("MMSEARCH_PAGER", "PAGER"):
        wanted = os.environ.get(name)
        if wanted is not None:
            return None if wanted.strip() in ("", "cat") else wanted
    return shutil.which("less")


def _show(text: str, pager: str) -> None:
    import subprocess

    below = streams.unguarded(sys.stdout)
    if text.count("\n") < shutil.get_terminal_size().lines:
        below.write(text)
        return
    below.flush()
    environment = {"LESS": LESS, "LV": "-c", **os.environ}  # who has set these wants them so
    try:
        done = subprocess.run(
            pager, shell=True, input=text.encode("utf-8", "surrogateescape"), env=environment, check=False
        )
    except KeyboardInterrupt:  # it takes Ctrl-C itself
        return
    if done.returncode in (126, 127):  # the shell found no such program
        below.write(text)
