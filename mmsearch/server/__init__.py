"""A library over HTTP: the REST interface, the web page, and tools for agents.  Needs ``mmsearch[web]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmsearch.errors import MMSearchError
from mmsearch.server.options import ServerOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmsearch.library.library import Library

__all__ = ["ServerOptions", "app", "serve"]


def app(library: Library, options: ServerOptions | None = None) -> FastAPI:
    """The ASGI application that serves a library, which stays open and belongs to the caller.

    Without ``options`` it is for this machine alone, with a token that is made up; ``app.state.options.token`` has it.
    Raises MMSearchError where ``mmsearch[web]`` is not installed.
    """
    try:
        from mmsearch.server.application import make
    except ImportError as error:
        if error.name is None or error.name.startswith("mmsearch"):
            raise
        raise MMSearchError(f"serving needs more: pip install 'mmsearch[web]' ({error})", code="needs-web") from error
    return make(library, options or ServerOptions())


def serve(library: Library, **options: Any) -> FastAPI:
    """``app`` with options by name, to run with any ASGI server or to mount in another application.

    >>> app = mmsearch.serve(library, token="a long one: nobody guesses it", hosts=frozenset({"photos.example"}))
    >>> app.title
    'mmsearch'
    """
    return app(library, ServerOptions(**options))
