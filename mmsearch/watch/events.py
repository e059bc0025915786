"""Notices that folders change: a thread a folder tells a queue, by events of the system or by looking again.

Nothing is read here.  A folder that goes away, as an unplugged drive does, is waited for.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmsearch.errors import WatchError
from mmsearch.media.discover import JUNK
from mmsearch.media.exclusions import Exclusions
from mmsearch.media.formats import FORMATS
from mmsearch.media.subtitles import SUBTITLE_SUFFIXES

# What ``enrich/sidecars.py`` reads beside a photo or a film.
SIDECARS = SUBTITLE_SUFFIXES | {".txt", ".xmp", ".json"}
LOOK = 1.0  # seconds between two looks whether a folder is still the one that is watched
REST = 2.0  # seconds at most from a look that found a change to the next one, which may find that all is at rest
LONGEST = 300.0  # seconds of changes without rest after which they are told nevertheless
_READ = SIDECARS.union(*(one.suffixes for one in FORMATS))
_ADDED, _DELETED = 1, 3  # of watchfiles.Change
_CREATED = 0x100  # IN_CREATE of inotify


@dataclass(frozen=True)
class Change:
    """Something that happened to a watched folder or file."""

    root: str
    what: Literal["changed", "away", "back", "lost"]  # lost: no more events come
    why: str = ""


class Sight:
    """What of a folder, or a single file, matters to a library.

    Hidden files, junk, the library's own files, what ``exclude`` names, and all that is neither picture nor sidecar do
    not: editors write their temporary files under such names.  ``knows`` says whether the library has pictures at or
    below a path: what is deleted cannot be looked at any more.
    """

    def __init__(self, root: str, library: str, knows: Callable[[str], bool], exclude: Sequence[str] = ()) -> None:
        self.root, self._library, self._knows = root, library, knows
        self.single = os.path.isfile(root)
        self.base = os.path.dirname(root) if self.single else root  # the folder to be watched
        self._excluded = Exclusions(() if self.single else exclude, root)

    def matters(self, kind: int, path: str) -> bool:
        """Whether a change of ``path`` does; ``kind`` is watchfiles' number of it."""
        if path == self.root:
            return self.single  # whether a folder is there is looked at anyway
        if not self._seen(path):
            return False
        if self.reads(path):
            return True
        if self.single:
            return False
        if kind == _ADDED:
            return os.path.isdir(path)
        return kind == _DELETED and self._knows(path)  # a folder that was moved away tells of no file in it

    def reads(self, path: str) -> bool:
        """Whether a file may be a picture or stand beside one, by its name."""
        if self.single:
            stem, name = os.path.splitext(os.path.basename(self.root))[0], os.path.basename(path)
            return path == self.root or (name.startswith(stem) and os.path.splitext(name)[1].lower() in SIDECARS)
        return os.path.splitext(path)[1].lower() in _READ

    def passes(self, name: str, path: str, folder: bool) -> bool:
        """Whether a file or folder in a folder that matters is not one to be passed over."""
        if name.startswith(".") or name.lower() in JUNK or path == self._library:
            return False
        relative = os.path.relpath(path, self.base).replace(os.sep, "/")
        return not self._excluded.match(relative, folder)

    def _seen(self, path: str) -> bool:
        """Whether no part of the path below the root is passed over."""
        folder = os.path.isdir(path)
        while path != self.base:
            parent, name = os.path.split(path)
            if parent == path or not self.passes(name, path, folder):
                return False
            path, folder = parent, True
        return True


class Source(threading.Thread):
    """Tells ``news`` of changes of what ``sight`` sees.  ``begin`` starts it, ``end`` ends it."""

    def __init__(self, sight: Sight, news: queue.SimpleQueue[Change]) -> None:
        super().__init__(name="mmsearch-watch", daemon=True)
        self.sight, self._news = sight, news
        self._over = threading.Event()

    def begin(self) -> None:
        """Returns when no later change can be missed."""
        self.start()

    def end(self) -> None:
        self._over.set()
        if self.is_alive():
            self.join(LOOK)

    def tell(self, what: Literal["changed", "away", "back", "lost"], why: str = "") -> None:
        self._news.put(Change(self.sight.root, what, why))


