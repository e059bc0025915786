"""Keeps a library up to date while folders change: says what it does, and goes on until it is closed.

A burst of changes becomes one ``index`` run over the folders that changed, when all is at rest.  Both ends of a move
are looked at in one run, so what was moved keeps its vector.  Folders are walked whole: that is quick, and nothing that
an event did not tell is missed.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmsearch.errors import (
    LibraryBusyError,
    LibraryError,
    MMSearchError,
    NewerLibraryError,
    NoModelError,
    SourceError,
    WatchError,
)
from mmsearch.ingest.scan import check
from mmsearch.library.arguments import globs
from mmsearch.library.library import Library
from mmsearch.media.filesystem import on_network
from mmsearch.media.remote_path import is_remote
from mmsearch.store.open import DATABASE
from mmsearch.store.paths import spellings
from mmsearch.types import IndexReport, PathLike, Skipped
from mmsearch.watch.events import LONGEST, Change, Events, Looks, Sight, Source, events_come


@dataclass(frozen=True)
class Pace:
    """How soon and how often; all in seconds."""

    quiet: float = 1.0  # without a change, before folders are read
    longest: float = LONGEST  # after which they are read although changes go on
    poll: float | None = None  # between two looks at every folder; None: events, where they come
    looks: float = 30.0  # between two looks at a folder of which no events come, and at the library's own
    busy: float = 1.0  # before the next try when another process writes; twice as long after each
    retry: float = 5.0  # before the next try after a failure; twice as long after each
    gentle: float = 30.0  # at most, after a run that took as long: half of the time is left to others


@dataclass(frozen=True)
class Watching:
    """The first run is done; from now on changes are waited for."""

    roots: tuple[str, ...]


@dataclass(frozen=True)
class Ran:
    """An ``index`` run."""

    report: IndexReport
    fresh: IndexReport  # without the skipped files and the notes that an earlier run told of
    news: bool  # it changed the library, or has something to say


@dataclass(frozen=True)
class Failed:
    """A run that will be tried again."""

    error: MMSearchError | OSError
    seconds: float  # until then
    tries: int  # in a row


@dataclass(frozen=True)
class Polled:
    """A folder of which no events come: it is looked at every ``seconds``."""

    root: str
    seconds: float
    why: str


@dataclass(frozen=True)
class Away:
    """A folder is not there; it is waited for, and nothing is marked missing."""

    root: str


@dataclass(frozen=True)
class Back:
    """A folder is there again."""

    root: str


Event = Watching | Ran | Failed | Polled | Away | Back
Index = Callable[[Sequence[str]], IndexReport]


def watch(
    library: Library,
    paths: Sequence[PathLike] = (),
    *,
    index: Index | None = None,
    exclude: str | Sequence[str] | None = None,
    pace: Pace | None = None,
) -> Generator[Event, None, None]:
    """What happens while the library is kept up to date with ``paths``, or with all that it knows.  Never ends itself.

    But for the library: where its folder was moved or replaced, what is written would go where nobody looks for it.

    ``index`` takes roots and is ``library.index`` by default: one's own has further options.  ``exclude`` is as
    ``library.index`` takes it, and should be that of ``index``.  A folder that the library knows need not be there yet.
    Raises SourceError for one that it does not know, or that lies in an object store, WatchError without the package
    ``watchfiles`` where ``pace.poll`` is None or the library is in its place no more, and what the first run raises,
    except where that may go away:
    another process that writes, a full disk.  Later errors are in ``Failed``.
    """
    pace = pace or Pace()
    roots = _roots(library, paths)
    if pace.poll is None and not events_come():
        raise WatchError(
            "watching needs the package watchfiles; run: pip install 'mmsearch[watch]'", code="no-watchfiles"
        )
    yield from _Watch(
        library, roots, index or (lambda some: library.index(some, exclude=exclude)), globs(exclude, roots), pace
    ).run()


_NOT_WATCHED = " cannot be watched: an object store says nothing of changes; index it again from time to time"


def _roots(library: Library, paths: Sequence[PathLike]) -> list[str]:
    known = library.store.roots()
    if not paths:
        if not known:
            raise SourceError("the library knows no folder yet", code="nothing-to-watch")
        if not (local := [root for root in known if not is_remote(root)]):
            raise SourceError(f"{known[0]}{_NOT_WATCHED}", code="not-watched")
        return local
    roots = []
    for path in paths:
        if not os.fspath(path):
            raise SourceError("the path is empty; for the current folder write .")
        if is_remote(path):
            raise SourceError(f"{os.fspath(path)}{_NOT_WATCHED}", code="not-watched")
        roots.append(os.path.realpath(os.path.expanduser(os.fspath(path))))
    check([root for root in roots if root not in known or os.path.lexists(root)])
    return list(dict.fromkeys(roots))


class Place:
    """Where a library is when this is made; ``check`` says whether it is there still."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._was = folder, _identity(folder)

    def check(self) -> None:
        """Raises WatchError where the library is in its place no more."""
        now = _identity(self._folder)
        if now == self._was or () in now:
            return
        what = "was moved or deleted" if None in now else "is another one now"
        raise WatchError(
            f"the library {self._folder} {what} while its folders were watched; nothing is written any more, start to "
            "watch again where it is",
            code="library-moved",
        )


