"""Which photos and captions make a batch: at random, or photos that the model itself takes for each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """One batch: photos (n,), and the captions of each, (n, captions_per_photo)."""

    photos: NDArray[np.int64]
    captions: NDArray[np.int64]


def epoch(
    captions: Sequence[NDArray[np.int64]], batch: int, per_photo: int, rng: np.random.Generator, multiple: int = 1,
    near: NDArray[np.int64] | None = None, mined: float = 0.0, group: int = 8,
) -> list[Batch]:  # fmt: skip
    """One epoch: every caption once, ``per_photo`` at a time; photos short of captions repeat some.

    ``captions`` holds the rows of each photo's captions.  Batches are of nearly equal size, at most ``batch`` and a
    multiple of ``multiple`` photos.  With ``near`` (photos, k), nearest first, a share ``mined`` of the photos comes in
    groups of ``group`` that are near each other: the hardest wrong answers that the model knows of.  A photo can come
    twice in a batch.
    """
    own = [rng.permutation(rows) for rows in captions]
    photos: list[NDArray[np.int64]] = []
    chosen: list[NDArray[np.int64]] = []
    for turn in range(max(-(-len(rows) // per_photo) for rows in own)):
        order = rng.permutation([photo for photo, rows in enumerate(own) if turn * per_photo < len(rows)])
        if near is not None and mined > 0:
            order = _together(order, near, mined, group)
        photos.append(order)
        numbers = np.arange(turn * per_photo, (turn + 1) * per_photo)
        chosen.append(np.stack([np.take(own[photo], numbers, mode="wrap") for photo in order]))
    flat, texts = np.concatenate(photos), np.concatenate(chosen)
    size = max(multiple, batch - batch % multiple)
    parts = np.array_split(np.arange(len(flat)), -(-len(flat) // size))
    parts = [part[: len(part) - len(part) % multiple] for part in parts]
    parts = [parts[number] for number in rng.permutation(len(parts))]
    return [Batch(flat[part], texts[part]) for part in parts if len(part)]


def groups(
    captions: Sequence[NDArray[np.int64]], size: int, rng: np.random.Generator, near: NDArray[np.int64]
) -> list[Batch]:
    """One epoch in groups: every caption once, with the photos that are near its own, in no order.

    A group has a photo and ``size - 1`` of its ``near`` ones (photos, k), drawn from those that are free still; photos
    that find none are grouped among themselves.  No photo is twice in a group.
    """
    own = [rng.permutation(rows) for rows in captions]
    made: list[Batch] = []
    for turn in range(max(map(len, own))):
        order = rng.permutation([photo for photo, rows in enumerate(own) if turn < len(rows)])
        free = dict.fromkeys(order.tolist())
        found: list[list[int]] = []
        for photo in order.tolist():
            if photo in free:
                members = [photo, *(other for other in rng.permutation(near[photo]).tolist() if other in free)][:size]
                for member in members:
                    del free[member]
                found.append(members)
        alone = [photo for members in found if len(members) == 1 for photo in members]
        found = [members for members in found if len(members) > 1]
        found += [alone[start : start + size] for start in range(0, len(alone), size)]
        made += [Batch(np.array(one), np.array([[own[photo][turn]] for photo in one])) for one in found]
    return [made[number] for number in rng.permutation(len(made))]


def _together(order: NDArray[np.int64], near: NDArray[np.int64], share: float, group: int) -> NDArray[np.int64]:
    """``order`` with neighbours moved next to each other until ``share`` of it is in groups."""
    free = dict.fromkeys(order.tolist())
    grouped: list[int] = []
    for photo in order.tolist():
        if len(grouped) >= share * len(order):
            break
        if photo not in free:
            continue
        del free[photo]
        members = [other for other in near[photo].tolist() if other in free][: group - 1]
        for other in members:
            del free[other]
        grouped += [photo, *members]
    return np.array([*grouped, *free], np.int64)


def nearest(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """For each row of ``vectors`` (n, dim) its nearest other rows, best first, (n, count) or fewer columns."""
    count = min(count, len(vectors) - 1)
    found = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), 1024):
        scores = vectors[start : start + 1024] @ vectors.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        found[start : start + 1024] = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return found
