"""``mmsearch mcp``: the library as tools for agents."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mmsearch.cli import formatting, options, streams

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

TOKEN = "MMSEARCH_TOKEN"  # environment variable
SHORTEST = 16  # characters of a token that nobody guesses


def command(
    library: options.LibraryOption = None,
    http: Annotated[
        bool, typer.Option("--http", help="Over HTTP on this machine, in place of stdin and stdout.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="With --http; 0 takes one that is free.")
    ] = 7879,
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="Let agents tag photos, and copy them to folders of this machine.")
    ] = False,
    device: options.DeviceOption = None,
) -> None:
    """Give agents the library as tools (MCP), until they hang up or it is stopped.

    Agents start it themselves and talk over stdin and stdout. With --http the address and a token are printed on
    stderr; $MMSEARCH_TOKEN sets the token. Needs mmsearch[mcp].
    """
    from mmsearch.errors import MMSearchError

    try:
        from mmsearch.server.mcp.serving import make
    except ImportError as missing:
        raise MMSearchError(
            f"tools for agents need more: pip install 'mmsearch[mcp]' ({missing})", code="needs-mcp"
        ) from missing

    logging.getLogger("mmsearch.server").setLevel(logging.WARNING)
    with options.opened(library, must_exist=False, device=device) as found:
        server = make(found, allow_writes)
        if http:
            _over_http(server, port)
            return
        # What waits for stdin is a thread that nothing wakes: a signal ends the process at once, as losing it would.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with contextlib.redirect_stdout(streams.unguarded(sys.stdout)):  # the protocol is JSON, which commands nothing
            server.run("stdio")


def _over_http(server: MCPServer[None], port: int) -> None:
    """Serve until a signal comes; exit code 130 where that is Ctrl-C."""
    import uvicorn

    from mmsearch.errors import MMSearchError
    from mmsearch.server.mcp.http import PATH, http_app
    from mmsearch.server.options import ServerOptions, new_token

    given = os.environ.get(TOKEN)
    if given is not None and len(given) < SHORTEST:
        raise typer.BadParameter(
            f"must have at least {SHORTEST} characters, so that nobody guesses it", param_hint=TOKEN
        )
    chosen = ServerOptions(token=given or new_token())
    try:
        listening = socket.create_server(("127.0.0.1", port), backlog=64)
    except OSError as error:
        text = f"cannot listen on port {port}: {error.strerror or error}; choose another one"
        raise MMSearchError(text, code="no-port") from error
    with listening:
        formatting.say(f"serving agents at http://127.0.0.1:{listening.getsockname()[1]}{PATH}; Ctrl-C ends it")
        formatting.say(f"they send: Authorization: Bearer {'$' + TOKEN if given else chosen.token}")
        config = uvicorn.Config(
            http_app(server, chosen), ws="none", log_config=None, access_log=False, server_header=False,
            proxy_headers=False, timeout_graceful_shutdown=5, h11_max_incomplete_event_size=2**15,
        )  # fmt: skip
        signal.signal(signal.SIGTERM, _terminated)  # the server raises the signal that ended it again
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except _Terminated:
            return
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a server as it should be ended."""


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated
