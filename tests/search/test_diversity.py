"""Folding near-equal pictures, and variety, against plain loops over the definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch.search.diversity import fold, mmr

NOBODY_KNOWS = float("nan")


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _pair(cosine: float) -> NDArray[np.float32]:
    return np.array([[1, 0], [cosine, np.sqrt(1 - cosine**2)]], np.float32)


def _folded(
    cosine: float, bits: int, hashed: tuple[bool, bool] = (True, True), seconds: float = NOBODY_KNOWS
) -> list[int]:
    """``fold`` of two pictures with this cosine, ``bits`` of difference between hashes, and so far apart in time."""
    hashes = np.array([0, 2**bits - 1], np.uint64)
    return [*map(int, fold(_pair(cosine), hashes, np.array(hashed), np.array([100.0, 100.0 + seconds])))]


@pytest.mark.parametrize(
    ("cosine", "bits", "folded"),
    [(0.41, 6, True), (0.41, 7, False), (0.39, 0, False), (0.81, 12, True), (0.81, 13, False), (0.79, 12, False)],
)
def test_near_equal_pictures_are_one(cosine: float, bits: int, folded: bool) -> None:
    assert _folded(cosine, bits) == ([0, 0] if folded else [0, 1])


@pytest.mark.parametrize("hashed", [(True, False), (False, True), (False, False)])
def test_without_a_hash_the_cosine_must_be_higher(hashed: tuple[bool, bool]) -> None:
    assert _folded(0.91, 0, hashed) == [0, 0]
    assert _folded(0.89, 0, hashed) == [0, 1]


def test_pictures_of_one_burst_are_one_where_the_time_is_known() -> None:
    assert _folded(0.76, 30, seconds=10) == [0, 0]
    assert _folded(0.76, 30, seconds=-10) == [0, 0]
    assert _folded(0.76, 30, seconds=10.5) == [0, 1]
    assert _folded(0.74, 30, seconds=1) == [0, 1]
    assert _folded(0.76, 30) == [0, 1]


def test_no_chain_leads_to_a_picture_that_does_not_look_like_the_first() -> None:
    angles = np.radians([0, 20, 40, 60])  # neighbours have cosine 0.94, those two steps apart 0.77
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    nothing = np.zeros(4, np.uint64), np.zeros(4, np.bool_), np.full(4, np.nan)
    assert fold(vectors, *nothing).tolist() == [0, 0, 2, 2]


def _fold_by_loops(
    vectors: NDArray[np.float32], hashes: NDArray[np.uint64], there: NDArray[np.bool_], taken: NDArray[np.float64]
) -> list[int]:
    stands: list[int] = []
    for row in range(len(vectors)):
        for other in range(row):
            if stands[other] != other:
                continue
            cosine = float(np.dot(vectors[row].astype(float), vectors[other].astype(float)))
            bits = bin(int(hashes[row]) ^ int(hashes[other])).count("1")
            if there[row] and there[other]:
                same = (bits <= 6 and cosine >= 0.4) or (bits <= 12 and cosine >= 0.8)
            else:
                same = cosine >= 0.9
            if same or (abs(taken[row] - taken[other]) <= 10 and cosine >= 0.75):
                stands.append(other)
                break
        else:
            stands.append(row)
    return stands


def _pictures(
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint64], NDArray[np.bool_], NDArray[np.float64]]:
    """120 pictures of 12 scenes, in any order."""
    scene = rng.integers(0, 12, 120)
    vectors = _unit(rng.standard_normal((12, 8))[scene] + 0.4 * rng.standard_normal((120, 8)))
    flipped = rng.random((120, 64)) < rng.choice([0.02, 0.08, 0.3], 120)[:, None]
    bits = (rng.random((12, 64)) < 0.5)[scene] ^ flipped
    hashes = np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)
    taken = np.where(rng.random(120) < 0.5, np.nan, 100.0 * scene + rng.uniform(0, 25, 120))
    return vectors, hashes, rng.random(120) < 0.8, taken


@pytest.mark.parametrize("seed", range(8))
def test_folding_agrees_with_loops(seed: int) -> None:
    pictures = _pictures(np.random.default_rng(seed))
    stands = fold(*pictures)
    assert stands.dtype == np.int64
    assert stands.tolist() == _fold_by_loops(*pictures)
    assert 12 < len(set(stands.tolist())) < 100  # both happened


def test_nothing_is_folded_of_nothing() -> None:
    assert fold(np.zeros((0, 8), np.float32), np.zeros(0, np.uint64), np.zeros(0, np.bool_), np.zeros(0)).tolist() == []


def _mmr_by_loops(relevance: list[float], vectors: NDArray[np.float32], k: int, weight: float) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < min(k, len(relevance)):
        best, most = -1, -np.inf
        for row in range(len(relevance)):
            if row in chosen:
                continue
            worth = weight * relevance[row]
            if chosen:
                worth -= (1 - weight) * max(float(vectors[row] @ vectors[other]) for other in chosen)
            if worth > most:
                best, most = row, worth
        chosen.append(best)
    return chosen


@pytest.mark.parametrize(("seed", "weight"), [*itertools.product(range(4), [0.0, 0.3, 0.7, 1.0])])
def test_variety_agrees_with_loops(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = _unit(rng.standard_normal((40, 6)))
    relevance = rng.random(40)
    order = mmr(relevance, vectors, 15, weight)
    assert order.dtype == np.int64
    assert order.tolist() == _mmr_by_loops(relevance.tolist(), vectors, 15, weight)


def test_a_copy_of_the_best_comes_after_something_else() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    relevance = np.array([0.9, 0.89, 0.6])
    assert mmr(relevance, vectors, 3).tolist() == [0, 2, 1]
    assert mmr(relevance, vectors, 3, weight=1).tolist() == [0, 1, 2]


def test_variety_gives_all_where_fewer_are_there() -> None:
    assert mmr(np.array([0.1, 0.2]), _pair(0.5), 5).tolist() == [1, 0]
    assert mmr(np.zeros(0), np.zeros((0, 2), np.float32), 5).tolist() == []
