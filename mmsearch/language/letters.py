"""Texts as they are compared: capitals, accents, ligatures and full-width letters do not matter, in any script."""

from __future__ import annotations

import unicodedata

# Letters that Unicode does not take apart, and whose names do not say what they are made of.
_OTHERS = {"æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i", "ȷ": "j", "ŋ": "ng"}


def plain(text: str) -> str:
    """``text`` without what does not matter when texts are compared.

    One rule for all scripts: Unicode's compatibility form (NFKC: "ﬁ" is "fi", "Ａ" is "A"), small letters by case
    folding ("ß" is "ss"), then letters without the marks on them.  Marks are what Unicode places above, below or
    through a letter, with the points of Hebrew and Arabic; those that make another letter stay: the vowel signs of
    India and Thailand and the voicing of Japanese.  Letters that Unicode does not take apart count as what their name
    says before WITH: "Ł", LATIN CAPITAL LETTER L WITH STROKE, is "l".  Invisible signs are left out.

    >>> plain("Łódź Øresund Straße Ёлка ﬁnal ＩＭＧ")
    'lodz oresund strasse елка final img'
    """
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", apart.translate(_PLAIN).casefold())


class _Plain(dict[int, str]):
    """Character -> what is left of it, worked out when it is asked for first."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = left = _left(char)
        return left


_PLAIN = _Plain()


def _left(char: str) -> str:
    if char in _OTHERS:
        return _OTHERS[char]
    mark = unicodedata.combining(char)  # the class that says where a mark stands; 7 to 9 make other letters of letters
    if mark == 1 or 10 <= mark <= 36 or mark >= 200:
        return ""
    if "\ufe00" <= char <= "\ufe0f" or (unicodedata.category(char) == "Cf"):  # how a sign is shown; joiners, hyphens
        return ""
    base, said, _ = unicodedata.name(char, "").partition(" WITH ")
    if said and char.isalpha():
        try:
            return unicodedata.lookup(base).casefold()
        except KeyError:
            return char
    return char
