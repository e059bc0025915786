"""What the terminal can draw: pictures by one of three protocols, or coloured half blocks."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import Literal

Way = Literal["kitty", "iterm2", "sixel", "blocks"]
WAYS: tuple[Way, ...] = ("kitty", "iterm2", "sixel", "blocks")

# Terminals answer in milliseconds, through a slow line in some tenths of a second.  One that knows no questions costs
# this much, once.
PATIENCE = 1.0  # seconds

# "Could you draw this pixel?" (only Kitty and its kind answer), "How large are your characters?", and "What are you?",
# which all terminals answer.
_KITTY = b"\x1b_Gi=4207,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_CHARACTER = b"\x1b[16t"
_ATTRIBUTES = b"\x1b[c"
_ATTRIBUTES_ANSWER = re.compile(rb"\x1b\[\?([\d;]*)c")


@dataclass(frozen=True)
class Terminal:
    """How pictures look best on a terminal, and how large its characters are."""

    way: Way
    width: int = 10  # pixels of a character; these are a VT340's, where the terminal does not tell its own
    height: int = 20


def find_out(way: Way | None = None) -> Terminal:
    """What standard output is; ``way`` is taken as it is.

    Asks the terminal where its name does not say, for a second at most.  Where standard input or output is no terminal
    nobody is asked.
    """
    name = os.environ.get("TERM", "dumb")
    program = os.environ.get("TERM_PROGRAM", "")
    inside = "TMUX" in os.environ or name.startswith(("tmux", "screen"))  # what surrounds it does not count then
    size = _character()
    # These two print the question for Kitty instead of passing over it; neither draws pictures.
    if way is None and (program == "Apple_Terminal" or name in ("dumb", "linux")):
        way = "blocks"
    elif way is None and not inside and (program == "iTerm.app" or os.environ.get("LC_TERMINAL") == "iTerm2"):
        way = "iterm2"
    if way is None or (way == "sixel" and size is None):
        # tmux takes the question for Kitty as a new title of the window.
        answer = _asked((b"" if inside else _KITTY) + _CHARACTER + _ATTRIBUTES)
        attributes = _ATTRIBUTES_ANSWER.search(answer)
        if way is None and re.search(rb"\x1b_Gi=4207[^\x1b]*;OK\x1b\\", answer):
            way = "kitty"
        elif way is None:
            way = "sixel" if attributes and b"4" in attributes[1].split(b";") else "blocks"
        if size is None and (told := re.search(rb"\x1b\[6;(\d+);(\d+)t", answer)):
            size = int(told[2]), int(told[1])
    return Terminal(way, *(size if size and all(size) else ()))


def _character() -> tuple[int, int] | None:
    """Width and height of a character in pixels, where the system knows it."""
    try:
        import fcntl
        import struct
        import termios

        answer = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (ImportError, OSError, ValueError):  # Windows; no terminal; a closed stream
        return None
    rows, columns, width, height = struct.unpack("HHHH", answer)
    return (width // columns, height // rows) if rows and columns and width >= columns and height >= rows else None


def _asked(questions: bytes) -> bytes:
    """What the terminal answers, empty where there is none to ask; waits no longer than ``PATIENCE``."""
    try:
        import select
        import termios
        import tty
    except ImportError:  # Windows
        return b""
    try:
        file = sys.stdin.fileno()
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return b""
        if os.tcgetpgrp(file) != os.getpgrp():
            return b""  # in the background a change of the terminal's mode would stop this process
        before = termios.tcgetattr(file)
    except (OSError, ValueError, AttributeError, termios.error):  # closed, or none at all
        return b""
    answer = b""
    try:
        tty.setcbreak(file, termios.TCSANOW)  # no echo, no waiting for a line
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), questions)
        end = time.monotonic() + PATIENCE
        while not _ATTRIBUTES_ANSWER.search(answer) and (left := end - time.monotonic()) > 0:
            if select.select([file], [], [], left)[0]:
                some = os.read(file, 1024)
                if not some:
                    break
                answer += some
    except (OSError, termios.error):  # it went away
        pass
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(file, termios.TCSAFLUSH, before)  # what comes late is thrown away
    return answer
