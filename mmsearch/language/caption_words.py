"""Words that captions often have: ``caption_words.txt``.

Made by ``mmsearch/training/shipped/text_adapter.py`` from the captions that the embedded model was trained with.
"""

from __future__ import annotations

import functools
from importlib import resources


@functools.cache
def caption_words() -> frozenset[str]:
    """In lower case, plurals by themselves; stop words are not among them."""
    return frozenset((resources.files("mmsearch.language") / "caption_words.txt").read_text("utf-8").split())
