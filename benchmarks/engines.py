"""One set of vectors in each engine that searches them: how long, how well, how much room.

    python -m benchmarks.engines [--rows 200000] [--dim 512] [--queries 100] [--allowed 1 0.1 0.01 0.0001]

Rows are as a library has them: unit vectors that lie around centres, with their hubness behind them, and queries lie
elsewhere than rows do, as texts do (``filtering.py``).  Engines: ``embedded`` (files of this machine, ``indexes/``) and
``pgvector`` (a PostgreSQL of its own from a package, with the settings that it comes with, on the same machine) and
``milvus`` (2.3.5, of ``make milvus-env``, with its ids in such a PostgreSQL).  For each: ``load_s`` until all rows are
stored and what finds them is built and tuned for a recall of 0.95, ``bytes`` on disk; for each share of allowed rows
``p50_ms``, ``p99_ms`` of single queries for the 10 nearest, one after the other,
and ``recall`` of those, against comparing all allowed rows with NumPy.  One JSON line.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import servers
from benchmarks.common import report
from mmsearch.indexes.collection import Collection, CollectionIndex
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.maintenance import maintained
from mmsearch.indexes.manifest import IndexCache
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.indexes.vector_file import Rows
from mmsearch.store.milvus import PostgresWithMilvus
from mmsearch.store.milvus_client import Milvus
from mmsearch.store.postgres.store import PostgresStore
from mmsearch.types import Ids, Vectors

K = 10
RECALL = 0.95
CENTRES = 2_000
NEAR = 0.6  # of a row to its centre, of a text to its row
BLOCK = 20_000
WAIT = 12  # seconds


def unit(vectors: Vectors) -> Vectors:
    rows: Vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return rows


def drawn(rng: np.random.Generator, count: int, dim: int) -> Vectors:
    """Rows, (count, dim + 1) float32, as a library stores them: in float16."""
    centres = unit(rng.standard_normal((CENTRES, dim), np.float32))
    rows = np.empty((count, dim + 1), np.float32)
    for start in range(0, count, BLOCK):
        some = rows[start : start + BLOCK]
        noise = unit(rng.standard_normal((len(some), dim), np.float32))
        some[:, :dim] = unit(centres[rng.integers(0, CENTRES, len(some))] * NEAR + noise * (1 - NEAR))
        some[:, dim] = -0.1 * rng.random(len(some), np.float32)
    return rows.astype(np.float16).astype(np.float32)


def asked(rng: np.random.Generator, rows: Vectors, count: int) -> Vectors:
    """Texts: each near a row, and all of them moved to one side."""
    dim = rows.shape[1] - 1
    side, noise = unit(rng.standard_normal(dim, np.float32)), unit(rng.standard_normal((count, dim), np.float32))
    near = rows[rng.integers(0, len(rows), count), :dim]
    return np.column_stack([unit(near * NEAR + noise * (1 - NEAR) + 0.5 * side), np.ones(count, np.float32)])


@contextmanager
def embedded(ids: Ids, rows: Vectors, tuning: Vectors) -> Iterator[tuple[VectorIndex, Callable[[], int]]]:
    with tempfile.TemporaryDirectory() as folder:
        cache = IndexCache(Path(folder), "bench", "rows", rows.shape[1])
        index = StoredIndex(cache.hold(Rows(rows.shape[1]).plus(ids, rows)))
        index = maintained(index, lambda: tuning, RECALL, hold=cache.hold)
        yield cache.save(index, 1), lambda: sum(file.stat().st_size for file in Path(folder).rglob("*"))


@contextmanager
def postgres(dim: int, vectors: Milvus | None = None) -> Iterator[tuple[PostgresStore, Collection]]:
    """A server of its own, with an empty collection for rows of this width."""
    with servers.postgres() as (url, folder):
        made = PostgresWithMilvus(url, folder / "cache", 8, True, vectors) if vectors else None
        with made or PostgresStore(url, folder / "cache") as store:
            with store.writing() as writer:
                model = writer.add_model("bench", "0123456789abcdef", dim - 1, active=True)
            yield store, store.collection("bench", model)


def filled(collection: Collection, ids: Ids, rows: Vectors, tuning: Vectors) -> CollectionIndex:
    """An index of all rows, built and tuned."""
    places = {number: place for place, number in enumerate(ids.tolist())}
    collection.change(ids, lambda some: rows[[places[number] for number in some.tolist()]], np.zeros(0, np.int64))
    collection.maintain(lambda: tuning, RECALL, lambda done, total: None)
    return CollectionIndex(collection, ids, ids, StoredIndex(Rows(rows.shape[1])))


@contextmanager
def pgvector(ids: Ids, rows: Vectors, tuning: Vectors) -> Iterator[tuple[VectorIndex, Callable[[], int]]]:
    with postgres(rows.shape[1]) as (store, collection):
        yield filled(collection, ids, rows, tuning), store.stored_bytes


@contextmanager
def milvus(ids: Ids, rows: Vectors, tuning: Vectors) -> Iterator[tuple[VectorIndex, Callable[[], int]]]:
    with servers.milvus() as (address, folder), postgres(rows.shape[1], Milvus(address)) as (_, collection):
        index = filled(collection, ids, rows, tuning)
        time.sleep(WAIT)  # until searches need not wait for what was written
        yield index, lambda: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


ENGINES = {"embedded": embedded, "pgvector": pgvector, "milvus": milvus}


def truth(rows: Vectors, queries: Vectors, places: Ids) -> Ids:
    """Positions of the ``K`` nearest of the allowed rows, (q, at most K)."""
    scores = queries @ rows[places].T
    best = np.argsort(-scores, axis=1)[:, :K]
    return places[best]


def figures(index: VectorIndex, queries: Vectors, ids: Ids, places: Ids | None, right: Ids) -> dict[str, float]:
    allowed = None if places is None else ids[places]
    index.search(queries[:1], K, allowed)
    times, shares = [], []
    for query, best in zip(queries, right, strict=True):
        begun = time.perf_counter()
        found = index.search(query[None], K, allowed).ids[0]
        times.append(1000 * (time.perf_counter() - begun))
        shares.append(float(np.isin(ids[best], found).mean()))
    return {
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p99_ms": round(float(np.percentile(times, 99)), 2),
        "recall": round(float(np.mean(shares)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--allowed", type=float, nargs="+", default=[1, 0.1, 0.01, 0.0001])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = drawn(rng, given.rows, given.dim)
    ids = np.arange(1, len(rows) + 1)
    both = asked(rng, rows, given.queries + 96)  # of one side, as texts are
    queries, tuning = both[: given.queries], both[given.queries :]
    chosen = {
        share: None if share == 1 else np.sort(rng.choice(given.rows, max(1, int(share * given.rows)), False))
        for share in given.allowed
    }
    right = {share: truth(rows, queries, np.arange(len(rows)) if c is None else c) for share, c in chosen.items()}
    result: dict[str, Any] = {"rows": given.rows, "dim": given.dim + 1, "queries": given.queries, "k": K}
    for name in given.engines:
        begun = time.perf_counter()
        with ENGINES[name](ids, rows, tuning) as (index, size):
            own: dict[str, Any] = {"load_s": round(time.perf_counter() - begun, 1), "bytes": size()}
            own |= {"kind": index.kind, "tuned_recall": round(index.recall, 4)}
            for share, places in chosen.items():
                own[f"allowed_{share:g}"] = figures(index, queries, ids, places, right[share])
            result[name] = own
    report("engines", result)


if __name__ == "__main__":
    main()
