"""How common a word is in what people write about photos: ``word_rates.tsv``, made from captions and general English.

Small libraries tell little of that: of 17 photos one with "dog" and one with "4711" look equally rare.
``mmsearch/training/shipped/word_rates.py`` makes the file, and says from what.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources


@functools.cache
def word_rates() -> Mapping[str, float]:
    """Plain word (``letters.plain``) -> the share of texts that it stands in, in (0, 1].

    Words that are not there, names, numbers and those of other languages, stand in less than one of 500.
    """
    lines = (resources.files("mmsearch.language") / "word_rates.tsv").read_text("utf-8").splitlines()
    return {word: float(rate) for word, _, rate in (line.partition("\t") for line in lines)}
