"""Files and folders that appear complete or not at all, and what kind of file system a folder lies on."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

BLOCK = 2**20  # bytes read at a time
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


def relocate(source: str, target: str) -> None:
    """Move a file to a name that is free, on another file system too; its times and permissions stay.

    It is there, whole and on the disk, before it goes from its old place.  A file that was replaced or written to
    meanwhile stays.  Raises FileExistsError where the name is taken, OSError; then it is where it was and nowhere else.
    """
    before = os.lstat(source)
    if not stat.S_ISREG(before.st_mode):
        raise OSError(f"{source} is no regular file")
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without links
        _copy(source, target)
    try:
        now = os.lstat(source)
        if any(getattr(before, name) != getattr(now, name) for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns")):
            raise OSError(f"{source} was changed while it was moved")
        os.unlink(source)
    except OSError:
        os.unlink(target)
        raise


def _copy(source: str, target: str) -> None:
    """A copy that was compared; it gets its name when it is whole.  Raises FileExistsError where that is taken."""
    draft = _draft(Path(target))
    try:
        with open(source, "rb") as read, open(draft, "xb") as written:
            shutil.copyfileobj(read, written, BLOCK)
            written.flush()
            os.fsync(written.fileno())
        shutil.copystat(source, draft)
        if not equal(source, draft):
            raise OSError("the copy differs from the file")
        try:
            os.link(draft, target)  # takes the place of none
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(target):
                raise FileExistsError(target) from None
            os.rename(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def equal(left: str | Path, right: str | Path) -> bool:
    """Whether two files have the same bytes.  Raises OSError."""
    with open(left, "rb") as one, open(right, "rb") as other:
        while True:
            block = one.read(BLOCK)
            if block != other.read(BLOCK):
                return False
            if not block:
                return True


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
