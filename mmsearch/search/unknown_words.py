"""Words of a query that a model most likely cannot read: of another language, made up, or very rare.

A vocabulary of pieces has common words whole and makes others of parts.  A word of nothing but short parts was too rare
to learn what it means, unless captions that the embedded model was trained with have it.
"""

from __future__ import annotations

import functools
import re
from importlib import resources

from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.texts import TextEncoder
from mmsearch.language import nouns

LONG = 4  # letters of a piece that may say what a word means
_WORD = re.compile(r"[^\W\d_]+")
_MANY_LANGUAGES = "\u2581"  # begins words in vocabularies of SentencePiece, those of models for many languages


def unknown_words(text: str, encoder: Encoder) -> list[str]:
    """Words of a text that an encoder most likely cannot read, in their order; of one for many languages none."""
    return [word for word in in_short_parts(text, encoder) if not _is_known(word.lower())]


def in_short_parts(text: str, encoder: Encoder) -> list[str]:
    """Words of a text of which the vocabulary of an encoder has short parts only; of one for many languages none."""
    if encoder.folder is None or not (encoder.folder / "tokenizer.json").is_file():
        return []
    tokens = TextEncoder.load(encoder.folder / "tokenizer.json", encoder.card.tokens)  # the one that the encoder has
    words = dict.fromkeys(_WORD.findall(text))
    return [word for word in words if _has_short_parts(word, tokens.parts(word))]


def _has_short_parts(word: str, pieces: list[str]) -> bool:
    """Short words are names of cameras, as "IMG", more often than not: they have no parts that could tell."""
    if any(_MANY_LANGUAGES in piece for piece in pieces):
        return False
    longest = max((len(piece.removeprefix("##").removesuffix("</w>")) for piece in pieces), default=LONG)
    return "[UNK]" in pieces or (len(word) >= LONG and len(pieces) > 1 and longest < LONG)


def _is_known(word: str) -> bool:
    """Whether it is a noun that mmsearch knows, or stands in captions that the embedded model was trained with."""
    return nouns.find(word) is not None or word in seen()


@functools.cache
def seen() -> frozenset[str]:
    """Words in short parts that captions have: ``training/shipped/seen_words.py`` makes the list."""
    return frozenset((resources.files("mmsearch.language") / "seen_words.txt").read_text("utf-8").split())
