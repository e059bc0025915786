"""What a person may call a tag, and when two names are the same tag."""

from __future__ import annotations

import unicodedata

from mmsearch.errors import TagError

LONGEST = 100  # characters of a tag
_APART = {"Zl", "Zp"}  # categories of what begins another line
_HIDDEN = {"Cc", "Cs"}  # … and of what nobody can read: control characters, half letters
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_UNSEEN = frozenset("ZCM")  # beginnings of the categories of what nobody sees alone; newer letters than Python's are Cn


def tag_name(text: str) -> str:
    """A tag as it is stored: in Unicode's composed form, without spaces around it and with single ones in it.

    Raises TagError for what is none: nothing, several lines, a comma, which stands between tags, control characters,
    more than ``LONGEST`` characters.
    """
    if any(unicodedata.category(char) in _APART or char in "\n\r\v\f\x85" for char in text.strip()):
        raise TagError(text, "it has several lines; a tag is one")
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    kinds = {unicodedata.category(char) for char in name}
    if not any(kind[0] not in _UNSEEN or kind in ("Cn", "Co") for kind in kinds):
        raise TagError(text, "it has no letter, digit or sign")
    if "," in name:
        raise TagError(text, "it has a comma, which stands between tags; give several tags one by one")
    if kinds & _HIDDEN or _TURNING.intersection(name):
        raise TagError(text, "it has a character that cannot be seen")
    if len(name) > LONGEST:
        raise TagError(text, f"it has {len(name):,} characters; at most {LONGEST} are taken")
    return name


def folded(text: str) -> str:
    """What two spellings of one tag have in common: neither capitals nor the way of composing letters count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def tag_key(text: object) -> str | None:
    """The tag ``folded``; None for what is none, or is not written as ``tag_name`` writes it."""
    try:
        return folded(text) if isinstance(text, str) and tag_name(text) == text else None
    except TagError:
        return None
