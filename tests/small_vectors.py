"""Vectors to search among, and the answers that NumPy gives."""

from __future__ import annotations

import numpy as np

from mmsearch.types import Ids, Vectors

DIM = 24


def unit(rng: np.random.Generator, rows: int, dim: int = DIM) -> Vectors:
    """Rows of length 1 that float16 holds exactly enough: they are rounded to it."""
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rounded: Vectors = vectors.astype(np.float16).astype(np.float32)
    return rounded


def clustered(rng: np.random.Generator, rows: int, dim: int = DIM, clusters: int = 30) -> Vectors:
    """Rows of length 1 around some centres, as pictures of the same kinds of things are."""
    centres = rng.standard_normal((clusters, dim))
    vectors = centres[rng.integers(clusters, size=rows)] + 0.7 * rng.standard_normal((rows, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rounded: Vectors = vectors.astype(np.float16).astype(np.float32)
    return rounded


def texts(rng: np.random.Generator, vectors: Vectors, count: int) -> Vectors:
    """Queries that lie off the rows, all to one side, as texts lie off pictures."""
    aside = rng.standard_normal(vectors.shape[1])
    queries = vectors[rng.integers(len(vectors), size=count)] + 0.2 * rng.standard_normal((count, vectors.shape[1]))
    queries += aside / np.linalg.norm(aside)
    unit_rows: Vectors = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    return unit_rows


def brute_force(stored: dict[int, Vectors], queries: Vectors, k: int, allowed: Ids | None = None) -> list[list[int]]:
    ids = np.array(sorted(stored if allowed is None else set(stored) & set(allowed.tolist())), np.int64)
    if not len(ids):
        return [[] for _ in queries]
    scores = queries @ np.stack([stored[number] for number in ids.tolist()]).T
    return [ids[np.argsort(-row)[:k]].tolist() for row in scores]


def shared(found: list[list[int]], truth: list[list[int]]) -> float:
    """The share of the true neighbours that were found."""
    return float(np.mean([len(set(own) & set(right)) / len(right) for own, right in zip(found, truth, strict=True)]))
