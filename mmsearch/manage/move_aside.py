"""Files of groups of duplicates moved aside, each after a look at it and at the one that is kept.

The folder holds the folders that the files were in.  Nothing is overwritten, nothing is deleted that has not arrived,
what belongs to a photo goes with it, and ``moved.tsv`` in the folder says where each file was, before it is moved.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mmsearch.errors import ImageError, SourceError
from mmsearch.manage.companions import Companions
from mmsearch.manage.duplicates import Group, Level, noted
from mmsearch.manage.move_log import MoveLog
from mmsearch.manage.present_file import REMOTE, trouble
from mmsearch.media.filesystem import equal, open_regular, relocate
from mmsearch.media.pixel_match import sketch
from mmsearch.media.remote_path import is_remote
from mmsearch.types import Photo, Progress, Skipped


@dataclass(frozen=True)
class Moved:
    """A file that was moved, or would be."""

    source: str
    target: str
    companions: tuple[Moved, ...] = ()  # files that belong to it, and go with it


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


def planned(groups: Sequence[Group], folder: str, roots: Sequence[str]) -> list[Moved | Skipped]:
    """Where ``move`` would move the files to, as things are now: one a file.  Nothing is changed."""
    taken: set[str] = set()
    beside = Companions()
    moves: list[Moved | Skipped] = []
    for keep, photo in ((group.keep, photo) for group in groups for photo in group.others):
        more = REMOTE if is_remote(photo.path) else _says_more(photo, keep)
        if more is not None:
            moves.append(Skipped(photo.path, more))
            continue
        files = [photo.path]
        with suppress(OSError):  # it will be said when the photo cannot be moved
            files += beside.of(photo.path)
        place = _place(photo.path, folder, roots)
        targets = next(ways for ways in _targets(files, place) if taken.isdisjoint(ways))
        taken.update(targets)
        moves.append(_moved(files, targets))
    return moves


def move(
    groups: Sequence[Group], folder: str, roots: Sequence[str], max_megapixels: float = 200.0
) -> Iterator[Moved | Skipped]:
    """Move all but the kept file of each group into ``folder``, which is made; yields what became of each.

    A file lies there as it did in the one of ``roots`` that it was found in: ``folder/Pictures/2024/a.jpg``.
    A file stays where it is, and is ``Skipped``, when it or the kept one is gone or has changed since it was indexed,
    when they are the same file, when it should be equal byte by byte and is not, when the kept one cannot be read, when
    something was noted of it (words, date, place, people, stars) that is not of the kept one, and when it cannot be
    moved.  Raises SourceError where the folder cannot be written.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        log = MoveLog(folder)
    except OSError as error:
        where = f"{error.filename}: " if error.filename and error.filename != folder else ""
        raise SourceError(f"nothing can be moved to {folder}: {where}{error.strerror or error}") from error
    beside = Companions()
    with log:
        for group in groups:
            kept_trouble = _kept_trouble(group, max_megapixels)
            for photo, level in zip(group.others, group.levels, strict=True):
                reason = REMOTE if is_remote(photo.path) else None
                reason = reason or kept_trouble or trouble(photo) or _difference(group.keep, photo, level)
                reason = reason or _says_more(photo, group.keep)
                if reason is not None:
                    yield Skipped(photo.path, reason)
                    continue
                try:
                    files = [photo.path, *beside.of(photo.path)]
                    yield _move(files, folder, _place(photo.path, folder, roots), log)
                except OSError as error:
                    yield Skipped(photo.path, f"cannot be moved: {error.strerror or error}")


def move_all(
    groups: Sequence[Group],
    folder: str,
    roots: Sequence[str],
    forget: Callable[[list[str]], object],
    max_megapixels: float,
    progress: Callable[[Progress], None] | None = None,
) -> list[Moved | Skipped]:
    """``move`` to its end; ``forget`` gets the old paths of the files that were moved, after Ctrl-C too."""
    total = sum(len(group.others) for group in groups)
    done: list[Moved | Skipped] = []
    try:
        for one in move(groups, folder, roots, max_megapixels):
            done.append(one)
            if progress is not None:
                path = one.source if isinstance(one, Moved) else one.path
                progress(Progress(len(done), total, path))
    finally:
        forget([one.source for one in done if isinstance(one, Moved)])
    return done


