"""What the routes of one application share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from mmsearch.library.library import Library
from mmsearch.server.completions import Completions
from mmsearch.server.errors import Refused
from mmsearch.server.jobs import IndexRuns, MapRuns
from mmsearch.server.options import ServerOptions
from mmsearch.server.pool import Workers
from mmsearch.server.results import ResultLists
from mmsearch.server.saved import SavedSearches
from mmsearch.server.uploads import Uploads

if TYPE_CHECKING:  # its package is an extra
    from mmsearch.server.metrics import Metrics

MOST_THREADS = 8  # of each kind: the store keeps so many connections
WAITING_PICTURES = 512  # thumbnails and files: a page asks for many
WAITING_SLOW = 4
END_SECONDS = 5.0  # that an index run has to store what it holds


@dataclass
class Context:
    """A library and how it is served."""

    library: Library
    options: ServerOptions
    lists: ResultLists = field(init=False)
    searches: Workers = field(init=False)  # whatever asks the library
    pictures: Workers = field(init=False)  # whatever opens files, so that no search waits for a drive
    slow: Workers = field(init=False)  # what takes minutes
    uploads: Uploads = field(init=False)
    runs: IndexRuns = field(init=False)
    maps: MapRuns = field(init=False)
    saved: SavedSearches = field(init=False)
    completions: Completions = field(init=False)
    metrics: Metrics | None = field(init=False, default=None)  # where they are asked for

    def __post_init__(self) -> None:
        threads = self.options.searchers or min(MOST_THREADS, os.cpu_count() or 1)
        self.lists = ResultLists(self.library)
        self.searches = Workers("search", threads, self.options.waiting)
        self.pictures = Workers("pictures", threads, WAITING_PICTURES)
        self.slow = Workers("slow", 1, WAITING_SLOW)
        self.uploads = Uploads(self.library, self.options)
        self.runs, self.maps = IndexRuns(self.library), MapRuns(self.library)
        self.saved = SavedSearches(self.library.folder)
        self.completions = Completions(self.library)
        if self.options.metrics:
            from mmsearch.server.metrics import Metrics

            workers = {"search": self.searches, "pictures": self.pictures, "slow": self.slow}
            self.metrics = Metrics(self.library, workers)
            self.searches.listener = self.slow.listener = self.metrics.heard

    def close(self) -> None:
        """End streams, index runs and threads; the library stays open.  May be called twice."""
        self.runs.close(END_SECONDS)
        self.maps.close(END_SECONDS)
        for workers in (self.searches, self.pictures, self.slow, self.uploads):
            workers.close()


# Not plain functions: those FastAPI hands to a thread and back, for each request.
async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Served = Annotated[Context, Depends(_context)]


async def _writing(context: Served) -> Context:
    if context.options.read_only:
        raise Refused(403, "read-only", "this server changes nothing")
    return context


Writing = Annotated[Context, Depends(_writing)]
