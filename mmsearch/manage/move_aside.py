"""Files of groups of duplicates moved aside, each after a look at it and at the one that is kept.

Nothing is overwritten, nothing is deleted that has not arrived, and ``moved.tsv`` in the folder says where each file
was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import ImageError, SourceError
from mmsearch.manage.duplicates import Group, Level, trouble
from mmsearch.media.pixel_match import sketch
from mmsearch.types import Photo, Progress, Skipped

LOG = "moved.tsv"  # a line a file: where it was, a tab, where it is
BLOCK = 2**20  # bytes compared at a time


@dataclass(frozen=True)
class Moved:
    """A file that was moved, or would be."""

    source: str
    target: str


def check(groups: Sequence[Group], folder: str, roots: Sequence[str]) -> None:
    """Whether files can be moved to ``folder``, a path with links followed: not into one of ``roots``, nor onto a file.

    Raises SourceError where they cannot.
    """
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise SourceError(f"{folder} is not a folder; name one to move the files to")
    for root in roots:
        if not os.path.isfile(root) and Path(folder).is_relative_to(root):
            raise SourceError(
                f"{folder} lies in the folder {root}, which is indexed: what is moved there would be found again; "
                "name a folder outside of it"
            )
    inside = [photo.path for group in groups for photo in group.others if _folder(photo.path) == folder]
    if inside:
        raise SourceError(f"{inside[0]} is in {folder} already; name another folder")


def planned(groups: Sequence[Group], folder: str) -> list[Moved]:
    """Where ``move`` would move the files to, as things are now: one ``Moved`` a file.  Nothing is changed."""
    taken: set[str] = set()
    moves = []
    for photo in (photo for group in groups for photo in group.others):
        target = next(way for way in _targets(photo.path, folder) if way not in taken and not os.path.lexists(way))
        taken.add(target)
        moves.append(Moved(photo.path, target))
    return moves


def move(groups: Sequence[Group], folder: str, max_megapixels: float = 200.0) -> Iterator[Moved | Skipped]:
    """Move all but the kept file of each group into ``folder``, which is made; yields what became of each.

    A file stays where it is, and is ``Skipped``, when it or the kept one is gone or has changed since it was indexed,
    when they are the same file, when it should be equal byte by byte and is not, when the kept one cannot be read, and
    when it cannot be moved.  Raises SourceError where the folder cannot be written.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        log = open(os.path.join(folder, LOG), "ab", buffering=0)  # noqa: SIM115 - closed below
    except OSError as error:
        raise SourceError(f"nothing can be moved to {folder}: {error.strerror or error}") from error
    with log:
        for group in groups:
            kept_trouble = _kept_trouble(group, max_megapixels)
            for photo, level in zip(group.others, group.levels, strict=True):
                reason = kept_trouble or trouble(photo) or _difference(group.keep, photo, level)
                if reason is not None:
                    yield Skipped(photo.path, reason)
                    continue
                try:
                    yield Moved(photo.path, _move(photo.path, folder, log.fileno()))
                except OSError as error:
                    yield Skipped(photo.path, f"cannot be moved: {error.strerror or error}")


def move_all(
    groups: Sequence[Group],
    folder: str,
    forget: Callable[[list[str]], object],
    max_megapixels: float,
    progress: Callable[[Progress], None] | None = None,
) -> list[Moved | Skipped]:
    """``move`` to its end; ``forget`` gets the old paths of the files that were moved, after Ctrl-C too."""
    total = sum(len(group.others) for group in groups)
    done: list[Moved | Skipped] = []
    try:
        for one in move(groups, folder, max_megapixels):
            done.append(one)
            if progress is not None:
                path = one.source if isinstance(one, Moved) else one.path
                progress(Progress(len(done), total, path))
    finally:
        forget([one.source for one in done if isinstance(one, Moved)])
    return done


def _kept_trouble(group: Group, max_megapixels: float) -> str | None:
    """Why nothing of the group may be moved; None where the kept file is as it was and can be read."""
    reason = trouble(group.keep)
    if reason is None and group.level != "exact":
        try:
            with open(group.keep.path, "rb") as file:
                sketch(file, group.keep.path, max_megapixels)
        except ImageError as error:
            reason = error.reason
        except OSError as error:
            reason = error.strerror or str(error)
    return None if reason is None else f"the one to keep, {group.keep.path}: {reason}"


def _difference(keep: Photo, photo: Photo, level: Level) -> str | None:
    try:
        if os.path.samefile(keep.path, photo.path):
            return f"is the same file as {keep.path}"
        if level == "exact" and not _equal(keep.path, photo.path):
            return f"differs from {keep.path}, although the library says that they are equal"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _equal(left: str, right: str) -> bool:
    """Whether two files have the same bytes."""
    with open(left, "rb") as one, open(right, "rb") as other:
        while True:
            block = one.read(BLOCK)
            if block != other.read(BLOCK):
                return False
            if not block:
                return True


def _move(source: str, folder: str, log: int) -> str:
    """The file's new path: first it is there too, then that is written down, then it goes from its old place.

    Raises OSError, and then it is where it was and nowhere else.
    """
    target = _placed(source, folder)
    start = os.lseek(log, 0, os.SEEK_END)
    try:
        os.write(log, b"\t".join(_escaped(path) for path in (source, target)) + b"\n")
        os.fsync(log)
        os.unlink(source)
    except OSError:
        with suppress(OSError):
            os.unlink(target)
        with suppress(OSError):
            os.ftruncate(log, start)
        raise
    return target


def _placed(source: str, folder: str) -> str:
    """The first free name in the folder, now another name of the file or, on another file system, of a copy."""
    for target in _targets(source, folder):
        try:
            os.link(source, target)
        except FileExistsError:
            continue
        except OSError:  # another file system, or one without links
            try:
                _copy(source, target)
            except FileExistsError:
                continue
        return target
    raise AssertionError("names never end")


def _copy(source: str, target: str) -> None:
    """Raises FileExistsError where the target is there; OSError, and then the target is not there."""
    with open(source, "rb") as read, open(target, "xb") as written:
        try:
            shutil.copyfileobj(read, written, BLOCK)
            written.flush()
            os.fsync(written.fileno())
            shutil.copystat(source, target)
            if not _equal(source, target):
                raise OSError("the copy differs from the file")
        except BaseException:
            os.unlink(target)
            raise


def _targets(source: str, folder: str) -> Iterator[str]:
    """``a.jpg``, ``a (2).jpg``, ``a (3).jpg`` and so on."""
    stem, suffix = os.path.splitext(os.path.basename(source))
    yield os.path.join(folder, stem + suffix)
    number = 2
    while True:
        yield os.path.join(folder, f"{stem} ({number}){suffix}")
        number += 1


def _folder(path: str) -> str:
    return os.path.realpath(os.path.dirname(path))


def _escaped(path: str) -> bytes:
    """A path on one line, byte for byte; tab, newline and backslash as ``\\t``, ``\\n`` and ``\\\\``."""
    raw = os.fsencode(path).replace(b"\\", b"\\\\")
    return raw.replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
