"""What a person types, to a ``Query``.  The grammar is in docs/query-language.md; ``writer.py`` is the way back.

What a path leads to is asked of ``Examples``: nothing here looks at a disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

from mmsearch.errors import QueryError, QuerySyntaxError
from mmsearch.media.formats import picture_suffixes
from mmsearch.query.dates import reach
from mmsearch.query.fields import CONDITIONS, ELSEWHERE, choose, goes_on, read
from mmsearch.query.lexer import QUOTES, Piece, Pointing, first_word, is_quoted, next_word, quoted
from mmsearch.query.model import (
    AnyOf,
    Condition,
    Example,
    Order,
    Query,
    Term,
    Words,
    descends,
    usual_order,
)

_ALIASES = {"mp": "megapixels", "bytes": "size"}
FIELDS = (*CONDITIONS, *_ALIASES, "words", "like", "sort")
_SORTS: dict[str, Order] = {"score": "score", "date": "date", "name": "name", "size": "size"}
_ENDS = {"asc": False, "desc": True}
_MINUS = "-–−"  # as it is typed, and what programs for texts make of it

_FIELD = re.compile(r"([^\W\d_]{2,}(?:[-_][^\W\d_]+)*):(?=\S)(?!//|:)")  # http:// and std::vector are words
_WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+):(?=[^\s\d])", re.ASCII)  # 10:30 and 16:9 are words
_WORD = re.compile(r"\S+")
_AFTER_QUOTES = re.compile(r"[.,;:!?]*(?!\S)")  # punctuation says nothing
# Fields whose values may have spaces in them.
_SPACED = (
    "album", "camera", "city", "cluster", "codec", "in", "label", "lens", "like", "near", "person", "tag", "words",
)  # fmt: skip


class Examples(Protocol):
    """Tells what paths in a query lead to: files of this machine (``files.py``), photos of a library, nothing."""

    def exists(self, path: str) -> bool:
        """Whether something is there, a file or a folder."""
        ...

    def resolve(self, path: str) -> str:
        """The absolute path of a picture that is given as an example.  Raises QueryError, which says why it is none."""
        ...


def parse(
    words: Sequence[str],
    examples: Examples,
    options: Sequence[tuple[str, str]] = (),
    today: date | None = None,
    beside: Sequence[Term] = (),
) -> Query:
    """Command-line words to a query.

    Words that stand next to each other form one phrase, so that ``a dog on a beach`` needs no quotes; one with a space
    in it is a phrase of its own, in which operators and fields are understood too.  ``options`` are names of fields
    with their values, ``not`` with what to leave out, ``where`` with conditions; dashes before a name are shown in
    errors and mean nothing.  ``today`` is the date to count from.  ``beside`` are terms
    that no text can say; they follow those of the words.

    Raises what ``examples`` raises for a path, with its column, QuerySyntaxError where nothing is left, and with the
    column where the text is wrong.
    """
    reader = _Reader(examples, today or date.today())
    line = " ".join(words)
    start = 0
    with Pointing(line):
        for word in words:
            reader.argument(Piece(word, start), alone=len(words) == 1)
            start += len(word) + 1
        reader.close()
    for name, value in options:
        before = f"{name} "
        with Pointing(before + value):
            reader.option(name.lstrip("-"), Piece(value, len(before)))
    reader.terms += beside
    return reader.query()


def parse_conditions(text: str, examples: Examples, today: date | None = None) -> tuple[Condition, ...]:
    """A text of conditions alone, such as ``date:2024 -type:png``.  Raises QuerySyntaxError with the column."""
    reader = _Reader(examples, today or date.today())
    with Pointing(text):
        reader.option("where", Piece(text, 0))
    return tuple(reader.conditions)


@dataclass
class _Phrase:
    """Plain words that stand next to each other."""

    weight: float
    at: int
    words: list[str] = field(default_factory=list)


@dataclass
class _Reader:
    """Collects what a query's text says, in its order."""

    examples: Examples
    today: date
    terms: list[Term] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    order: tuple[Order, bool] | None = None
    phrase: _Phrase | None = None
    plus: int | None = None  # column of a + that nothing has followed yet
    last: tuple[str, str] | None = None  # a field and its value, where nothing has followed yet

    def query(self) -> Query:
        if not self.terms and not self.conditions and self.order is None:
            raise QuerySyntaxError("the query is empty: say what to look for, or give a picture")
        usual = usual_order(self.terms)
        order, descending = self.order or (usual, descends(usual))
        return Query(tuple(self.terms), tuple(self.conditions), order, descending)

    def close(self) -> None:
        """End the phrase, and the text that it is part of."""
        if self.plus is not None:
            raise QuerySyntaxError("nothing follows the +; write +word, or leave it out", self.plus)
        self._close_phrase()

    def argument(self, word: Piece, alone: bool) -> None:
        """One command-line word; ``alone`` where it is the whole query."""
        spaced = len(word.text.split()) > 1
        if spaced:
            self._close_phrase()
        if not alone and spaced and self._one_value(word.text):
            self._item(word.part(0), spaced=True, whole=True)
        else:
            self._line(word, spaced)
        if spaced:
            self.close()

    def option(self, name: str, value: Piece) -> None:
        """What a command-line option says."""
        if name == "where":
            others = _Reader(self.examples, self.today)
            others._line(value, spaced=True)
            others.close()
            if others.terms or others.order:
                raise value.wrong(
                    "only conditions can stand here, such as date:2024 or -type:png; the rest belongs to the query"
                )
            if not others.conditions:
                raise value.wrong("a condition is wanted here, such as date:2024")
            self.conditions += others.conditions
        elif name == "not":
            if not value.text.strip():
                raise value.wrong("what to leave out is wanted here")
            text = value.part(0)
            if _is_path(text.text) and (len(text.text.split()) == 1 or self.examples.exists(text.text)):
                self.terms.append(Example(self._resolved(text), exclude=True))
            else:
                self.terms.append(Words(text.text, exclude=True))
        else:
            self._field(name, value.part(0), "", 1.0, whole=True)

    def _line(self, text: Piece, spaced: bool) -> None:
        """Items with spaces between them."""
        position = 0
        while (start := next_word(text.text, position)) < len(text.text):
            position = start + self._item(text.after(start), spaced)

    def _one_value(self, text: str) -> bool:
        """Whether a word with spaces is one value whose quotes the shell has taken, as in -"red car"."""
        first, *others = (match for match in _WORD.finditer(text))
        rest, sign = _sign(first.group())
        weight = _WEIGHT.match(rest)
        named = _FIELD.match(rest[weight.end() :] if weight else rest)
        if named and named[1].lower() in FIELDS and named[1].lower() not in _SPACED:
            return False
        value = rest[(weight.end() if weight else 0) + (named.end() if named else 0) :]
        prefixed = sign == "-" or weight is not None or (named is not None and named[1].lower() in FIELDS)
        return prefixed and not is_quoted(value) and not any(_is_special(other.group()) for other in others)

    def _item(self, text: Piece, spaced: bool, whole: bool = False) -> int:
        """The first item of a text, or all of it with ``whole``; returns how many characters it takes."""
        last, self.last = self.last, None
        rest, sign = _sign(text.text)
        if sign == "+":
            self._close_phrase()
            self.plus = text.at
            if not rest or rest[0].isspace():
                return 1
        position = len(text.text) - len(rest)
        weight, found = 1.0, _WEIGHT.match(rest)
        if found:
            weight = float(found[1])
            if not 0 < weight < float("inf"):
                raise text.wrong(
                    f"a weight must be above 0, not {found[1]}; to leave out what matches a term, write -term", position
                )
            position += found.end()
        body = text.after(position)
        name = _field_name(body)
        self.plus = None
        if name is not None:
            value = body.text.index(":") + 1
            if not body.text[value:] or body.text[value].isspace():
                raise body.wrong(f"{name}: wants its value right after the colon", value)
            if found and name not in ("words", "like"):
                raise text.wrong(f"{name}: is a condition, which is met or not: it has no weight")
            taken = self._field(name, body.after(value), sign, weight, whole)
            return position + value + taken
        excluded = sign == "-"
        if is_quoted(body.text):
            inside, end = quoted(body)
            after = _AFTER_QUOTES.match(body.text, end)
            if after is None:
                raise body.wrong("a space is wanted after the closing quote", end)
            self._term(Words(inside.text, weight, excluded))
            return position + after.end()
        word = body.part(0) if whole else Piece(first_word(body.text), body.at)
        if _is_path(word.text) and (not spaced or _is_path_in_phrase(word.text)):
            if spaced and self.examples.exists(body.text):
                word = body.part(0)  # a path with spaces in it
            self._term(Example(self._resolved(word), weight, excluded))
            return position + len(word.text)
        if excluded:
            self._term(Words(word.text, weight, exclude=True))
        else:
            if last is not None and not (sign or found):
                _check_end(*last, word)
            if self.phrase is None or found:
                self._close_phrase()
                self.phrase = _Phrase(weight, text.at)
            self.phrase.words.append(word.text)
        return position + len(word.text)

    def _field(self, name: str, text: Piece, sign: str, weight: float, whole: bool) -> int:
        """The value of a field, which ``text`` begins with; returns how many characters it takes."""
        name = _ALIASES.get(name, name)
        excluded = sign == "-"
        lists = name not in ("words", "like", "sort")
        if name in ("in", "like") and not is_quoted(text.text) and self.examples.exists(text.text):
            whole, lists = True, False  # a path with spaces or commas in it
        pieces, taken = _values(text, whole, lists, name)
        if name in ("date", "taken") and not whole and len(pieces) == 1 and not is_quoted(text.text):
            taken = reach(text.text, self.today)
            pieces = [Piece(text.text[:taken], text.at)]
        self._close_phrase()
        if name == "words":
            self.terms.append(Words(pieces[0].text, weight, excluded, exact=True))
        elif name == "like":
            self.terms.append(Example(self._resolved(pieces[0]), weight, excluded))
        elif name == "sort":
            order = _order(pieces[0])
            if excluded:
                raise text.wrong("sort: cannot be excluded; to sort the other way round, write sort:date:asc")
            if self.order not in (None, order):
                raise text.wrong("sort: is there twice; leave one of them out")
            self.order = order
        else:
            fits = read(name, pieces, self.today)
            self.conditions.append(Condition(fits[0] if len(fits) == 1 else AnyOf(tuple(fits)), excluded))
        self.last = None if whole else (name, text.text[:taken])
        return taken

    def _resolved(self, path: Piece) -> str:
        """The picture that a path leads to.  Raises QueryError with the column."""
        try:
            return self.examples.resolve(path.text)
        except QueryError as error:
            raise type(error)(str(error), path.at, code=error.code) from error

    def _term(self, term: Term) -> None:
        self._close_phrase()
        self.terms.append(term)

    def _close_phrase(self) -> None:
        if self.phrase is not None:
            self.terms.append(Words(" ".join(self.phrase.words), self.phrase.weight))
            self.phrase = None


