"""Find the files below a folder that may be pictures."""

# Paths are str here: pathlib objects for each of a million files would take longer than the walk.

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from mmsearch.media.exclusions import Exclusions
from mmsearch.media.filesystem import status_of
from mmsearch.media.formats import HEIF_SUFFIXES, counted_suffixes, needs_extra, picture_suffixes
from mmsearch.media.remote_path import is_remote
from mmsearch.types import Found, Skipped

# Folders that systems and tools make for themselves: thumbnails, waste bins, snapshots, code.  In lower case.
JUNK = frozenset(
    {
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@__thumb",
        "@eadir",
        "@recycle",
        "@tmp",
        "__macosx",
        "__pycache__",
        "lost+found",
        "node_modules",
        "recycler",
        "system volume information",
    }
)


def walk(
    root: str, exclude: Sequence[str] | Exclusions = (), passed_over: set[str] | None = None
) -> Iterator[Found | Skipped]:
    """The pictures at and below ``root``, an absolute path of a folder or of a single file.

    Files come before folders, each sorted by name; hidden ones (".name"), ``JUNK`` and names without a picture's suffix
    are passed over.  ``root`` itself is taken whatever it is called.  Symbolic links are followed: linked folders come
    after all real ones, and each folder is read once, so loops end and a photo keeps its real path.

    ``exclude`` is what is left out, as ``Exclusions`` takes it.  An excluded folder is not entered.  The paths of files
    that are no pictures for this machine and that somebody may look for, such as videos, are added to ``passed_over``.

    What cannot be read is yielded as ``Skipped`` and the walk goes on.  Where that is a folder or a broken link, nobody
    knows which files are below it.  An address is that of one file here: buckets are listed by ``remote_walk.py``.
    """
    if is_remote(root):
        yield _remote(root)
        return
    try:
        status = os.stat(root)
    except OSError as error:
        yield Skipped(root, "broken link" if os.path.islink(root) else _reason(error))
        return
    if stat.S_ISREG(status.st_mode):
        yield Found(root, status.st_size, _time(status))
    elif stat.S_ISDIR(status.st_mode):
        excluded = exclude if isinstance(exclude, Exclusions) else Exclusions(exclude, root)
        yield from _walk_folder(root, excluded, set() if passed_over is None else passed_over)
    else:
        yield Skipped(root, "neither a file nor a folder")


def _remote(address: str) -> Found | Skipped:
    try:
        return Found(address, *status_of(address))
    except OSError as error:
        return Skipped(address, error.strerror or str(error))


def _walk_folder(root: str, excluded: Exclusions, passed_over: set[str]) -> Iterator[Found | Skipped]:
    suffixes, counted = picture_suffixes(), counted_suffixes()
    unreadable = HEIF_SUFFIXES - suffixes
    visited: set[object] = set()
    # A stack of path, path relative to root with "/" at its end, and the real path where it came by a link.
    folders: list[tuple[str, str, str | None]] = [(root, "", None)]
    linked: list[tuple[str, str, str | None]] = []
    while folders or linked:
        folder, prefix, lies = folders.pop() if folders else linked.pop(0)
        deeper: list[tuple[str, str, str | None]] = []
        try:
            identity = _identity(folder)
            if identity in visited:
                continue
            visited.add(identity)
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Skipped(folder, _reason(error))
            continue
        for entry in entries:
            name, relative = entry.name, prefix + entry.name
            real = None if lies is None else os.path.join(lies, name)
            if name.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()
                if excluded.match(relative, is_folder):
                    continue
                if is_folder:
                    if name.lower() in JUNK or excluded.match_contents(relative):
                        continue
                    if entry.is_symlink():
                        linked.append((entry.path, relative + "/", os.path.realpath(entry.path)))
                    else:
                        deeper.append((entry.path, relative + "/", real))
                elif entry.is_file():
                    suffix = os.path.splitext(name)[1].lower()
                    if suffix in suffixes:
                        status = entry.stat()
                        real = os.path.realpath(entry.path) if entry.is_symlink() else real
                        yield Found(entry.path, status.st_size, _time(status), real)
                    elif suffix in unreadable:
                        yield Skipped(entry.path, needs_extra("heif"))
                    elif suffix in counted:
                        passed_over.add(entry.path)
                elif entry.is_symlink() and not os.path.exists(entry.path):
                    yield Skipped(entry.path, "broken link")
                elif os.path.splitext(name)[1].lower() in suffixes | unreadable:  # a pipe, a device
                    yield Skipped(entry.path, "neither a file nor a folder")
            except OSError as error:
                if excluded.match(relative):
                    continue
                broken = entry.is_symlink() and not isinstance(error, PermissionError)  # a link to itself raises ELOOP
                yield Skipped(entry.path, "broken link" if broken else _reason(error))
        folders.extend(reversed(deeper))


def _time(status: os.stat_result) -> int:
    """Its modification time in ns, within 64 bits: nothing keeps a file from claiming the year 2300."""
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


def _identity(folder: str) -> object:
    """The same value for every path that leads to the same folder."""
    status = os.stat(folder)
    # Some network drives have no inode numbers and give 0 for all.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    return f"cannot be read: {error.strerror or error}"
