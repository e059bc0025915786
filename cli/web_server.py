"""How ``mmsearch serve`` runs its server: signals, the browser, and an end that waits for nobody for long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import webbrowser
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from mmsearch.errors import MMSearchError
from mmsearch.server import app

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as missing:
    raise MMSearchError(f"serving needs more: pip install 'mmsearch[web]' ({missing})", code="needs-web") from missing

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.server.options import ServerOptions

CONNECTIONS = 512  # at once; the next one is told to come back
HEADER_SECONDS = 20.0  # that a connection may take for the first line and headers of a request
END_SECONDS = 5  # that requests have to come to their end when the server is stopped


class _Protocol(H11Protocol):
    """Closes connections on which no request comes: they are cheap to open, and all take room."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEADER_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Says once that it is stopped, and what ended it."""

    stopped: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on SIGINT and SIGTERM."""
        self.stopped = self.stopped or sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would keep connections open, then wait for those that are at work."""
        context = self.config.app.state.context  # type: ignore[union-attr]  # it is ours
        await asyncio.to_thread(context.runs.close, END_SECONDS)
        await super().shutdown(sockets)


def server_of(library: Library, options: ServerOptions, access_log: bool = False) -> Server:
    """What serves it as ``mmsearch serve`` does, once it is run."""
    logging.getLogger("mmsearch.server").setLevel(logging.DEBUG if access_log else logging.WARNING)
    config = uvicorn.Config(
        app(library, options),
        http=_Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=END_SECONDS,
        h11_max_incomplete_event_size=2**15,  # of the first line and the headers
    )
    return Server(config)


def run(
    library: Library, options: ServerOptions, listening: socket.socket, page: str | None, access_log: bool
) -> int | None:
    """Serve until a signal comes, and return it; ``page`` is opened in a browser."""
    server = server_of(library, options, access_log)
    threading.Thread(target=_warm, args=(library,), daemon=True).start()
    if page is not None:
        threading.Timer(0.5, webbrowser.open, [page]).start()
    signal.signal(signal.SIGTERM, _interrupted)
    with contextlib.suppress(KeyboardInterrupt):  # it raises the signal again at the end
        server.run(sockets=[listening])
    return server.stopped


def _interrupted(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _warm(library: Library) -> None:
    """Loads the models before somebody waits for them."""
    with contextlib.suppress(MMSearchError):  # nothing was indexed yet, or the server ended meanwhile
        library.search("a photo", k=1)
