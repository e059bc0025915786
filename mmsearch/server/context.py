"""What the routes of one application share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from mmsearch.library.library import Library
from mmsearch.server.errors import Refused
from mmsearch.server.options import ServerOptions
from mmsearch.server.pool import Workers
from mmsearch.server.results import ResultLists

WAITING_PICTURES = 512  # thumbnails and files: a page asks for many


@dataclass
class Context:
    """A library and how it is served."""

    library: Library
    options: ServerOptions
    lists: ResultLists = field(init=False)
    searches: Workers = field(init=False)  # whatever asks the library
    pictures: Workers = field(init=False)  # whatever opens files, so that no search waits for a drive

    def __post_init__(self) -> None:
        threads = self.options.searchers or os.cpu_count() or 1
        self.lists = ResultLists(self.library)
        self.searches = Workers("search", threads, self.options.waiting)
        self.pictures = Workers("pictures", threads, WAITING_PICTURES)

    def stop(self) -> None:
        """End what would keep connections open; asked for when the server is told to end."""

    def close(self) -> None:
        """Let go of the threads; the library stays open."""
        self.searches.close()
        self.pictures.close()


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Served = Annotated[Context, Depends(_context)]


def _writing(context: Served) -> Context:
    if context.options.read_only:
        raise Refused(403, "read-only", "this server changes nothing")
    return context


Writing = Annotated[Context, Depends(_writing)]
