"""A library of a million photos: what it costs to add a thousand, and how long a warm search takes.

    python -m benchmarks.million --library DIR [--like DIR] [--photos 1000000] [--added 1000] [--texts 100]

The library is made in ``--library`` where it is not there yet, as wide as the embedded model, in one of two ways of
``filtering.py``.  As it is, vectors lie around random centres, and each word of the 35 texts that are asked is in a
seventh of the photos: that is the hardest.  With ``--like``, a library of real photos, vectors are mixtures of those,
and names and captions have words as people use them; asked are sentences of ``language/prompts.py`` that no index was
tuned with.

``--added`` photos, drawn here, are indexed twice: into an empty library, and into that one; with 0 this is left out.

Texts are searched with ``Library.search`` without reranking, in three rounds after one search that warms up: the first
meets words that nobody asked for yet (``new_words_ms``), the last is ``search_ms``.  Of it, ``encode_ms`` is the text
encoder, ``words_ms`` looking for words, ``index_ms`` the vector index, ``rest_ms`` what is left.  All are medians, and
``*_90`` what nine of ten need at most; ``lists_mib`` is what the lists of words take that are kept then.  ``numpy_ms``
is comparing all vectors, float32 in memory, with an encoded text and taking the 10 best, in the same run; ``speed`` is
how many times as long that takes as a whole search, and ``recall`` the share of its 10 that the index finds.  One JSON
line.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import report
from benchmarks.filtering import TEXTS, make
from mmsearch import config
from mmsearch.encoders import factory
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.vector_file import widened
from mmsearch.language.prompts import scenes
from mmsearch.library.library import Library
from mmsearch.library.models import TUNING_STRIDE
from mmsearch.library.opening import open_library
from mmsearch.search import retrieval
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.types import Vectors

K = 10
ROUNDS = 3
PARTS = ("encode", "words", "index")


def draw(folder: Path, count: int) -> None:
    """Photos of 640 x 480 that differ from each other."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg", quality=85)


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


class Clock:
    """Milliseconds that calls take, added up by part."""

    def __init__(self) -> None:
        self.taken = dict.fromkeys(PARTS, 0.0)

    def watch(self, owner: Any, method: str, part: str) -> None:
        plain = getattr(owner, method)

        def timed(*given: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return plain(*given, **named)
            finally:
                self.taken[part] += 1000 * (time.perf_counter() - begun)

        setattr(owner, method, timed)


def searched(library: Library, texts: Sequence[str]) -> dict[str, float]:
    """The rounds of searches."""
    stored = library.store.model()
    assert stored is not None
    clock = Clock()
    clock.watch(library.encoder(), "encode_texts", "encode")
    for method in ("find_words", "reasons"):
        clock.watch(library.store, method, "words")
    clock.watch(library.vectors.searched(library.vectors.snapshot()), "search", "index")
    figures: dict[str, float] = {}
    for turn in range(ROUNDS):
        times: dict[str, list[float]] = {name: [] for name in ("search", *PARTS, "rest")}
        for text in texts:
            clock.taken = dict.fromkeys(PARTS, 0.0)
            whole = 1000 * seconds(lambda: library.search(text, K, rerank=False))  # noqa: B023
            for name, took in (("search", whole), *clock.taken.items(), ("rest", whole - sum(clock.taken.values()))):
                times[name].append(took)
        if turn == 0:
            figures |= _figures("new_words", times["search"])
    for name, taken in times.items():
        figures |= _figures(name, taken)
    return figures


def _figures(name: str, taken: Sequence[float]) -> dict[str, float]:
    return {
        f"{name}_ms": round(statistics.median(taken), 2),
        f"{name}_ms_90": round(float(np.percentile(taken, 90)), 2),
    }


def compared(index: StoredIndex, queries: Vectors) -> tuple[float, float]:
    """Milliseconds that NumPy takes for one of the queries (n, dim + 1), and the recall of the index."""
    rows = np.concatenate([widened(halves) for _, halves in index.rows.blocks()])
    times, shares = [], []
    for query in queries:
        begun = time.perf_counter()
        scores = rows @ query
        best = np.argpartition(-scores, K)[:K]
        best = best[np.argsort(-scores[best])]
        times.append(1000 * (time.perf_counter() - begun))
        shares.append(np.isin(index.rows.ids[best], index.search(query[None], K).ids[0]).mean())
    return statistics.median(times), float(np.mean(shares))


def grown(folder: Path, library: Path, settings: config.Settings, count: int) -> dict[str, object]:
    """What it costs to add photos to an empty library and to this one."""
    photos, encoder = folder / "photos", factory.embedded()
    draw(photos, count)
    with open_library(folder / "empty", settings=settings, encoder=encoder) as empty:
        empty.index(folder / "one")
        alone = empty.index(photos)
    with open_library(library, settings=settings, encoder=encoder) as this:
        took = seconds(lambda: this.index(photos))
        this.remove(photos)
    return {
        "photos": count,
        "to_an_empty_library_s": round(alone.seconds, 2),
        "to_this_one_s": round(took, 2),
        "more_s": round(took - alone.seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--like", type=Path)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--added", type=int, default=1000)
    parser.add_argument("--texts", type=int, default=100)
    given = parser.parse_args()
    encoder = factory.embedded()
    settings = replace(config.Settings(), reranker="none")
    file = given.library / "library.sqlite"
    figures: dict[str, object] = {"photos": given.photos, "like": given.like is not None}
    with tempfile.TemporaryDirectory() as scratch:
        draw(Path(scratch) / "one", 1)
        if not file.exists():
            given.library.mkdir(parents=True, exist_ok=True)
            making = file.with_name("making.sqlite")
            making.unlink(missing_ok=True)
            figures["make_s"] = round(seconds(lambda: make(making, encoder.card, given.photos, given.like)), 1)
            making.rename(file)
            with open_library(given.library, settings=settings, encoder=encoder) as library:
                figures["first_index_run_s"] = round(seconds(lambda: library.index(Path(scratch) / "one")), 1)
                library.remove(Path(scratch) / "one")
        if given.added:
            figures["added"] = grown(Path(scratch), given.library, settings, given.added)
    rng = np.random.default_rng(3)
    unseen = [text for number, text in enumerate(scenes()) if number % TUNING_STRIDE]
    texts = TEXTS if given.like is None else [unseen[at] for at in rng.permutation(len(unseen))[: given.texts]]
    with open_library(given.library, settings=settings) as library:
        figures["open_and_first_search_s"] = round(seconds(lambda: library.search("a photo", rerank=False)), 2)
        figures["index"] = library.status().index_kind
        figures |= {"texts": len(texts), **searched(library, texts)}
        assert isinstance(library.store, SqliteStore)
        figures["lists_mib"] = round(library.store.cached_bytes / 2**20, 1)
    with open_library(given.library, settings=settings) as library:
        stored = library.store.model()
        assert stored is not None
        vectors = [library.encoder().encode_texts([text])[0] for text in texts]
        asked = [
            retrieval.augmented(retrieval.QueryVector(v, beta=retrieval.beta(t)))
            for v, t in zip(vectors, texts, strict=True)
        ]
        index = library.vectors.refresh(stored)
        assert isinstance(index, StoredIndex)
        took, recall = compared(index, np.stack(asked))
    figures |= {"numpy_ms": round(took, 2), "recall": round(recall, 4)}
    figures["speed"] = round(took / float(str(figures["search_ms"])), 1)
    report("million", figures)


if __name__ == "__main__":
    main()
