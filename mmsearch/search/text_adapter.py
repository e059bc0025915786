"""Short texts, moved to where the pictures are that show what they say.

Encoders learn from captions.  What one word or a short phrase says is shown by many pictures at once, and its vector
is as near to some that do not show it.  A linear map of the text's vector, added to it, brings it to those that do: an
adapter on the text's side alone, as the CLIP-Adapter of Gao et al. 2021, so no picture has to be encoded anew.  It is
learned from the phrases of captions (``training/common/text_adapter.py``).  Long texts, and those with a word that the
captions hardly have, stay as they are: it would harm them.  What it gains: ``docs/search.md``.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsearch.encoders.protocol import Encoder, said
from mmsearch.errors import ModelError
from mmsearch.language.caption_words import caption_words
from mmsearch.language.stop_words import STOP_WORDS
from mmsearch.media.filesystem import atomic_write, read_text
from mmsearch.search import int8_rows
from mmsearch.types import Vectors

FILE = "text_adapter.npy"  # in a model folder: (dim + 1, dim), see ``TextAdapter``
WORDS = "text_adapter.txt"  # in a model folder: the words that it knows, one a line; none: those of the embedded model
SHORT = 4  # words up to which a text is moved by all of it …
FADING = 0.5  # … and for each word more by this part of what the one before was moved by …
LONG = 7  # … and from so many on not at all


@dataclass(frozen=True)
class TextAdapter:
    """The map of a model: what is added to the vector of a text is that vector with a 1 behind @ map.

    Photos are as far apart by the moved text as by the text itself, so scores stay on the scale of cosines.
    """

    map: Vectors  # (dim + 1, dim) float32
    words: frozenset[str]  # that the captions it was learned from have often enough, in lower case

    @classmethod
    def of(cls, encoder: Encoder) -> TextAdapter | None:
        """That of an encoder's model; None where it has none.  Raises ModelError for a damaged one."""
        return None if encoder.folder is None else cls.read(encoder.folder, encoder.card.dim)

    @classmethod
    @functools.cache  # each search asks; the files of a model do not change
    def read(cls, folder: Path, dim: int) -> TextAdapter | None:
        """That of a model folder; None where it has none.  Raises ModelError for a damaged one."""
        rows = int8_rows.read_if_there(folder / FILE, (dim + 1, dim))
        if rows is None:
            return None
        file = folder / WORDS
        try:
            return cls(rows, frozenset(read_text(file).split()))
        except FileNotFoundError:
            return cls(rows, caption_words())
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} cannot be used: {said(error)}; train the model again") from error

    def write(self, folder: Path) -> None:
        """Into a model folder."""
        int8_rows.write(folder / FILE, self.map)
        atomic_write(folder / WORDS, "".join(f"{word}\n" for word in sorted(self.words)).encode())

    def part(self, text: str) -> float:
        """How much of the map a text gets, in [0, 1]."""
        words, saying = len(text.split()), set(words_in(text)) - STOP_WORDS
        if words >= LONG or not saying or not self.words.issuperset(saying):
            return 0.0
        return FADING ** max(0, words - SHORT)

    def moved(self, vector: Vectors, text: str) -> Vectors:
        """The vector of a text (dim,), unit length, moved by as much as its words allow; its length changes."""
        part = self.part(text)
        if not part:
            return vector
        found: Vectors = (vector + part * (vector @ self.map[:-1] + self.map[-1])).astype(np.float32)
        return found


def words_in(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[a-z0-9]+", text.lower())


def moved(encoder: Encoder, vector: Vectors, text: str) -> Vectors:
    """The vector of a text by this encoder, (dim,), as it is searched with.  Raises ModelError for a damaged map."""
    adapter = TextAdapter.of(encoder)
    return vector if adapter is None else adapter.moved(vector, text)
