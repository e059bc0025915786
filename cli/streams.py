"""Standard output and error as people's terminals can take them: whatever a name says, it commands no terminal.

All that is printed goes through ``Guarded``, which writes control characters as escapes; what may command a terminal
(colours, bars, pictures) asks for the stream below by ``unguarded``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# C0 but for tabs and ends of lines, DEL, C1, other ends of lines, and what turns the direction of text around.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def escaped(text: str, lines: bool = True) -> str:
    """The text with nothing in it that commands a terminal; without ``lines`` its ends of lines are escaped too."""
    if not lines:
        text = text.replace("\n", "\\n")
    return _COMMANDS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def cell(text: str, style: Any = "") -> Text:
    """A text for a table of Rich's, as it is: without markup, and nothing in it commands a terminal."""
    from rich.text import Text

    return Text(escaped(text), style)


class Guarded:
    """A text stream that escapes what commands a terminal; all else is that of the stream below."""

    def __init__(self, below: TextIO) -> None:
        self.below = below

    def write(self, text: str) -> int:
        self.below.write(escaped(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # click would write to it where the stream is ASCII
            raise AttributeError("bytes go to the stream below: see unguarded")
        return getattr(self.below, name)


def unguarded(stream: TextIO) -> TextIO:
    """The stream itself, for what may command a terminal."""
    return stream.below if isinstance(stream, Guarded) else stream


def console(stderr: bool = False, **options: Any) -> Console:
    """Rich's, on standard output or error.  What it is given is not escaped: see ``cell``."""
    from rich.console import Console

    class Passing(Console):
        """Rich's own would end the program with 1 where the reader went away."""

        def on_broken_pipe(self) -> None:
            raise

    return Passing(file=unguarded(sys.stderr if stderr else sys.stdout), **options)


def guard() -> None:
    """Guard both streams of this process; one that is closed takes what comes and leads nowhere.

    A number that a closed stream leaves free would go to the next file that is opened, and what libraries in C print
    would be written into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = os.fdopen(1 if name == "stdout" else 2, "w", encoding="utf-8")  # leads nowhere, see above
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
        if not isinstance(stream, Guarded):
            stream = cast("TextIO", Guarded(stream))
        setattr(sys, name, stream)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8")


def flush() -> None:
    """What is not written yet goes out; raises OSError once where it cannot, and not again when Python ends.

    A reader that went away is no error.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise


def reader_gone() -> bool:
    """Whether nobody reads standard output or error any more; a pipe to a process of our own may break too."""
    if not hasattr(select, "poll"):  # Windows, where nobody knows
        return True
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)  # what is asked for by nobody: errors and ends are told always
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
