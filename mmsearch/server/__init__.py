"""A library over HTTP: the REST interface, the web page, and tools for agents.  Needs ``mmsearch[web]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsearch.server.options import ServerOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmsearch.library.library import Library

__all__ = ["ServerOptions", "app"]


def app(library: Library, options: ServerOptions | None = None) -> FastAPI:
    """The ASGI application that serves a library, which stays open and belongs to the caller.

    Without ``options`` it is for this machine alone, with a token that is made up; ``app.state.options.token`` has it.
    """
    from mmsearch.server.application import make

    return make(library, options or ServerOptions())
