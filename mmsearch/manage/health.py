"""Whether a library is in order: its database, its index, what else is in its folder, and the files it knows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsearch.encoders.protocol import RegionCard
from mmsearch.errors import DimensionError, LibraryError
from mmsearch.indexes.collection import Collection
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.manifest import IndexCache
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.ingest.read import hash_of
from mmsearch.media.filesystem import open_regular, status_of
from mmsearch.search import querybank
from mmsearch.store.part_rows import with_vectors
from mmsearch.store.protocol import Store, VectorSearch
from mmsearch.store.types import EXAMPLES, Damage, StoredModel
from mmsearch.types import Ids, Progress, Vectors

SAMPLE = 1_000  # rows of the index that are compared with the database, where not all are
AT_ONCE = 4_096  # of them together
ASKED = 50  # rows that are looked for by themselves
FIRST = 50  # among which each is to be found
FOUND = 0.5  # share of them that an approximate index finds at least; one in order finds nearly all
NEAR = 0.01  # that the background of a row may differ: another version of NumPy rounds otherwise
ANEW = "the index is made anew from the database"


@dataclass(frozen=True)
class Parts:
    """What a library is made of, for a look at it."""

    store: Store
    folder: Path
    model: StoredModel | None  # None before the first ``index``
    vectors: VectorSearch
    card: RegionCard | None


def look(parts: Parts, deep: bool = False, progress: Callable[[Progress], None] | None = None) -> list[Damage]:
    """Everything that is not in order.

    Where the database is not, the rest, which is compared with it, is not looked at.  With ``deep``, every row of the
    index and the content of every file are read.  ``progress`` is called for each file.
    """
    rules = parts.store.capabilities.integrity_rules
    found = [*(parts.store.damages(parts.card, deep) if rules else ()), *_beside(parts)]
    if not found and parts.model is not None:
        found += parts.vectors.damages(parts.model, deep)
    if not found and deep:
        found += _files(parts.store, progress)
    return found


def _beside(parts: Parts) -> Iterator[Damage]:
    """The vectors of the bank."""
    for file in querybank.bank_files(parts.folder):
        right = False
        with contextlib.suppress(OSError, ValueError, EOFError):
            rows = querybank.load(file)
            right = rows.ndim == 2 and bool(np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3))
            if right and parts.model is not None and parts.model.fingerprint in file.name:
                right = rows.shape[1] == parts.model.dim
        if not right:
            yield Damage("background", 1, f"{file.name} is damaged", "it is made anew")


def index_damages(
    store: Store, model: StoredModel, cache: IndexCache, rows: Callable[[Ids], Vectors], deep: bool
) -> Iterator[Damage]:
    """What of the index of a model on disk is not as the store has it; ``rows`` says what it should hold for ids."""
    generation = store.generation()
    try:
        newest = cache.newest()
    except (LibraryError, DimensionError) as error:
        yield Damage("index", 1, str(error), ANEW)
        return
    if newest is None:
        return  # it is made when it is needed
    index, built = newest
    if built > generation:
        yield Damage("index", 1, f"the index is of generation {built}, the database of {generation}", ANEW)
        return
    wanted = with_vectors(store, model)
    if built == store.generation() and not np.array_equal(index.ids(), wanted):
        differ = len(np.setxor1d(index.ids(), wanted))
        yield Damage("index", differ, "vectors are in the index or in the database alone", ANEW)
    shared = np.intersect1d(index.ids(), wanted)
    chosen = shared if deep else shared[np.linspace(0, len(shared) - 1, min(SAMPLE, len(shared))).astype(np.int64)]
    unlike = sum(_unlike(index, rows, chosen[start : start + AT_ONCE]) for start in range(0, len(chosen), AT_ONCE))
    if unlike:
        yield Damage("index", unlike, "vectors of the index are not those of the database", ANEW)
    elif _finds_little(index):
        yield Damage("index", 1, "the approximate index does not find the pictures that are in it", ANEW)
    elif deep and cache.unlike(index):
        yield Damage("index", 1, "the file of the approximate index has changed since it was written", ANEW)


def collection_damages(
    store: Store, model: StoredModel, collection: Collection, rows: Callable[[Ids], Vectors], deep: bool
) -> Iterator[Damage]:
    """What of the vectors that a server searches is not as the store has it; those that it lacks are handed to it."""
    wanted, held = with_vectors(store, model), collection.ids()
    if collection.complete() == store.generation() and not np.array_equal(held, wanted):
        differ = len(np.setxor1d(held, wanted))
        yield Damage("index", differ, "vectors are in the index or in the database alone", ANEW)
    shared = np.intersect1d(held, wanted)
    chosen = shared if deep else shared[np.linspace(0, len(shared) - 1, min(SAMPLE, len(shared))).astype(np.int64)]
    unlike = sum(_unlike(collection, rows, chosen[start : start + AT_ONCE]) for start in range(0, len(chosen), AT_ONCE))
    if unlike:
        yield Damage("index", unlike, "vectors of the index are not those of the database", ANEW)
        return
    asked = chosen[np.linspace(0, len(chosen) - 1, min(ASKED, len(chosen))).astype(np.int64)]
    if len(asked):
        found = collection.nearest(collection.vectors(asked), FIRST).ids
        if float(np.mean((found == asked[:, None]).any(axis=1))) < FOUND:
            yield Damage("index", 1, "the approximate index does not find the pictures that are in it", ANEW)


def _unlike(index: VectorIndex | Collection, rows: Callable[[Ids], Vectors], ids: Ids) -> int:
    """How many rows are not as the database has them."""
    try:
        right = rows(ids)
    except KeyError:  # another process has removed some in between
        return 0
    rows_of_index = index.vectors(ids)  # (n, dim + 1), the background last
    vectors = np.array_equal(rows_of_index[:, :-1], right[:, :-1])
    if vectors and np.allclose(rows_of_index[:, -1], right[:, -1], atol=NEAR):
        return 0
    near = np.abs(rows_of_index[:, -1] - right[:, -1]) <= NEAR
    same = (rows_of_index[:, :-1] == right[:, :-1]).all(axis=1) & near
    return int((~same).sum())


def _finds_little(index: StoredIndex) -> bool:
    if index.ann is None:
        return False
    positions = np.linspace(0, index.covered - 1, min(ASKED, index.covered)).astype(np.int64)
    setting = index.ann.setting(10)
    hits = [
        position in index.ann.index.candidates(query, setting.rerank_depth, setting.nprobe)
        for position, query in zip(positions, index.rows.take(positions).astype(np.float32), strict=True)
    ]
    return bool(np.mean(hits) < FOUND)


def _files(store: Store, progress: Callable[[Progress], None] | None) -> Iterator[Damage]:
    """Files whose time and size are those that are stored, and whose content is not."""
    files = store.hashed()
    other: list[str] = []
    unread: list[str] = []
    for number, (file, content_hash) in enumerate(files, 1):
        try:
            if status_of(file.path) == (file.size, file.mtime_ns):
                with open_regular(file.path) as opened:
                    if hash_of(opened) != content_hash:
                        other.append(file.path)
        except FileNotFoundError:
            pass  # the next ``index`` sees that
        except OSError:
            unread.append(file.path)
        if progress is not None:
            progress(Progress(number, len(files), file.path))
    if other:
        yield Damage(
            "changed files", len(other), "files that changed and kept their time and size",
            "they are read again by the next index run", examples=tuple(other),
        )  # fmt: skip
    if unread:
        yield Damage(
            "unreadable files", len(unread), "files that cannot be read any more",
            "look at the drive and the permissions, then index them again", False, tuple(unread[:EXAMPLES]),
        )  # fmt: skip