# Parts of a text


def _sign(text: str) -> tuple[str, str]:
    """What follows an operator at the beginning, and the operator: "+", "-", or "" where there is none."""
    if text.startswith("+") and not text.startswith("++"):
        return text[1:], "+"
    if text[:1] and text[0] in _MINUS and len(text) > 1 and (text[1].isalnum() or text[1] in {*QUOTES, *"./~\\"}):
        return text[1:], "-"
    return text, ""


def _is_special(word: str) -> bool:
    """Whether a word is more than a word: it has an operator, a weight, a field or a quote, or is a path."""
    named = _FIELD.match(word)
    return bool(_sign(word)[1] or _WEIGHT.match(word) or (named and named[1].lower() in FIELDS)) or (
        is_quoted(word) or _is_path_in_phrase(word)
    )


def _field_name(text: Piece) -> str | None:
    """The field that a text begins with.  Raises QuerySyntaxError for a name that is none."""
    known = re.match(r"([A-Za-z]{2,}):(?!//)", text.text)
    if known is not None and known[1].lower() in FIELDS:
        return known[1].lower()
    match = _FIELD.match(text.text)
    word = first_word(text.text)
    if match is None or not any(map(str.isalnum, word[match.end() :])) or _is_path(word):
        return None  # smile:) is a word
    said = f'write "{word}"' if not any(quote in word for quote in QUOTES) else "put all of it in quotes"
    raise text.wrong(f"{match[1]}: is no field; {_nearest(match[1])}To look for the words themselves, {said}")


