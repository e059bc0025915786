"""Whether a file is what it was when it was indexed, and which file it is."""

from __future__ import annotations

import os
import stat

from mmsearch.media.filesystem import status_of
from mmsearch.media.remote_path import is_remote
from mmsearch.types import Found, Photo

CHANGED = "changed since it was indexed"
GONE = "not there now"
REMOTE = "it is no file of this machine, and only such are moved"


def trouble(file: Found | Photo) -> str | None:
    """Why a file is not what it was when it was indexed; None where it is."""
    try:
        if is_remote(file.path):
            same = status_of(file.path) == (file.size, file.mtime_ns)
        else:
            status = os.lstat(file.path)
            same = stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError as error:
        return error.strerror or str(error)
    return None if same else CHANGED


def identity(path: str) -> object:
    """The same value for every path that leads to the same file.  Raises OSError."""
    if is_remote(path):
        return path
    status = os.lstat(path)
    # Some network drives have no inode numbers and give 0 for all.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
