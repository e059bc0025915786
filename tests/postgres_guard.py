"""Stops a server of PostgreSQL and deletes its folder when the process that started this one ends, however it ends.

Started as a program of its own, with the folder; that process holds the other end of its standard input.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def stop(folder: Path) -> None:
    """Ends the server at once, if it runs."""
    file = folder / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        process = int(file.read_text().split("\n", 1)[0])
        os.kill(process, signal.SIGQUIT)  # an immediate shutdown: nothing of it is wanted any more
        for _ in range(200):
            if not file.exists():  # the last thing that it does
                break
            os.kill(process, 0)  # ProcessLookupError when it is gone
            time.sleep(0.05)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C goes to all processes of a terminal: the end of input counts
    sys.stdin.read()
    stop(Path(sys.argv[1]))
    shutil.rmtree(sys.argv[1], ignore_errors=True)
