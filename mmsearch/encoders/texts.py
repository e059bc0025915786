"""Texts to token ids, the way a model was trained to see them, without importing that model's library."""

from __future__ import annotations

import functools
import html
import re
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mmsearch.encoders.protocol import TokenRules
from mmsearch.media.filesystem import read_regular

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SURROGATES = re.compile("[\ud800-\udfff]")  # half a character: no UTF-8 text has one, a file name can


def clean(text: str, how: str) -> str:
    """The text as open_clip's tokenizers clean it; ``how`` is ``TokenRules.clean``."""
    if how == "none":
        return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
    # ftfy takes 60 ms to import; of printable ASCII it changes HTML entities only.
    if not (text.isascii() and text.isprintable()) or "&" in text:
        import ftfy

        text = ftfy.fix_text(text)
    text = html.unescape(html.unescape(text))
    if how == "canonicalize":
        text = text.replace("_", " ").translate(_NO_PUNCTUATION)
    text = " ".join(text.split())
    return text if how == "whitespace" else text.lower()


class TextEncoder:
    """Turns texts into rows of token ids.  Safe to call from several threads."""

    def __init__(self, tokenizer: Tokenizer, rules: TokenRules) -> None:
        self._tokenizer, self._rules = tokenizer, rules
        tokenizer.no_padding()
        tokenizer.enable_truncation(rules.context)

    @classmethod
    @functools.lru_cache(maxsize=4)  # an encoder and its reranker have the same one
    def load(cls, file: Path, rules: TokenRules) -> TextEncoder:
        return cls(Tokenizer.from_buffer(read_regular(file)), rules)

    def token_id(self, token: str) -> int:
        """The number of a token; that of padding where there is no such token."""
        found = self._tokenizer.token_to_id(token)
        return self._rules.pad_id if found is None else int(found)

    def pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The pieces of words that ids stand for."""
        return tuple(self._tokenizer.id_to_token(number) or "" for number in ids)

    def parts(self, word: str) -> list[str]:
        """The pieces that a word is made of in this vocabulary."""
        found: list[str] = self._tokenizer.encode(clean(word, self._rules.clean), add_special_tokens=False).tokens
        return found

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """n texts -> ids (n, t) int64, padded on the right to the model's context or to the longest."""
        cleaned = [clean(text, self._rules.clean) for text in texts]
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(cleaned)]
        longest = max((len(row) for row in rows), default=1)
        width = self._rules.context if self._rules.fixed_length else longest
        ids = np.full((len(rows), width), self._rules.pad_id, np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
        if self._rules.strip_sep_id is not None:
            ids[ids == self._rules.strip_sep_id] = 0
        return ids
