"""Files that become something else, as they may while nobody looks, and a guard for what would wait for ever."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

KINDS = ("pipe", "endless device")


def become(file: Path, kind: str) -> None:
    """A pipe that nobody writes to, or a link to a device without an end, in the place of what is there."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    file.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")


@contextlib.contextmanager
def at_once(seconds: int = 60) -> Iterator[None]:
    """Ends what waits for ever with an AssertionError."""

    def ends(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it waited for ever")

    before = signal.signal(signal.SIGALRM, ends)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
