"""What of a folder is left out: patterns with the rules of a .gitignore file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from mmsearch.errors import SourceError

_SPECIAL = re.compile(r"([\\*?\[\]!# ])")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_ANY_NAME = "/" + "\0" * 99  # a file that cannot be: what leaves it out leaves out all that is in its folder


class Exclusions:
    """Patterns of names and paths below ``root``, an absolute path.

    The rules are gitignore's (https://git-scm.com/docs/gitignore): a pattern with a slash within is a path from the
    root on, one without a name anywhere, one with a slash at its end a folder; ``**`` is any number of folders, and
    ``!`` takes back what an earlier one left out.  Besides, letters are compared without case, braces are what they
    are to a shell (``*.{gif,png}``), an absolute path or one with ``~`` may lie below the root, and what is called
    exactly like a pattern is left out too, such as a folder ``[2024] trip``.  Raises SourceError for a pattern that
    says nothing, or that leaves out the root itself.
    """

    def __init__(self, patterns: Sequence[str] = (), root: str = "/") -> None:
        self._origins: list[int] = []  # of each line, the number of its pattern
        self._unused = set(range(len(patterns)))
        self._patterns = tuple(patterns)
        if not patterns:
            return
        from pathspec import GitIgnoreSpec

        lines = []
        for number, pattern in enumerate(patterns):
            for line in _lines(pattern, root):
                lines.append(line.casefold())
                self._origins.append(number)
        try:
            self._spec = GitIgnoreSpec.from_lines(lines)
        except ValueError as error:
            raise SourceError(f"{', '.join(patterns)}: no pattern of names or paths ({error})") from error

    def match(self, relative: str, folder: bool = False) -> bool:
        """Whether a file or folder is left out, by its path from the root on with ``/`` between its parts."""
        if not self._patterns:
            return False
        path = (relative + "/" if folder else relative).casefold()
        left_out = bool(self._spec.check_file(path).include)
        if left_out and self._unused:
            for number, line in zip(self._origins, self._spec.patterns, strict=True):
                if number in self._unused and line.match_file(path) is not None:
                    self._unused.discard(number)
        return left_out

    def match_contents(self, relative: str) -> bool:
        """Whether all that can be in a folder is left out."""
        return self.match(relative + _ANY_NAME)

    def unused(self) -> set[str]:
        """The patterns that have left out nothing so far."""
        return {self._patterns[number] for number in self._unused}


def _lines(pattern: str, root: str) -> Iterator[str]:
    """A pattern as gitignore writes it: several lines where it may mean several things."""
    text = os.path.expanduser(pattern)
    for one in _expanded(text):
        below = _below(one, root) if os.path.isabs(one) else None
        if below is not None:
            yield f"/{below}"
        plain = one.replace(os.sep, "/").removeprefix("./")
        if below is None or plain != one:
            yield _kept(plain)
    if any(character in text for character in "[{"):
        below = _below(text, root) if os.path.isabs(text) else None
        yield _SPECIAL.sub(r"\\\1", text.removeprefix("./") if below is None else f"/{below}")


def _expanded(text: str) -> list[str]:
    """``a.{b,c}`` as ``a.b`` and ``a.c``."""
    found = _BRACES.search(text)
    if found is None:
        return [text]
    before, after = text[: found.start()], text[found.end() :]
    return [one for part in found[1].split(",") for one in _expanded(before + part + after)]


def _below(path: str, root: str) -> str | None:
    """Where an absolute path lies below the root; None where it does not.  Raises SourceError for the root itself."""
    for way in (os.path.normpath(path), os.path.realpath(path)):
        if root == way or root.startswith(way.rstrip(os.sep) + os.sep):
            raise SourceError(f"{path} is or holds the folder {root} itself: nothing would be left of it")
        if way.startswith(root.rstrip(os.sep) + os.sep):
            return way[len(root.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
    return None


def _kept(line: str) -> str:
    """A line of which gitignore takes every character: no comment, and spaces at its end."""
    line = f"\\{line}" if line.startswith("#") else line
    stripped = line.rstrip(" ")
    return stripped + r"\ " * (len(line) - len(stripped))