class Events(Source):
    """By events of the system, through ``watchfiles``."""

    def begin(self) -> None:
        """Raises WatchError where the system gives no events."""
        self._there = _identity(self.sight.base)
        self._notify = self._watched()
        self.start()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                if self._notify is None:
                    self._over.wait(LOOK)
                else:
                    found = self._notify.watch(200, 50, int(1000 * LOOK), self._over)
                    if isinstance(found, set) and any(self.sight.matters(kind, path) for kind, path in found):
                        self.tell("changed")
                        _check_limit(self.sight.base)  # a folder that is new may have been one too many
                self._look()
            except (WatchError, RuntimeError) as error:  # of watchfiles, such as: too many folders
                self.tell("lost", str(error))
                break
        if self._notify is not None:
            self._notify.close()

    def _look(self) -> None:
        """Whether the folder is there, and the same one: events tell nothing of a drive that was plugged in."""
        there = _identity(self.sight.base)
        if there == self._there:
            return
        if self._notify is not None:
            self._notify.close()
        self._there, self._notify = there, None
        if there is None:
            self.tell("away")
        else:
            self._notify = self._watched()
            self.tell("back")

    def _watched(self) -> Any:
        from watchfiles._rust_notify import RustNotify

        if self._there is None:
            return None
        try:
            watched = RustNotify([self.sight.base], False, False, 0, not self.sight.single, True)
        except FileNotFoundError:
            self._there = None
            return None
        except (OSError, RuntimeError) as error:
            raise WatchError(str(error)) from error
        _check_limit(self.sight.base)
        return watched


class Looks(Source):
    """By a look every ``seconds``, where no events come.  A change is told when a second look finds all at rest."""

    def __init__(self, sight: Sight, news: queue.SimpleQueue[Change], seconds: float) -> None:
        super().__init__(sight, news)
        self._seconds = seconds
        self._ready = threading.Event()

    def begin(self) -> None:
        self.start()
        self._ready.wait()

    def run(self) -> None:
        there = os.path.lexists(self.sight.root)
        before = self._look()
        self._ready.set()
        since: float | None = None  # when the changes began that are not told yet
        while not self._over.wait(self._seconds if since is None else min(self._seconds, REST)):
            if os.path.lexists(self.sight.root) != there:
                there = not there
                self.tell("back" if there else "away")
            if there:
                now = self._look()
                if now != before and since is None:
                    since = time.monotonic()
                if since is not None and (now == before or time.monotonic() - since > LONGEST):
                    self.tell("changed")
                    since = None
                before = now

    def _look(self) -> dict[str, int]:
        """Each folder with a number that is another when names, sizes or times in it are others."""
        found: dict[str, int] = {}
        visited: set[object] = set()
        folders = [self.sight.base]
        while folders and not self._over.is_set():
            folder = folders.pop()
            files = []
            try:
                identity = _identity(folder)
                if identity in visited:
                    continue
                visited.add(identity)
                with os.scandir(folder) as listing:
                    for entry in listing:
                        folder_too = entry.is_dir()
                        if not self.sight.passes(entry.name, entry.path, folder_too) and entry.path != self.sight.root:
                            continue
                        if folder_too:
                            folders += [] if self.sight.single else [entry.path]
                        elif self.sight.reads(entry.path):
                            status = entry.stat()
                            files.append((entry.name, status.st_size, status.st_mtime_ns))
            except OSError as error:
                files.append((str(error.errno), 0, 0))
            found[folder] = hash(tuple(sorted(files)))
        return found


def events_come() -> bool:
    """Whether the package that passes events on is installed."""
    return importlib.util.find_spec("watchfiles") is not None


def _check_limit(folder: str) -> None:
    """Raises WatchError when no more folders can be watched: ``watchfiles`` leaves out what is too many, silently."""
    if not sys.platform.startswith("linux"):
        return
    system = ctypes.CDLL(None, use_errno=True)
    descriptor = system.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:  # it works for those that are watched already
        return
    try:
        if (
            system.inotify_add_watch(descriptor, os.fsencode(folder), _CREATED) < 0
            and ctypes.get_errno() == errno.ENOSPC
        ):
            raise WatchError(
                "the system watches no more folders; raise its limit with sysctl fs.inotify.max_user_watches"
            )
    finally:
        os.close(descriptor)


def _identity(folder: str) -> object:
    """Another value when a folder is another one; None where there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino or os.path.realpath(folder)  # some network drives give 0 for all