def _nearest(name: str) -> str:
    """What a name that is no field may stand for, or which fields there are."""
    import difflib

    name = name.lower()
    longer = [other for other in ELSEWHERE if len(other) > 4]
    near = (
        [name] * (name in ELSEWHERE)
        or difflib.get_close_matches(name, longer, 1, cutoff=0.85)
        or difflib.get_close_matches(name, FIELDS, 1)
    )
    if not near:
        return f"the fields are {', '.join(FIELDS)}. "
    return f"did you mean {ELSEWHERE.get(near[0], near[0] + ':')}? "


def _values(text: Piece, whole: bool, lists: bool, name: str) -> tuple[list[Piece], int]:
    """The values that a text begins with, with commas between them, and how many characters they take."""
    pieces: list[Piece] = []
    position = 0
    while True:
        if whole or (pieces and name == "near"):
            position = next_word(text.text, position)
        if is_quoted(text.text[position:]):
            inside, end = quoted(text.after(position))
            end += position
            pieces += inside.split(",") if name == "near" else [inside]
        else:
            end = position
            while end < len(text.text) and not (lists and text.text[end] == ","):
                if not whole and text.text[end].isspace():
                    break
                end += 1
            piece = Piece(text.text[position:end], text.at + position).part(0)
            if not piece.text:
                hint = ", right after the comma; put values with spaces in quotes" if pieces else ""
                raise text.wrong(f"{name}: wants a value here{hint}", position)
            pieces.append(piece)
        after = next_word(text.text, end) if whole else end
        if after == len(text.text) or (not whole and text.text[after].isspace()):
            return pieces, after
        if not lists or text.text[after] != ",":
            raise text.wrong(f"a space{' or a comma' if lists else ''} is wanted after the closing quote", after)
        position = after + 1


