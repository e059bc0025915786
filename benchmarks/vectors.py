"""Vectors as libraries have them, many of them: for benchmarks that need more pictures than there are.

Each is a mixture of two vectors of a real library, and noise that is spread as that library is.  Texts are the plain
sentences of ``language/prompts.py``, encoded: they lie where texts lie, aside from pictures.  Without a library the
pictures are drawn around random centres to one side, and the texts around the same centres to another side.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmsearch.encoders import factory
from mmsearch.language.prompts import scenes
from mmsearch.search import querybank, retrieval
from mmsearch.search.hubness import hubness_penalty
from mmsearch.types import Vectors

AT_ONCE = 20_000  # rows made at a time
NOISE = 0.6  # spreads of the library that are added
DIM = 512  # without a library: that of the embedded model
CENTRES = 2_000


def unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def real(library: Path) -> Vectors:
    """All vectors of a library, (n, dim)."""
    with sqlite3.connect(library / "library.sqlite") as connection:
        rows = connection.execute("SELECT vector FROM embeddings ORDER BY id")
        return np.stack([np.frombuffer(vector, "<f2") for (vector,) in rows]).astype(np.float32)


def pictures(library: Path | None, count: int, seed: int = 0) -> Iterator[Vectors]:
    """Rows of an index, vector and background, in blocks (b, dim + 1)."""
    rng = np.random.default_rng(seed)
    base = drawn(rng, CENTRES, aside=0) if library is None else real(library)
    spread, axes = np.linalg.eigh(np.cov((base - base.mean(0)).T))
    noise = (NOISE * axes * np.sqrt(np.maximum(spread, 0))).astype(np.float32)
    texts_of = querybank.vectors(factory.embedded())
    for start in range(0, count, AT_ONCE):
        size = min(AT_ONCE, count - start)
        one, other = (base[rng.integers(len(base), size=size)] for _ in range(2))
        share = rng.uniform(0, 0.5, (size, 1)).astype(np.float32)
        normal = rng.standard_normal((size, base.shape[1]), np.float32)
        rows = unit((1 - share) * one + share * other + normal @ noise.T)
        yield np.column_stack([rows, hubness_penalty(rows, texts_of, 1.0, querybank.NEAREST)])


def queries(library: Path | None, count: int, seed: int = 1) -> Vectors:
    """What an index is asked for texts, (n, dim + 1): every one another text, in random order."""
    rng = np.random.default_rng(seed)
    texts = [scenes()[place] for place in rng.permutation(len(scenes()))[:count]]
    if library is None:
        vectors = drawn(np.random.default_rng(0), CENTRES, aside=1)[rng.permutation(CENTRES)[:count]]
    else:
        encoder = factory.embedded()
        vectors = np.concatenate([encoder.encode_texts(texts[start : start + 32]) for start in range(0, count, 32)])
    parts = [
        retrieval.QueryVector(vector, beta=retrieval.beta(text)) for vector, text in zip(vectors, texts, strict=True)
    ]
    return np.stack([retrieval.augmented(part) for part in parts])


def drawn(rng: np.random.Generator, count: int, aside: int) -> Vectors:
    """Centres with a few strong directions and many weak ones, moved to one of two sides."""
    strength = (1 / np.sqrt(1 + np.arange(DIM))).astype(np.float32)
    sides = unit(rng.standard_normal((2, DIM), np.float32))
    return unit(unit(rng.standard_normal((count, DIM), np.float32) * strength) + 0.8 * sides[aside])
