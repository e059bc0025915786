"""The MCP server over HTTP: streamable, behind a token, for this machine alone."""

from __future__ import annotations

import hmac

from mcp.server.mcpserver import MCPServer
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Scope

from mmsearch.server.errors import Refused
from mmsearch.server.options import ServerOptions
from mmsearch.server.security import Gate

PATH = "/mcp"


class BearerGate(Gate):
    """A ``Gate`` for programs: the token comes in a header, never in an address or a cookie."""

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        super().__init__(app, options)
        self._bearer = options.token.encode()

    def _entrance(self, scope: Scope, headers: Headers) -> RedirectResponse | None:
        return None

    def _who(self, headers: Headers) -> str:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._bearer):
            return "bearer"
        text = "send the token of this server as Authorization: Bearer"
        raise Refused(401, "no-token", text, {"WWW-Authenticate": "Bearer"})


def http_app(server: MCPServer[None], options: ServerOptions) -> ASGIApp:
    """The ASGI application; what has no token, or calls the server by another name, gets no further than the gate."""
    return BearerGate(server.streamable_http_app(streamable_http_path=PATH), options)
