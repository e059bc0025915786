"""What of a folder is left out: patterns with the rules of a .gitignore file."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmsearch.errors import PatternError
from mmsearch.media.remote_path import is_absolute, is_remote

if TYPE_CHECKING:
    from pathspec import RegexPattern

_SPECIAL = re.compile(r"([\\*?\[\]!# ])")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_ANY_NAME = "/" + "\0" * 99  # a file that cannot be: what leaves it out leaves out all that is in its folder


class Exclusions:
    """Patterns of names and paths below ``root``, an absolute path.

    The rules are gitignore's (https://git-scm.com/docs/gitignore): a pattern with a slash within is a path from the
    root on, one without a name anywhere, one with a slash at its end a folder; ``**`` is any number of folders, and
    ``!`` brings back what an earlier one left out, but nothing of a folder that is left out itself.  Besides, letters
    are compared without case and however their accents are written (composed or not), braces are what they are to a
    shell (``*.{gif,png}``), an absolute path or one with ``~`` may lie below the root, and what is called exactly
    like a pattern is left out too, such as a folder ``[2024] trip``.  Raises PatternError for a pattern that says
    nothing, or that leaves out the root itself.
    """

    def __init__(self, patterns: Sequence[str] = (), root: str = "/") -> None:
        self._unused = set(range(len(patterns)))
        self._patterns = tuple(patterns)
        self._negations = {number for number, pattern in enumerate(patterns) if negates(pattern)}
        self._lines: list[tuple[int, RegexPattern]] = []  # with the numbers of their patterns
        if not patterns:
            return
        from pathspec import GitIgnoreSpec

        lines = [
            # pathspec takes ``x/**`` for the folder x too, gitignore for what is in it alone
            (number, _compared(f"{line}/*" if line.endswith("/**") else line))
            for number, one in enumerate(patterns)
            for line in _lines(one, root)
            if line
        ]
        try:
            parsed = GitIgnoreSpec.from_lines([line for _, line in lines]).patterns
        except ValueError as error:
            raise PatternError(f"{', '.join(patterns)}: no pattern of names or paths ({error})") from error
        self._lines = [(number, line) for (number, _), line in zip(lines, parsed, strict=True)]

    def match(self, relative: str, folder: bool = False) -> bool:
        """Whether a file or folder is left out, by its path from the root on with ``/`` between its parts.

        The folders that it is in must have been asked about before: nothing of one that is left out is ever kept.
        """
        if not self._lines:
            return False
        path = _compared(relative + "/" if folder else relative)
        left_out = next((bool(line.include) for _, line in reversed(self._lines) if _speaks_of(line, path)), False)
        if self._unused if left_out else self._unused & self._negations:
            self._note_used(path, left_out)
        return left_out

    def _note_used(self, path: str, left_out: bool) -> None:
        """Which patterns leave this path out; where it is not left out, which ones bring it back."""
        out_so_far = False
        for number, line in self._lines:
            if not _speaks_of(line, path):
                continue
            if left_out if line.include else out_so_far and not left_out:
                self._unused.discard(number)
            out_so_far = bool(line.include)

    def match_contents(self, relative: str) -> bool:
        """Whether all that can be in a folder is left out; not where something in it may be brought back."""
        return not self._negations and self.match(relative + _ANY_NAME)

    def unused(self) -> set[str]:
        """The patterns that have left out nothing, or brought back nothing, so far."""
        return {self._patterns[number] for number in self._unused}


def negates(pattern: str) -> bool:
    """Whether a pattern brings back what an earlier one left out."""
    return pattern.startswith("!")


def _speaks_of(line: RegexPattern, path: str) -> bool:
    """Whether a line is about the path itself, not about a folder that it is in.

    The expressions of pathspec have one group, the slash behind the folder that a line is about.
    """
    found = line.regex.finditer(path) if line.regex is not None else ()
    return any(one.lastindex is None or one.end(one.lastindex) == len(path) for one in found)


def _compared(text: str) -> str:
    """A path or a line as it is compared: without case, accents as one letter where Unicode has it."""
    return unicodedata.normalize("NFC", text.casefold())


def _lines(pattern: str, root: str) -> Iterator[str]:
    """A pattern as gitignore writes it: several lines where it may mean several things."""
    mark = "!" if negates(pattern) else ""
    text = os.path.expanduser(pattern[len(mark) :])
    for one in _expanded(text):
        below = _below(one, root) if is_absolute(one) else None
        if below is not None:
            yield f"{mark}/{below}"
        plain = one.replace(os.sep, "/").removeprefix("./")
        if below is None or plain != one:
            yield mark + _kept(plain)
    if any(character in text for character in "[{"):
        below = _below(text, root) if is_absolute(text) else None
        yield mark + _SPECIAL.sub(r"\\\1", text.removeprefix("./") if below is None else f"/{below}")


def _expanded(text: str) -> list[str]:
    """``a.{b,c}`` as ``a.b`` and ``a.c``."""
    found = _BRACES.search(text)
    if found is None:
        return [text]
    before, after = text[: found.start()], text[found.end() :]
    return [one for part in found[1].split(",") for one in _expanded(before + part + after)]


def _below(path: str, root: str) -> str | None:
    """Where an absolute path lies below the root; None where it does not.  Raises PatternError for the root itself."""
    if is_remote(path) != is_remote(root):
        return None
    ways = (path.rstrip("/"),) if is_remote(path) else (os.path.normpath(path), os.path.realpath(path))
    for way in ways:
        if root == way or root.startswith(way.rstrip(os.sep) + os.sep):
            raise PatternError(f"{path} is or holds the folder {root} itself: nothing would be left of it")
        if way.startswith(root.rstrip(os.sep) + os.sep):
            return way[len(root.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
    return None


def _kept(line: str) -> str:
    """A line of which gitignore takes every character: no comment, and spaces at its end."""
    line = f"\\{line}" if line.startswith("#") else line
    stripped = line.rstrip(" ")
    return stripped + r"\ " * (len(line) - len(stripped))
