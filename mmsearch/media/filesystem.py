"""Files and folders: read if they are regular files, written complete or not at all; what file system they lie on."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mmsearch.media.remote_path import is_remote

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

BLOCK = 2**20  # bytes read at a time
LONGEST = 2**28  # bytes of a file that is read whole as text: a thousand times what any of ours has
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "fuse.rclone", "glusterfs", "ceph"}


class _AsLong(io.FileIO):
    """A file that ends, for its reader, one byte after the end that it had when it was opened.

    Who reads more than was there learns so that it has grown, and nobody reads for ever.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        super().__init__(descriptor, "rb")
        self._end = size + 1

    def readinto(self, buffer: Buffer) -> int | None:
        view = memoryview(buffer).cast("B")
        return super().readinto(view[: max(0, self._end - self.tell())])

    def readall(self) -> bytes:
        parts = []
        while part := self.read(max(0, self._end - self.tell())):
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A file to read, as ``open(path, "rb")``, of which nobody knows what has become since it was seen last.

    A pipe, a device or a folder in its place raises OSError at once, where ``open`` would wait for ever or read without
    end; and no more is read than the size that it has now, and one byte.  ``path`` may be an address of an object store
    or the web (``remote_path.py``): what is opened then has no file descriptor.
    """
    if is_remote(path):
        from mmsearch.media.object_store import open_remote

        return open_remote(os.fspath(path))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _irregular(path) from error
        raise
    try:
        status = os.fstat(descriptor)
        _check_regular(path, status)
    except OSError:
        os.close(descriptor)
        raise
    return io.BufferedReader(_AsLong(descriptor, status.st_size))


def opened_status(file: BinaryIO) -> tuple[int, int]:
    """Size in bytes and modification time in ns of a file that ``open_regular`` has opened.  Raises OSError."""
    seen = getattr(getattr(file, "raw", file), "seen", None)  # of an object store
    if seen is not None:
        return seen.size, seen.mtime_ns
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def status_of(path: str) -> tuple[int, int]:
    """Size in bytes and modification time in ns of a file, with links followed.  Raises OSError."""
    if is_remote(path):
        from mmsearch.media.object_store import status

        seen = status(path)
        return seen.size, seen.mtime_ns
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def read_regular(path: str | os.PathLike[str], most: int = LONGEST) -> bytes:
    """All of a file that ``open_regular`` opens.  Raises OSError, also for one of more than ``most`` bytes."""
    with open_regular(path) as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"more than {most:,} bytes", os.fspath(path))
    return content


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """The text of a file that ``open_regular`` opens; each line ends in ``\\n``.  Raises OSError, ValueError."""
    return read_regular(path).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def check_regular(path: str | os.PathLike[str]) -> None:
    """For a file that a library opens by its name.  Raises OSError for what ``open_regular`` would refuse."""
    _check_regular(path, os.stat(path))


def read_array(path: str | os.PathLike[str], mapped: bool = False) -> NDArray[Any]:
    """The array of a file in NumPy's format that ``open_regular`` opens, of any shape and number type.

    With ``mapped`` it is mapped, not read.  Raises OSError; ValueError for what is no such file, or is cut off.
    """
    import numpy as np
    from numpy.lib import format as npy

    with open_regular(path) as opened:
        try:
            version = npy.read_magic(opened)
            heads = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            if version not in heads:
                raise ValueError(f"an array in version {version} of the format")
            shape, by_columns, dtype = heads[version](opened)
        except Exception as error:  # its head is a piece of Python, and can be wrong in many ways
            if isinstance(error, OSError):
                raise
            raise ValueError(f"no array in NumPy's format: {' '.join(str(error).split())[:200]}") from error
        begin, size = opened.tell(), math.prod(shape) * dtype.itemsize
        if dtype.hasobject or min(shape, default=0) < 0:
            raise ValueError("an array of things that are no numbers")
        if begin + size > os.fstat(opened.fileno()).st_size:
            raise ValueError(f"the array ends early: its head says {dtype} of shape {shape}")
        if mapped and size:
            return np.memmap(opened, dtype, "r", begin, shape, "F" if by_columns else "C")
        found = np.frombuffer(bytearray(opened.read(size)), dtype)
        return found.reshape(shape, order="F" if by_columns else "C")


def _check_regular(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise _irregular(path)


def _irregular(path: str | os.PathLike[str]) -> OSError:
    return OSError(errno.EINVAL, "it is no regular file (any more), but a pipe, a device or the like", os.fspath(path))


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

    Its files are on the disk when this returns; after an exception it is removed.  Where nothing can be made beside
    ``folder``, such as beside a drive, they are made in a folder inside it, and moved up one by one in the order of
    their names.  Raises OSError.
    """
    if folder.is_dir() and (folder.is_mount() or not os.access(folder.parent, os.W_OK | os.X_OK)):
        with draft_folder(folder / "files") as draft:
            yield draft
            fsync_files(draft)
            for file in sorted(draft.iterdir()):
                file.rename(folder / file.name)
            fsync(folder)
        return
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
        with open_regular(source) as read, open(draft, "xb") as written:
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
    with open_regular(left) as one, open_regular(right) as other:
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
