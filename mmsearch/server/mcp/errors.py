"""What went wrong, as a sentence that an agent reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcp.server.mcpserver.exceptions import ToolError

from mmsearch.errors import ImageError, MMSearchError
from mmsearch.server.errors import Refused
from mmsearch.server.mcp.answers import LONG, readable


def tool_error(code: str, sentence: str) -> ToolError:
    """An error with the code by which programs tell it apart."""
    return ToolError(f"{readable(sentence, LONG)} [code: {code}]")


def unknown_photo(number: int) -> ToolError:
    """Where nothing is known by an id."""
    return tool_error("unknown-photo", f"no photo has the id {number} (any more); ids come from search_photos")


@contextmanager
def explained() -> Iterator[None]:
    """Turns errors of the library into those of a tool; any other one is a bug, of which an agent sees no text."""
    try:
        yield
    except ImageError as error:  # its own sentence begins with the path
        raise tool_error(error.code, f"the picture cannot be seen: {error.reason}") from error
    except MMSearchError as error:
        raise tool_error(error.code, str(error)) from error
    except Refused as error:
        raise tool_error(error.code, str(error.detail)) from error
