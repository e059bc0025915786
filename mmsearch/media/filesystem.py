"""Files and folders that appear complete or not at all, and what kind of file system a folder lies on."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "fuse.rclone", "glusterfs", "ceph"}


@contextlib.contextmanager
def atomic_file(file: Path) -> Iterator[Path]:
    """A temporary name beside ``file``, to write to; what was written takes the place of ``file`` at the end.

    It is on the disk when this returns, with the permissions of the file that it replaced.  After an exception it is
    removed, and ``file`` is what it was.  A link is replaced, not followed.  Raises OSError.
    """
    draft = _draft(file)
    try:
        yield draft
        with contextlib.suppress(OSError):  # there is none, or the file system knows no permissions
            draft.chmod(stat.S_IMODE(file.stat().st_mode))
        fsync(draft)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not every file system can do this for a folder
        fsync(file.parent)


def atomic_write(file: Path, content: bytes) -> None:
    """``content`` into ``file``, all of it or nothing, as ``atomic_file`` does it.  Raises OSError."""
    with atomic_file(file) as draft:
        draft.write_bytes(content)


@contextlib.contextmanager
def draft_folder(folder: Path, prefix: str = ".") -> Iterator[Path]:
    """A new folder beside ``folder``, whose name begins with ``prefix``; removed at the end where it was not renamed.

    Raises OSError.
    """
    draft = _draft(folder, prefix)
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write files to; it gets the name ``folder`` at the end, where there is none or an empty one.

    Its files are on the disk when this returns; after an exception it is removed.  Raises OSError.
    """
    with draft_folder(folder) as draft:
        yield draft
        fsync_files(draft)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        draft.rename(folder)


def fsync_files(folder: Path) -> None:
    """Waits until all files directly in ``folder`` are on the disk.  Raises OSError."""
    for file in folder.iterdir():
        fsync(file)


def fsync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk.  Raises OSError."""
    folder = path.is_dir()
    if folder and os.name == "nt":  # which has no such thing
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def on_network(folder: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether other machines may change the folder: its file system is one of the network's (known on Linux only)."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    found = [line.split()[1:3] for line in lines]
    real = folder.resolve()
    holding = [(len(point), kind) for point, kind in found if real.is_relative_to(point.replace("\\040", " "))]
    return bool(holding) and max(holding)[1] in _NETWORK


def _draft(path: Path, prefix: str = ".") -> Path:
    """A name beside ``path`` that nothing has: short, as that of ``path`` may be as long as names can be."""
    return path.with_name(f"{prefix}{os.urandom(6).hex()}.partial")
