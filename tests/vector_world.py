"""A small world of photos and texts as vectors, for what is learned from captioned photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmsearch.language.nouns import nouns
from mmsearch.types import Vectors

DIM = 24


def unit(rows: NDArray[np.floating]) -> Vectors:
    found: Vectors = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return found


class World:
    """Photos that show one of many things, each in a colour; cosines alone tell things of all photos badly."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.things = [word for word, noun in nouns().items() if noun.kind in ("animal", "vehicle") and noun.plural][
            :70
        ]
        self.directions = rng.standard_normal((len(self.things), DIM))
        self.common = 3 * rng.standard_normal(DIM)  # the modality gap: all pictures have it

    def photos(self, count: int, seed: int) -> tuple[Vectors, list[list[str]]]:
        rng = np.random.default_rng(seed)
        shown = rng.integers(0, len(self.things), count)
        rows = self.directions[shown] + self.common + 0.2 * rng.standard_normal((count, DIM))
        return unit(rows), [[f"a {self.things[one]}"] for one in shown]

    def encode(self, texts: list[str]) -> Vectors:
        plain = [text.removeprefix("a ") for text in texts]
        of = {form: number for number, thing in enumerate(self.things) for form in (thing, nouns()[thing].plural)}
        rng = np.random.default_rng(1)
        other = rng.standard_normal((len(texts), DIM))
        return unit(np.stack([self.directions[of[t]] if t in of else other[i] for i, t in enumerate(plain)]))
