"""``moved.tsv``: where files were that were moved to a folder, a line a file, written before it is moved.

A line has where the file was, a tab, where it is in the folder, and for what belongs to a photo a tab and where that
was.  Earlier versions wrote whole paths in the second place, and nothing in the third.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmsearch.media.filesystem import atomic_write, read_regular

LOG = "moved.tsv"


@dataclass(frozen=True)
class Entry:
    """A line: a file that was moved, or was going to be."""

    source: str
    target: str
    line: bytes


@dataclass(frozen=True)
class Entries:
    """What a log says: files that were moved together, the photo first, and lines that say nothing."""

    sets: list[list[Entry]]
    unreadable: list[tuple[int, bytes]]  # number of the line, from 1, and the line


class MoveLog:
    """The log of a folder, to be added to.  A context manager."""

    def __init__(self, folder: str) -> None:
        """Raises OSError where it cannot be written, and where something else has its name: a link, a pipe."""
        self._folder = folder
        path = os.path.join(folder, LOG)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
            flags |= getattr(os, name, 0)
        try:
            self._file = os.open(path, flags, 0o666)
        except OSError as error:
            raise _no_file(path) if error.errno in (errno.ELOOP, errno.ENXIO) else error from error
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            os.close(self._file)
            raise _no_file(path)

    def __enter__(self) -> MoveLog:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def add(self, sources: Sequence[str], targets: Sequence[str]) -> int:
        """Write down a photo and what goes with it, to the disk; returns what ``take_back`` wants.  Raises OSError."""
        start = os.lseek(self._file, 0, os.SEEK_END)
        lines = b""
        if start and os.pread(self._file, 1, start - 1) != b"\n":
            lines = b"\n"  # a run was stopped within a line
        for source, target in zip(sources, targets, strict=True):
            told = [source, os.path.relpath(target, self._folder), *([sources[0]] if source != sources[0] else [])]
            lines += b"\t".join(map(_escaped, told)) + b"\n"
        try:
            if os.write(self._file, lines) < len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError:
            self.take_back(start)
            raise
        return start

    def take_back(self, start: int) -> None:
        """Nothing of what was added there was moved."""
        with suppress(OSError):
            os.ftruncate(self._file, start)


def read(folder: str) -> Entries:
    """What the log of a folder says.  Raises OSError where there is none, or a link in its place."""
    path = os.path.join(folder, LOG)
    if os.path.islink(path):
        raise _no_file(path)
    sets: dict[str, list[Entry]] = {}
    found = Entries([], [])
    for number, line in enumerate(read_regular(path).split(b"\n"), 1):
        parts = [_unescaped(part) for part in line.split(b"\t")]
        target = _in_folder(parts[1], folder) if 2 <= len(parts) <= 3 else None
        if target is None or "\0" in parts[0] or not os.path.isabs(parts[0]):
            if line:
                found.unreadable.append((number, line))
            continue
        entry, photo = Entry(parts[0], target, line), parts[2] if len(parts) == 3 else parts[0]
        if len(parts) == 3 and photo in sets:
            sets[photo].append(entry)
        else:
            sets[photo] = [entry]
            found.sets.append(sets[photo])
    return found


def write(folder: str, lines: Sequence[bytes]) -> None:
    """Leave these lines in the log of a folder; without any it goes.  Raises OSError."""
    path = os.path.join(folder, LOG)
    if lines:
        atomic_write(Path(path), b"".join(line + b"\n" for line in lines))
    else:
        os.unlink(path)


def _in_folder(there: str, folder: str) -> str | None:
    """The path of a file that the log names: the folder itself may have been moved; None where it leads out of it."""
    if os.path.isabs(there):
        there = os.path.basename(there)
    inside = bool(there) and os.pardir not in Path(there).parts and "\0" not in there
    return os.path.join(folder, there) if inside else None


def _no_file(path: str) -> OSError:
    return OSError(errno.EINVAL, "no regular file", path)


def _unescaped(raw: bytes) -> str:
    known = {b"\\\\": b"\\", b"\\t": b"\t", b"\\n": b"\n", b"\\r": b"\r"}
    return os.fsdecode(re.sub(rb"\\[\\tnr]", lambda found: known[found[0]], raw))


def _escaped(path: str) -> bytes:
    """A path on one line, byte for byte; tab, newline and backslash as ``\\t``, ``\\n`` and ``\\\\``."""
    raw = os.fsencode(path).replace(b"\\", b"\\\\")
    return raw.replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
