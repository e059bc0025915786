"""How likely it is that a picture shows what a text says, for leaving pictures out.

A cosine has no zero: what is near for one word is far for another, and of 1,000 photos 800 may show people.  A bilinear
form of the vectors of text and picture, learned from captioned photos (``training/common/presence.py``), has one: above
0 it is more likely than not that the picture shows it, as many pictures with and without it given.  Of one text it is
a vector and a number, so it costs as much as a cosine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder
from mmsearch.search import int8_rows
from mmsearch.types import Ids, Vectors

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store
    from mmsearch.store.region_tokens import TokenModel
    from mmsearch.store.types import StoredModel

FILE = "presence.npy"  # in a model folder: (dim + 1, dim + 1), see ``Presence``


@dataclass(frozen=True)
class Classifier:
    """What tells pictures that show something from others: log-odds are ``vectors @ direction + offset``."""

    direction: Vectors  # (dim,)
    offset: float

    def __call__(self, vectors: Vectors) -> NDArray[np.float32]:
        """The log-odds that pictures show it (n,), from their vectors (n, dim)."""
        odds: NDArray[np.float32] = vectors @ self.direction + np.float32(self.offset)
        return odds


@dataclass(frozen=True)
class Presence:
    """The bilinear form of a model: log-odds are text @ form @ picture, both unit vectors with a 1 behind."""

    form: Vectors  # (dim + 1, dim + 1) float32

    @classmethod
    def of(cls, encoder: Encoder) -> Presence | None:
        """That of an encoder's model; None where it has none.  Raises ModelError for a damaged one."""
        return None if encoder.folder is None else cls.read(encoder.folder, encoder.card.dim)

    @classmethod
    @functools.cache  # each search asks; the files of a model do not change
    def read(cls, folder: Path, dim: int) -> Presence | None:
        """That of a model folder; None where it has none.  Raises ModelError for a damaged one."""
        form = int8_rows.read_if_there(folder / FILE, (dim + 1, dim + 1))
        return None if form is None else cls(form)

    def write(self, folder: Path) -> None:
        """Into a model folder."""
        int8_rows.write(folder / FILE, self.form)

    def classifier(self, text: Vectors) -> Classifier:
        """That of one text, from its vector (dim,)."""
        row = text @ self.form[:-1] + self.form[-1]
        return Classifier(row[:-1].astype(np.float32), float(row[-1]))


@dataclass(frozen=True)
class PresenceBeside(Presence):
    """The form of another model than the one searched with, and what it reads in place of that one's vectors."""

    encode: Callable[[str], Vectors]  # a text to its vector (dim,)
    vectors: Callable[[Ids], tuple[Vectors, NDArray[np.bool_]]]  # of pictures by the ids that are searched, see below

    @classmethod
    def beside(cls, tokens: TokenModel, store: Store, searched: StoredModel) -> PresenceBeside | None:
        """That of the model that gives a library's region tokens; None where it has none.  Raises ModelError."""
        presence = Presence.of(tokens.encoder)
        if presence is None:
            return None

        def encode(text: str) -> Vectors:
            row: Vectors = tokens.encoder.encode_texts([text])[0]
            return row

        def vectors(ids: Ids) -> tuple[Vectors, NDArray[np.bool_]]:
            """Those that there are, (m, dim), of the pictures with these ids (n,), and which have one, (n,)."""
            own = tokens.ids(store, ids, searched)
            return store.vectors(own[own >= 0], tokens.stored.dim), own >= 0

        return cls(presence.form, encode, vectors)
