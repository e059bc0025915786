"""Words as full-text search stores and asks them: one rule for both, so that what was written is found.

A text is brought to Unicode's compatibility form, taken apart at all that is neither letter, mark nor digit, and each
word is made plain (``language/letters.py``).  Signs such as emoji are words of their own, by their number.  In scripts
that put no spaces between words, every two signs that stand side by side are a word, and the last one of a row is one
more: so any part of a row is found, as a phrase of such pairs, and a single sign as their beginning (bigrams; Ogawa and
Matsuda 1997, Overlapping statistical word indexing).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from mmsearch.language.letters import plain

# Thai to Tibetan, Myanmar, Khmer, then Chinese, Japanese and Korean.  Korean has spaces, but puts endings to its words.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_ROW = re.compile(f"[{_UNSPACED}]+")


_plain = functools.lru_cache(2**14)(plain)  # texts have the same words again and again


class _Parts(dict[int, str]):
    """Character -> itself where it belongs to a word, a word for a sign, nothing for what is not seen, else a space."""

    def __missing__(self, code: int) -> str:
        self[code] = part = _part(chr(code))
        return part


def _part(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Cf" or "\ufe00" <= char <= "\ufe0f":  # joiners, and how a sign is shown
        return ""
    if kind == "So":
        return f" u{ord(char):x} "
    return char if char.isalnum() or kind in ("Mn", "Mc") else " "


_PARTS = _Parts()


class _Kinds(dict[int, str]):
    """Character -> "w" in a word, "u" in a row without spaces, "s" for a sign, else a space: always one character."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if _ROW.match(char):
            kind = "u"
        elif unicodedata.category(char) == "So":
            kind = "s"
        else:
            kind = "w" if _part(char).strip() or _part(char) == "" else " "
        self[code] = kind
        return kind


_KINDS = _Kinds()
_PIECE = re.compile("w+|u|s")


def written(text: str) -> list[str]:
    """The words of a text with their capitals and accents, in Unicode's compatibility form."""
    readable = text.encode("utf-8", "ignore").decode()  # without lone surrogates, which SQLite does not take
    return unicodedata.normalize("NFKC", readable).translate(_PARTS).split()


def stored(text: str) -> str:
    """A text as it stands in the table ``words``."""
    if text.isascii():
        return text.lower()  # FTS5 takes it apart at the same signs
    words = [_plain(word) for word in written(text)]
    joined = " ".join(words)
    if _ROW.search(joined) is None:
        return joined
    return " ".join(piece for word in words for piece in _pieces(word, ends=True))


def expression(words: Sequence[str], begins: bool = False) -> str:
    """What FTS5 is asked for these words, beside each other; with ``begins`` the last may only begin so.

    Empty where nothing is left of them.
    """
    asked = [one for word in words if (one := plain(word))]
    if not asked:
        return ""
    *others, last = asked
    pieces = [piece for word in others for piece in _pieces(word, ends=True)]
    own = list(_pieces(last, ends=False))
    begins = begins or (len(own[-1]) == 1 and _ROW.match(own[-1]) is not None)  # one sign: the pairs that it begins
    return f'"{" ".join([*pieces, *own])}"{" *" if begins else ""}'


def _pieces(word: str, ends: bool) -> Iterator[str]:
    """The word, or the pairs in its rows; then the last sign of each row, of the last one only where it ``ends``."""
    position = 0
    for row in _ROW.finditer(word):
        if row.start() > position:
            yield word[position : row.start()]
        signs, position = row.group(), row.end()
        yield from (signs[at : at + 2] for at in range(len(signs) - 1))
        if len(signs) == 1 or ends or position < len(word):
            yield signs[-1]
    if position < len(word):
        yield word[position:]


def pieces_of(stored_text: str) -> set[str]:
    """The different words of a text that ``stored`` made."""
    return set(stored_text.translate(_PARTS).split())


def marked(text: str, words: Iterable[str]) -> list[tuple[int, int, frozenset[str]]]:
    """Words, signs in rows and emoji of a text: begin, end, and which of ``words``, as they are stored, each has."""
    wanted = frozenset(words)
    kinds, found = text.translate(_KINDS), []
    for piece in _PIECE.finditer(kinds):
        start, end = piece.span()
        if kinds[start] == "u":
            pair = plain(text[start : end + (kinds[end : end + 1] == "u")])
            own = {pair, pair[:1]} & wanted
        else:
            own = pieces_of(stored(text[start:end])) & wanted
        found.append((start, end, frozenset(own)))
    return found
