"""Tools for agents: a library over the Model Context Protocol.  Needs ``mmsearch[mcp]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from mmsearch.library.library import Library

__all__ = ["server"]


def server(library: Library, allow_writes: bool = False) -> MCPServer[None]:
    """The server that gives agents a library, which stays open and belongs to the caller; not yet connected.

    Nothing is changed or written but thumbnails, unless ``allow_writes``.
    """
    from mmsearch.server.mcp.serving import make

    return make(library, allow_writes)
