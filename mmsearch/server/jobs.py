"""Runs that clients start: one of a kind at a time, beside the searches, with progress as server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from mmsearch import schemas
from mmsearch.errors import MMSearchError
from mmsearch.library.library import Library
from mmsearch.server.errors import Refused
from mmsearch.types import Progress

if TYPE_CHECKING:
    from mmsearch.manage.map.clusters import Method

logger = logging.getLogger(__name__)

LOOK = 0.2  # seconds between looks at what is new
QUIET = 15.0  # seconds without an event after which a line shows that the connection lives


class _Stopped(BaseException):
    """Ends a run from within, as Ctrl-C does: what is stored stays."""


Work = Callable[[Callable[[Progress], None]], dict[str, Any]]  # calls what it is given; gives its report


class Runs:
    """The run of a kind that goes on, or the last one.  Safe from several threads."""

    def __init__(self, kind: str, called: str) -> None:
        """``kind`` is in the codes of errors, ``called`` what people call such a run."""
        self._kind, self._called = kind, called
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._closing = False
        self._number, self._changes = 0, 0
        self._event: tuple[str, dict[str, Any]] | None = None  # the last one: its name and what it says

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def state(self) -> dict[str, Any]:
        """As ``status`` shows it."""
        name, told = self._event or ("", None)
        return {"running": self.running, "run": self._number or None, "progress": told if name == "progress" else None}

    def begin(self, work: Work) -> int:
        """Begin a run and return its number.  Raises Refused where one goes on."""
        with self._lock:
            if self.running:
                raise Refused(409, f"{self._kind}-running", f"{self._called} goes on already", run=self._number)
            if self._closing:
                raise Refused(503, "closing", "the server is closing", {"Retry-After": "5"})
            self._stop.clear()
            self._number += 1
            self._event = None
            self._thread = threading.Thread(target=self._run, args=(work,), name=f"mmsearch-{self._kind}", daemon=True)
            self._thread.start()
            return self._number

    def stop(self) -> bool:
        """Ask the run to end; whether there is one."""
        self._stop.set()
        return self.running

    def close(self, seconds: float) -> None:
        """End the run and all streams of events; a run has this long to store what it holds."""
        self._closing = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, work: Work) -> None:
        try:
            report = work(self._progress)
        except _Stopped:
            self._tell(
                "failed", {"code": f"{self._kind}-stopped", "detail": "the run was stopped; what was stored stays"}
            )
        except MMSearchError as error:
            said = schemas.error(error)
            self._tell("failed", {"code": said["code"], "detail": said["message"]})
        except Exception:
            logger.exception("%s failed", self._called)
            self._tell("failed", {"code": "internal-error", "detail": "the run failed; the server's log says why"})
        else:
            self._tell("done", report)

    def _progress(self, progress: Progress) -> None:
        if self._stop.is_set():
            raise _Stopped
        self._tell("progress", schemas.progress(progress))

    def _tell(self, name: str, told: dict[str, Any]) -> None:
        with self._lock:
            self._event = name, {**told, "run": self._number}
            self._changes += 1

    async def events(self) -> AsyncIterator[bytes]:
        """Server-sent events: what was told last, and what is told from now on, until the server closes."""
        seen, quiet = -1, 0.0
        yield b"retry: 2000\n\n"
        while not self._closing:
            with self._lock:
                event, changes = self._event, self._changes
            if event is not None and changes != seen:
                name, told = event
                yield f"event: {name}\ndata: {json.dumps(told)}\n\n".encode("ascii")
                seen, quiet = changes, 0.0
            elif quiet >= QUIET:
                yield b": nothing new\n\n"
                quiet = 0.0
            await asyncio.sleep(LOOK)
            quiet += LOOK


class IndexRuns(Runs):
    """Index runs of a library."""

    def __init__(self, library: Library) -> None:
        super().__init__("index", "an index run")
        self._library = library

    def start(self, paths: Sequence[str]) -> int:
        """Begin a run over folders, or all that the library knows, and return its number.  Raises Refused."""
        wanted = list(paths)
        return self.begin(lambda told: schemas.index_report(self._library.index(wanted, progress=told)))


class MapRuns(Runs):
    """Runs that make the map of a library."""

    def __init__(self, library: Library) -> None:
        super().__init__("map", "a map run")
        self._library = library

    def start(self, fresh: bool, clusters: Method | None) -> int:
        """Begin a run and return its number.  Raises Refused."""

        def work(told: Callable[[Progress], None]) -> dict[str, Any]:
            return schemas.map_report(self._library.map(fresh=fresh, clusters=clusters, progress=told), None)

        return self.begin(work)
