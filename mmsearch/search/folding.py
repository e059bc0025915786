"""Near-duplicates among found pictures as one, and variety among the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timezone
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from mmsearch.indexes.protocol import VectorIndex
from mmsearch.search import diversity
from mmsearch.search.scored import Block, Folded, Scored
from mmsearch.store.steps import step
from mmsearch.types import Ids, Photo, Vectors

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

FIRST = 100  # candidates that the first hits are chosen from; then twice as many, and so on
FOLDED = 5  # candidates for each hit that is chosen from them
RELEVANCE_WEIGHT = 0.7  # against variety


def fold(store: Store, index: VectorIndex, blocks: Iterable[Block[Scored]]) -> Iterator[Block[Folded]]:
    """Pictures that are unlike each other, in a new order, each with the ids of those that it stands for, its own too.

    ``blocks`` of candidates have the best one first; see ``diversity`` for what is near-equal, and for the order.  The
    first 20 are chosen from the first 100 candidates, the next 20 from 200, 40 more from 400 and so on, whichever page
    they are for.
    """
    rest = (one for block in blocks for one in block.items)
    pool: list[Scored] = []
    chosen: list[int] = []  # rows of the pool, in the order of their hits
    size, lowest, span = FIRST, 0.0, 1.0
    while True:
        first = not pool
        pool += islice(rest, size - len(pool))
        last = len(pool) < size
        if not pool:
            return
        with step("fold", count=len(pool)):
            vectors, stands = _folded(store, index, pool)
        heads = np.flatnonzero(stands == np.arange(len(pool)))
        scores = np.array([pool[row].score for row in heads])
        if first:
            lowest, span = float(scores.min()), max(float(scores.max() - scores.min()), 1e-6)
        wanted = len(heads) if last else size // FOLDED - len(chosen)
        before = np.searchsorted(heads, np.array(chosen, np.int64))
        more = heads[diversity.mmr((scores - lowest) / span, vectors[heads], wanted, RELEVANCE_WEIGHT, before)].tolist()
        chosen += more
        ids = [tuple(pool[other].id for other in np.flatnonzero(stands == row)) for row in more]
        yield Block([Folded(pool[row], alike) for row, alike in zip(more, ids, strict=True)], last)
        if last:
            return
        size *= 2


def each_by_itself(blocks: Iterable[Block[Scored]]) -> Iterator[Block[Folded]]:
    """The same pictures in their order: none is folded."""
    for block in blocks:
        yield Block([Folded(one) for one in block.items], block.last)


def _folded(store: Store, index: VectorIndex, pool: Sequence[Scored]) -> tuple[Vectors, Ids]:
    """The vectors of n candidates (n, dim), and the row of the one that stands for each of them, (n,)."""
    ids = np.array([one.id for one in pool], np.int64)
    held = index.holds(ids)  # sound has no vector, and is like nothing else
    vectors = np.zeros((len(ids), index.dim - 1), np.float32)
    vectors[held] = index.vectors(ids[held])[:, :-1]
    hashes, hashed = store.hashes(ids)
    photos = store.photos(ids.tolist())
    taken = np.array([_seconds(photos.get(vector_id, [])) for vector_id in ids.tolist()])
    return vectors, diversity.fold(vectors, hashes, hashed, taken)


def _seconds(photos: Sequence[Photo]) -> float:
    """When the picture was taken by the camera's clock; NaN where nobody knows."""
    taken = photos[0].exif.taken_at if photos else None
    return taken.replace(tzinfo=timezone.utc).timestamp() if taken else float("nan")
