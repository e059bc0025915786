"""A terminal, played: a program runs in it, asks, gets the answers of a kind of terminal, and what it wrote is kept."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path

KITTY = b"\x1b_Gi=4207,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"  # what a program asks
ATTRIBUTES = b"\x1b[c"
OURS = ("COLUMNS", "LINES", "TMUX", "TERM_PROGRAM", "LC_TERMINAL")  # of the terminal that the tests run in

# A program is in the foreground of a terminal only where that is its own.
_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


def play(
    command: Sequence[str],
    answers: Mapping[bytes, bytes],
    *,
    size: tuple[int, int, int, int] = (50, 100, 1000, 1000),
    standard_input: bool = True,
    folder: Path | None = None,
    **environment: str,
) -> tuple[bytes, float]:
    """Returns what a program wrote and how long it ran, in seconds.

    ``answers`` is question -> answer, given once when the question is seen; ``size`` is rows, columns, and pixels
    across and down.  Without ``standard_input`` the program's is empty and no terminal.
    """
    own, its = pty.openpty()
    try:
        ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
        kept = {key: value for key, value in os.environ.items() if key not in OURS}
        start = time.monotonic()
        program = subprocess.Popen(
            [sys.executable, "-S", "-c", _TAKE, *command],
            stdin=its if standard_input else subprocess.DEVNULL,
            stdout=its,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
            start_new_session=True,
        )
        os.close(its)
        its = -1
        written = b""
        left = dict(answers)
        while time.monotonic() - start < 60:
            if not select.select([own], [], [], 1.0)[0]:
                continue
            try:
                some = os.read(own, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not some:
                break
            written += some
            for question in [question for question in left if question in written]:
                os.write(own, left.pop(question))
        code = program.wait(timeout=10)
        assert code == 0, (code, written)
        return written, time.monotonic() - start
    finally:
        os.close(own)
        if its >= 0:
            os.close(its)