def _check_end(name: str, value: str, word: Piece) -> None:
    """Raises QuerySyntaxError where a value went on after a space, as in ``size:>5 MB``."""
    if name == "sort" and word.text.lower() in _ENDS and ":" not in value:
        raise word.wrong(f"write sort:{value}:{word.text.lower()}, without a space")
    if goes_on(name, value, word.text):
        raise word.wrong(
            f"{name}:{value} {word.text} has a space in it; leave it out or put the value in quotes. To look for the "
            f'word itself, write "{word.text}"'
        )


def _order(piece: Piece) -> tuple[Order, bool]:
    text = piece.part(1) if piece.text.startswith("-") else piece
    name, *end = text.split(":")
    order = choose(name, _SORTS, "order")
    descending = True if text is not piece else descends(order)
    if end:
        descending = choose(text.part(len(name.text) + 1), _ENDS, "direction")
    return order, descending


def _is_path(word: str) -> bool:
    named = "." in word and len(word.split()) == 1
    return _is_path_in_phrase(word) or (named and Path(word).suffix.lower() in picture_suffixes())


def _is_path_in_phrase(word: str) -> bool:
    """Whether it is written as a path; a name such as cat.jpg may be part of a phrase."""
    starts = ("./", "../", "/", "~/") if os.sep == "/" else ("./", "../", "/", "~/", ".\\", "..\\", "\\", "~\\")
    return word not in ("/", "\\") and (word.startswith(starts) or bool(Path(word).drive))