class _Watch:
    """The state of one ``watch``."""

    def __init__(
        self, library: Library, roots: Sequence[str], index: Index, exclude: Sequence[str] | None, pace: Pace
    ) -> None:
        self._library, self._roots, self._index, self._exclude, self._pace = library, roots, index, exclude, pace
        self._news: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._sources: dict[str, Source] = {}
        self._pending = set(roots)  # to be read
        self._first = self._last = time.monotonic()  # change that is pending
        self._not_before = self._first  # a run
        self._tries = 0  # that failed, in a row
        self._told: set[Skipped | str] = set()
        self._begun = False  # the first run is done
        self._place = Place(library.folder)

    def run(self) -> Iterator[Event]:
        try:
            for root in self._roots:  # before the first run: a change meanwhile is not to be missed
                yield from self._begin(root)
                if not os.path.lexists(root):
                    yield Away(root)
            looks = self._pace.looks if self._pace.poll is None else min(self._pace.looks, self._pace.poll)
            while True:
                self._place.check()
                if self._pending and self._wait() <= 0:
                    yield from self._read()
                    continue
                try:
                    change = self._news.get(timeout=min(self._wait(), looks) if self._pending else looks)
                except queue.Empty:
                    continue
                yield from self._noticed(change)
        finally:
            for source in self._sources.values():
                source.end()

    def _begin(self, root: str, lost: str = "") -> Iterator[Event]:
        """Start to watch, by events where they come."""
        excluded = self._library.store.exclusions().get(root, ()) if self._exclude is None else self._exclude
        pace, sight = self._pace, Sight(root, str(self._library.folder.resolve()), self._knows, excluded)
        why = lost or ("it is on a network drive" if on_network(Path(sight.base)) else "")
        if pace.poll is None and not why:
            source: Source = Events(sight, self._news)
            try:
                source.begin()
                self._sources[root] = source
                return
            except WatchError as error:
                why = str(error)
        seconds = pace.looks if pace.poll is None else pace.poll
        if pace.poll is None:
            yield Polled(root, seconds, why)
        source = self._sources[root] = Looks(sight, self._news, seconds)
        source.begin()

    def _knows(self, path: str) -> bool:
        model = self._library.store.model()
        return model is not None and bool(len(self._library.store.searchable(model, spellings(path))))

    def _wait(self) -> float:
        """Seconds until what is pending should be read."""
        pace, now = self._pace, time.monotonic()
        rest = min(self._last + pace.quiet, self._first + pace.longest) if self._begun else now
        return max(rest, self._not_before) - now

    def _noticed(self, change: Change) -> Iterator[Event]:
        if change.what == "away":
            yield Away(change.root)
            return
        if change.what == "back":
            yield Back(change.root)
        if change.what == "lost":
            yield from self._begin(change.root, change.why)
        self._last = time.monotonic()
        if not self._pending:
            self._first = self._last
        self._pending.add(change.root)

    def _read(self) -> Iterator[Event]:
        """One run over what is pending and there."""
        there = [root for root in self._roots if root in self._pending and os.path.lexists(root)]
        before, self._pending = self._pending, set()
        if there:
            started = time.monotonic()
            try:
                report = self._index(there)
            except (MMSearchError, OSError) as error:
                self._pending |= before
                if not self._begun and not _may_go_away(error):
                    raise
                yield self._failed(error)
                return
            now = time.monotonic()
            self._tries, self._not_before = 0, now + min(now - started, self._pace.gentle)
            yield self._ran(report)
        if not self._begun:
            self._begun = True
            yield Watching(tuple(self._roots))

    def _failed(self, error: MMSearchError | OSError) -> Failed:
        pace = self._pace
        first, most = (pace.busy, 30) if isinstance(error, LibraryBusyError) else (pace.retry, 120)
        seconds = first * min(2.0 ** min(self._tries, 10), most)
        self._tries += 1
        self._not_before = time.monotonic() + seconds
        return Failed(error, seconds, self._tries)

    def _ran(self, report: IndexReport) -> Ran:
        skipped = tuple(item for item in report.skipped if item not in self._told)
        notes = tuple(note for note in report.notes if note not in self._told)
        self._told = {*report.skipped, *report.notes}
        done = (
            report.added, report.updated, report.moved, report.restored, report.removed, report.encoded,
            *report.enriched.values(),
        )  # fmt: skip
        news = not self._begun or any(done) or bool(skipped or notes)
        return Ran(report, replace(report, skipped=skipped, notes=notes), news)


def _identity(library: Path) -> tuple[object, object]:
    """What tells a library's folder and its database from others that bear their names.

    None for what is not there, () where nobody knows.
    """

    def one(path: Path) -> object:
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # a network drive that does not answer
            return ()
        return status.st_dev, status.st_ino

    return one(library), one(library / DATABASE)


def _may_go_away(error: MMSearchError | OSError) -> bool:
    """Whether the first run may go well when it is tried again: what has never worked is not tried for ever."""
    if isinstance(error, LibraryError):
        return not isinstance(error, (NewerLibraryError, NoModelError))
    return isinstance(error, OSError)
