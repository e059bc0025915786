"""Parts of a query's text, and messages that point into it."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from mmsearch.errors import QueryError, QuerySyntaxError

SHOWN = 100  # characters of a query in a message
# Opening quotes, and what closes them.  Word processors and telephones put the round and the pointed ones.
QUOTES = {'"': '"', "“": "”", "„": "“”", "«": "»"}


class Piece(NamedTuple):
    """A part of a query's text, and where it begins there."""

    text: str
    at: int

    def part(self, start: int, end: int | None = None) -> Piece:
        """Without spaces around it."""
        text = self.text[start:end]
        return Piece(text.strip(), self.at + start + len(text) - len(text.lstrip()))

    def after(self, position: int) -> Piece:
        """What follows, as it is."""
        return Piece(self.text[position:], self.at + position)

    def split(self, separator: str) -> list[Piece]:
        parts, start = [], 0
        for text in self.text.split(separator):
            parts.append(self.part(start, start + len(text)))
            start += len(text) + len(separator)
        return parts

    def wrong(self, message: str, position: int = 0) -> QuerySyntaxError:
        """An error that points at this piece, or at a position in it."""
        return QuerySyntaxError(message, self.at + position)


class Pointing:
    """Within it, errors with a column get the line they are about, and a mark below it."""

    def __init__(self, line: str) -> None:
        self._line = line

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, QueryError) and error.column is not None:
            raise type(error)(f"{error}\n{_pointed(self._line, error.column)}", error.column, code=error.code) from None


def _pointed(line: str, column: int) -> str:
    """The line, cut where it is long, and a caret below the column."""
    readable = "".join(c if c.isprintable() else "?" for c in line)
    start = max(0, column - SHOWN // 2) if len(line) > SHOWN else 0
    before, after = readable[start:column], readable[column : start + SHOWN]
    before = ("…" if start else "") + before
    after += "…" if start + SHOWN < len(line) else ""
    return f"  {before}{after}\n  {' ' * sum(map(_columns, before))}^"


def _columns(character: str) -> int:
    """How many columns of a terminal it takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def next_word(text: str, position: int) -> int:
    """Where it goes on after spaces."""
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def first_word(text: str) -> str:
    end = 0
    while end < len(text) and not text[end].isspace():
        end += 1
    return text[:end]


def is_quoted(text: str) -> bool:
    """Whether a text begins with quotes."""
    return text[:1] in QUOTES


def quoted(text: Piece) -> tuple[Piece, int]:
    """What stands in the quotes that a text begins with, and where it goes on; "" inside stands for one quote."""
    closing = QUOTES[text.text[0]]
    end = 1
    while True:
        if end == len(text.text):
            raise text.wrong('the closing quote is missing; write "red car"')
        if text.text[end] not in closing:
            end += 1
        elif closing == '"' and text.text.startswith('""', end):
            end += 2
        else:
            break
    content = text.text[1:end]
    inside = Piece(content.replace('""', '"') if closing == '"' else content, text.at + 1)
    if not inside.text.strip():
        raise text.wrong("there is nothing between the quotes")
    return inside, end + 1


def in_quotes(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
