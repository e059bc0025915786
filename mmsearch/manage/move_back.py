"""Duplicates that were moved aside put back where they were: a photo with all that belongs to it, or nothing of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from mmsearch.errors import SourceError
from mmsearch.manage import move_log
from mmsearch.manage.move_aside import Moved, drop_empty
from mmsearch.manage.move_log import LOG, Entry
from mmsearch.media.filesystem import relocate
from mmsearch.types import Progress, Skipped


def undo(folder: str, progress: Callable[[Progress], None] | None = None) -> list[Moved | Skipped]:
    """Put all files back that ``moved.tsv`` in ``folder`` names; what became of each that is not back already.

    A photo stays in the folder with what belongs to it, and is ``Skipped``, where there is another file in the old
    place of one of them, or where one cannot be moved.  So are files that are in neither place, and lines that say
    nothing.  What was not put back stays in ``moved.tsv``.  Raises SourceError where there is no ``moved.tsv``.
    """
    log = os.path.join(folder, LOG)
    try:
        found = move_log.read(folder)
    except OSError as error:
        raise SourceError(f"{log}: {error.strerror or error}; name the folder that duplicates were moved to") from error
    done: list[Moved | Skipped] = [
        Skipped(log, f"line {number} is no line of such a log; look at it") for number, _ in found.unreadable
    ]
    left = [line for _, line in found.unreadable]
    for number, entries in enumerate(reversed(found.sets), 1):
        became = _put_back(entries)
        done += became.values()
        for entry in entries:
            if isinstance(became.get(entry.target), Skipped):
                left.append(entry.line)
            else:
                drop_empty(os.path.dirname(entry.target), folder)
        if progress is not None:
            progress(Progress(number, len(found.sets), entries[0].source))
    try:
        move_log.write(folder, left)
    except OSError as error:
        done.append(Skipped(log, f"cannot be written: {error.strerror or error}; it names files that are back, too"))
    return done


def _put_back(entries: Sequence[Entry]) -> dict[str, Moved | Skipped]:
    """What became of files that were moved together, by where they were in the folder; without those already back."""
    became: dict[str, Moved | Skipped] = {}
    there = [entry for entry in entries if os.path.lexists(entry.target)]
    for entry in entries:
        if entry not in there and not os.path.lexists(entry.source):
            became[entry.target] = Skipped(entry.source, f"is not there any more, nor in its old place: {entry.target}")
    reasons = {entry.target: reason for entry in there if (reason := _in_the_way(entry)) is not None}
    if not reasons:
        reasons = _all_or_none(there)
    for entry in there:
        if not reasons:
            became[entry.target] = Moved(entry.target, entry.source)
        else:
            own = reasons.get(entry.target)
            became[entry.target] = Skipped(entry.target, own or f"stays with what belongs to it: {min(reasons)}")
    return became


def _in_the_way(entry: Entry) -> str | None:
    """What stands in the old place of a file; None where it is free, or has a second name of it (a run was stopped)."""
    try:
        if not os.path.lexists(entry.source):
            return None
        old, new = os.lstat(entry.source), os.lstat(entry.target)
    except OSError as error:
        return f"cannot be moved: {error.strerror or error}"
    if os.path.samestat(old, new) and new.st_nlink >= 2:
        return None
    return f"there is another file in its old place, {entry.source}"


def _all_or_none(entries: Sequence[Entry]) -> dict[str, str]:
    """Move files to their old places; where one cannot go, none does.  Why, by where it is; empty where all went."""
    done: list[Entry] = []
    for entry in entries:
        try:
            if os.path.lexists(entry.source):
                os.unlink(entry.target)
                continue
            os.makedirs(os.path.dirname(entry.source), exist_ok=True)
            relocate(entry.target, entry.source)
            done.append(entry)
        except OSError as error:
            for one in reversed(done):
                relocate(one.source, one.target)
            return {entry.target: f"cannot be moved: {error.strerror or error}"}
    return {}
