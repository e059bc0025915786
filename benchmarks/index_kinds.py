"""Kinds of index over many vectors: recall, latency, bytes, build time, and memory, against plain ways in the same run.

    python -m benchmarks.index_kinds --folder DIR [--rows 1000000] [--library DIR] [--recall 0.95]
                                     [--kinds exact,ivf-rabitq,ivf-sq8,hnsw] [--plain numpy,flat,sqlite,usearch]

The vectors (``vectors.py``) are made in ``--folder`` where they are not there yet.  Each kind is tuned with 128 texts
to ``--recall`` of the 10 nearest; recall, latency and the answers they are compared with are of 200 texts that the
tuning did not see.  Queries come one at a time.  The plain ways: NumPy over float32 in memory; FAISS's
``IndexFlatIP``; reading all vectors from SQLite for each query; usearch, where it is installed (16 links, 80 and 200 in
sight, float16).  One JSON line.  ``resident_mib`` is what a process that opened the index and answered all queries
holds, with pages of the file that the system may drop; ``own_mib`` is without these.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import resource
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss as _stubbed
import numpy as np

from benchmarks import vectors
from benchmarks.common import report
from mmsearch.indexes.autotune import tune
from mmsearch.indexes.exact import nearest
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.maintenance import build
from mmsearch.indexes.manifest import IndexCache
from mmsearch.indexes.policy import Choice, choose
from mmsearch.indexes.vector_file import Positions, Rows, widened
from mmsearch.types import Vectors

faiss: Any = _stubbed

TUNED, ASKED = 256, 200  # every second one of the first ones is tuned with, the others say what recall that gives
K = 10
HELD = 20  # blocks of rows that are in memory while the file is made


def make(folder: Path, library: Path | None, count: int) -> None:
    """An index of ``count`` rows that compares all, and the queries."""
    cache, index = None, None
    for number, rows in enumerate(vectors.pictures(library, count)):
        if cache is None or index is None:
            cache = IndexCache(folder / "exact", "benchmark", "0", rows.shape[1])
            index = StoredIndex(Rows(rows.shape[1]))
        ids = np.arange(len(index.rows), len(index.rows) + len(rows))
        index = index.changed(ids, rows, np.zeros(0, np.int64))
        if number % HELD == HELD - 1:
            index = StoredIndex(cache.hold(index.rows))
    assert cache is not None
    assert index is not None
    np.save(folder / "queries.npy", vectors.queries(library, TUNED + ASKED))
    cache.save(index, 1)


def opened(folder: Path, kind: str) -> StoredIndex:
    dim = np.load(folder / "queries.npy").shape[1]
    return IndexCache(folder / kind, "benchmark", "0", dim).load(1)[0]


def made(folder: Path, kind: str, recall: float) -> dict[str, Any]:
    """The index of a kind beside the exact one, whose rows it shares."""
    index, queries = opened(folder, "exact"), np.load(folder / "queries.npy")[:TUNED]
    rows = index.rows
    lists = choose(len(rows), rows.dim).lists
    begun = time.perf_counter()
    ann = build(rows, Choice(kind, lists, 0))  # type: ignore[arg-type]
    took = time.perf_counter() - begun
    begun = time.perf_counter()
    settings = tuple(tune(ann, rows, queries, recall))
    tuning = time.perf_counter() - begun
    shutil.rmtree(folder / kind, ignore_errors=True)
    (folder / kind).mkdir()
    for file in (folder / "exact").glob("rows-*"):
        (folder / kind / file.name).unlink(missing_ok=True)
        (folder / kind / file.name).hardlink_to(file)
    rows = Rows.mapped(folder / kind / str(rows.file and rows.file.name), rows.dim, len(rows))
    IndexCache(folder / kind, "benchmark", "0", rows.dim).save(
        StoredIndex(rows, ann=TunedAnn(ann, settings, len(rows))), 1
    )
    (file,) = (folder / kind).glob("likely-*")
    return {
        "build_s": round(took, 1),
        "tuning_s": round(tuning, 1),
        "lists": lists,
        "effort": settings[0].nprobe,
        "depth": settings[0].rerank_depth,
        "recall_held_out": settings[0].recall,
        "bytes_per_vector": round(file.stat().st_size / len(rows), 1),
        "build_peak_mib": _peak(),
    }


def asked(folder: Path, kind: str, truth: Positions) -> dict[str, Any]:
    """Latency and recall of one kind."""
    before = _memory()
    begun = time.perf_counter()
    index = opened(folder, kind)
    opening = time.perf_counter() - begun
    queries = np.load(folder / "queries.npy")[TUNED:]
    found, figures = timed(lambda query: index.search(query[None], K).ids[0], queries)
    after = _memory()
    return {
        "recall": recall(found, truth),
        **figures,
        "open_ms": round(1000 * opening, 1),
        "resident_mib": round(after[0] - before[0], 1),
        "own_mib": round(after[1] - before[1], 1),
    }


def timed(search: Callable[[Vectors], Any], queries: Vectors) -> tuple[list[Any], dict[str, float]]:
    search(queries[0])
    found, times = [], []
    for query in queries:
        begun = time.perf_counter()
        found.append(search(query))
        times.append(1000 * (time.perf_counter() - begun))
    return found, {"ms": round(float(np.median(times)), 2), "ms_90": round(float(np.percentile(times, 90)), 2)}


def recall(found: Sequence[Positions], truth: Positions) -> float:
    return round(float(np.mean([np.isin(row, own).mean() for row, own in zip(truth, found, strict=True)])), 4)


def plain(folder: Path, way: str, truth: Positions) -> dict[str, Any]:
    """One of the plain ways."""
    rows, queries = opened(folder, "exact").rows, np.load(folder / "queries.npy")[TUNED:]
    before, begun = _memory(), time.perf_counter()
    if way == "sqlite":
        with sqlite3.connect(folder / "plain.sqlite") as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, vector BLOB)")
            if not connection.execute("SELECT count(*) FROM rows").fetchone()[0]:
                for start, halves in rows.blocks():
                    pairs = ((start + n, row.tobytes()) for n, row in enumerate(halves))
                    connection.executemany("INSERT INTO rows VALUES (?, ?)", pairs)
            connection.commit()

            def read(query: Vectors) -> Positions:
                blobs = [blob for (blob,) in connection.execute("SELECT vector FROM rows ORDER BY id")]
                return _top(np.frombuffer(b"".join(blobs), "<f2").reshape(-1, rows.dim).astype(np.float32) @ query)

            found, figures = timed(read, queries[:3])
            return {"recall": recall(found, truth[:3]), **figures}
    wide = np.concatenate([widened(halves) for _, halves in rows.blocks()])
    if way == "numpy":
        search: Callable[[Vectors], Positions] = lambda query: _top(wide @ query)  # noqa: E731
    elif way == "flat":
        flat = faiss.IndexFlatIP(rows.dim)
        flat.add(wide)
        del wide
        search = lambda query: flat.search(query[None], K)[1][0]  # noqa: E731
    else:
        graph = importlib.import_module("usearch.index").Index(
            ndim=rows.dim, metric="ip", dtype="f16", connectivity=16, expansion_add=80, expansion_search=200
        )
        graph.add(np.arange(len(wide)), wide)
        del wide
        search = lambda query: graph.search(query, K).keys.astype(np.int64)  # noqa: E731
    built = time.perf_counter() - begun
    found, figures = timed(search, queries)
    after = _memory()
    own = round(after[1] - before[1], 1)
    return {"recall": recall(found, truth), **figures, "build_s": round(built, 1), "own_mib": own}


def _top(scores: Vectors) -> Positions:
    best = np.argpartition(-scores, K)[:K]
    return best[np.argsort(-scores[best])]


def _memory() -> tuple[float, float]:
    """MiB that this process holds: in all, and without pages of files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024, int(lines["RssAnon"].split()[0]) / 1024


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def alone(work: Callable[..., Any], *given: Any) -> Any:
    """Done in a process of its own, so that nothing else is in its memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, given)


def truth_of(folder: Path) -> Positions:
    """The nearest rows of the queries that are asked, by looking at all."""
    return nearest(opened(folder, "exact").rows, np.load(folder / "queries.npy")[TUNED:], K).positions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--kinds", default="exact,ivf-rabitq,ivf-sq8")
    parser.add_argument("--plain", default="numpy,flat,sqlite,usearch")
    parser.add_argument("--recall", type=float, default=0.95)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if not list((given.folder / "exact").glob("*.json")):
        alone(make, given.folder, given.library, given.rows)
    truth = alone(truth_of, given.folder)
    kinds, ways = {}, {}
    for kind in given.kinds.split(","):
        facts = {} if kind == "exact" else alone(made, given.folder, kind, given.recall)
        kinds[kind] = {**facts, **alone(asked, given.folder, kind, truth)}
    for way in given.plain.split(",") if given.plain else []:
        if way != "usearch" or importlib.util.find_spec("usearch"):
            ways[way] = alone(plain, given.folder, way, truth)
    ratios = {}
    if "numpy" in ways:
        for kind, figures in kinds.items():
            speed = round(ways["numpy"]["ms"] / figures["ms"], 1)
            ratios[kind] = {"speed": speed, "memory": round(figures["own_mib"] / ways["numpy"]["own_mib"], 3)}
    rows = opened(given.folder, "exact").rows
    facts = {"rows": len(rows), "dim": rows.dim, "recall_asked": given.recall}
    report("index_kinds", {**facts, **kinds, "plain": ways, "against numpy": ratios})


if __name__ == "__main__":
    main()
