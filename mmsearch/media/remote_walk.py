"""Find the files below a prefix of a bucket that may be pictures, by the rules that hold in folders."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from mmsearch.media import object_store
from mmsearch.media.discover import JUNK
from mmsearch.media.exclusions import Exclusions
from mmsearch.media.formats import HEIF_SUFFIXES, counted_suffixes, needs_extra, picture_suffixes
from mmsearch.types import Found, Skipped


@dataclass
class Listed:
    """What is known after a listing."""

    files: dict[str, Found] = field(default_factory=dict)  # the pictures by path, in the order of a walk
    skipped: list[Skipped] = field(default_factory=list)
    passed_over: set[str] = field(default_factory=set)  # files that are no pictures for this machine
    excluded: set[str] = field(default_factory=set)  # files of pictures' suffixes that are left out
    anything: bool = False  # whether there was any file at all
    failed: str | None = None  # why nobody knows what else is there
    gone: bool = False  # the server says that it has no such file


def look(root: str, excluded: Exclusions, limits: object_store.Limits = object_store.LIMITS) -> Listed:
    """The pictures at and below an address.

    Names and order are those of ``discover.walk``: hidden names and ``JUNK`` are passed over, files come before
    folders, each sorted by name.  ``root`` itself is taken whatever it is called.  One listing of all that is below is
    asked for, also of what is left out; after a failure in the middle it is not known what else there is.
    """
    found, rules = Listed(), _Rules(excluded)
    below: list[tuple[list[tuple[int, str]], Found]] = []
    try:
        for one in object_store.listed(root, limits):
            found.anything = True
            if isinstance(one, Skipped):
                found.skipped.append(one)
            elif one.path == root:
                found.files[root] = one
            else:
                relative = one.path[len(root) + 1 :]
                kind = rules.kind(relative)
                if kind == "picture":
                    *folders, name = relative.split("/")
                    below.append(([*((1, folder) for folder in folders), (0, name)], one))
                elif kind == "unreadable":
                    found.skipped.append(Skipped(one.path, needs_extra("heif")))
                elif kind == "counted":
                    found.passed_over.add(one.path)
                elif kind == "excluded":
                    found.excluded.add(one.path)
    except OSError as error:
        found.failed, found.gone = error.strerror or str(error), isinstance(error, FileNotFoundError)
    below.sort(key=lambda one: one[0])
    found.files |= {one.path: one for _, one in below}
    return found


class _Rules:
    """What a file is taken for, by its path below the root."""

    def __init__(self, excluded: Exclusions) -> None:
        self._excluded = excluded
        self._pictures, self._counted = picture_suffixes(), counted_suffixes()
        self._unreadable = HEIF_SUFFIXES - self._pictures
        self._folders: dict[str, str] = {"": ""}  # folder with "/" at its end -> why it is not entered, or nothing

    def kind(self, relative: str) -> str:
        """ "picture", "unreadable", "counted", "excluded", or "hidden" for what nobody asks about."""
        folder, name = relative[: relative.rfind("/") + 1], relative.rpartition("/")[2]
        closed = self._closed(folder)
        suffix = os.path.splitext(name)[1].lower()
        if closed == "hidden" or name.startswith("."):
            return "hidden"
        picture = suffix in self._pictures
        if closed or self._excluded.match(relative):
            return "excluded" if picture else "hidden"
        if picture:
            return "picture"
        return "unreadable" if suffix in self._unreadable else "counted" if suffix in self._counted else "hidden"

    def _closed(self, folder: str) -> str:
        """Why nothing of a folder is taken; each folder is asked about once, after those that it is in."""
        if folder not in self._folders:
            around = folder[: folder.rfind("/", 0, -1) + 1]
            name = folder[len(around) : -1]
            closed = self._closed(around)
            if not closed and (name.startswith(".") or name.lower() in JUNK):
                closed = "hidden"
            elif not closed and (
                self._excluded.match(folder[:-1], folder=True) or self._excluded.match_contents(folder[:-1])
            ):
                closed = "excluded"
            self._folders[folder] = closed
        return self._folders[folder]