def drop_empty(place: str, folder: str) -> None:
    """Remove a folder in the folder, and those above it, where they are empty."""
    with suppress(OSError):
        while place != folder:
            os.rmdir(place)
            place = os.path.dirname(place)


def _kept_trouble(group: Group, max_megapixels: float) -> str | None:
    """Why nothing of the group may be moved; None where the kept file is as it was and can be read."""
    reason = trouble(group.keep)
    if reason is None and group.level != "exact":
        try:
            with open_regular(group.keep.path) as file:
                sketch(file, group.keep.path, max_megapixels)
        except ImageError as error:
            reason = error.reason
        except OSError as error:
            reason = error.strerror or str(error)
    return None if reason is None else f"the one to keep, {group.keep.path}: {reason}"


def _says_more(photo: Photo, keep: Photo) -> str | None:
    """What would be lost with a copy: of the kept photo nobody noted that."""
    missing = noted(photo).keys() - noted(keep).keys()
    if set(photo.own_tags) - set(keep.own_tags):  # each says something else
        missing.add("tags")
    if not missing:
        return None
    named = ", ".join(name for name in noted(photo) if name in missing)
    return f"{keep.path}, which is kept, lacks its {named}"


def _difference(keep: Photo, photo: Photo, level: Level) -> str | None:
    try:
        if os.path.samefile(keep.path, photo.path):
            return f"is the same file as {keep.path}"
        if level == "exact" and not equal(keep.path, photo.path):
            return f"differs from {keep.path}, although the library says that they are equal"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _move(files: Sequence[str], folder: str, place: str, log: MoveLog) -> Moved:
    """A photo and what belongs to it: it is written down, then all is there too, then it goes from its old place.

    Raises OSError, and then all is where it was and nowhere else.
    """
    os.makedirs(place, exist_ok=True)
    for targets in _targets(files, place):
        done: list[tuple[str, str]] = []
        start = None
        try:
            start = log.add(files, targets)
            for old, new in zip(files, targets, strict=True):
                relocate(old, new)
                done.append((old, new))
        except OSError as error:
            for old, new in reversed(done):
                relocate(new, old)
            if start is not None:
                log.take_back(start)
            if isinstance(error, FileExistsError):  # somebody else took the name in between
                continue
            drop_empty(place, folder)
            raise
        return _moved(files, targets)
    raise AssertionError("names never end")


def _moved(files: Sequence[str], targets: Sequence[str]) -> Moved:
    first, *others = (Moved(old, new) for old, new in zip(files, targets, strict=True))
    return replace(first, companions=tuple(others))


def _place(photo: str, folder: str, roots: Sequence[str]) -> str:
    """Where in the folder a photo goes: to the way to it from the outermost root that holds it, and that one's name."""
    holding = [root for root in roots if root != photo and Path(photo).is_relative_to(root)]
    if not holding:
        return folder
    root = min(holding, key=len)
    return os.path.normpath(os.path.join(folder, os.path.basename(root), os.path.relpath(os.path.dirname(photo), root)))


def _targets(files: Sequence[str], folder: str) -> Iterator[list[str]]:
    """Names that are free in the folder: ``a.jpg``, ``a (2).jpg``, ``a (3).jpg`` and so on.

    What belongs to a photo has the same number, so that it still belongs to it.
    """
    stem, suffix = os.path.splitext(os.path.basename(files[0]))
    names = [os.path.basename(file) for file in files]

    def renamed(name: str, new: str) -> str:
        if new == stem or name.startswith(stem):
            return name.replace(stem, new, 1)
        return f"{new}{suffix}.json"  # of Google Takeout: a.jpg(1).json belongs to a(1).jpg

    for number in itertools.count(1):
        new = stem if number == 1 else f"{stem} ({number})"
        targets = [os.path.join(folder, renamed(name, new)) for name in names]
        if not any(os.path.lexists(target) for target in targets):
            yield targets


def _folder(path: str) -> str:
    return os.path.realpath(os.path.dirname(path))
