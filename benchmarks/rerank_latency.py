"""What the second look adds to a warm query: 50 texts and 50 questions, each with and without it, in turns.

    python -m benchmarks.rerank_latency --images DIR [--library DIR] [--rounds 3]

The library is made from the photos in ``DIR`` where it is not there yet; without ``--library`` it lies in a temporary
folder.  Figures are milliseconds: the median and the 90th percentile of a query without, of one with, and of what is
added, the median of a query's rounds each.  A question takes two looks at the candidates, a text one.  "look" is the
reranker's graph alone, over the candidates of one text of 12 pieces.  One JSON line.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import report
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

WHO = ("a dog", "a man in a red shirt", "two children", "a woman with a hat", "people")
DOING = ("running through water", "on a bench", "near a fence", "playing with a ball", "in front of a building")
WHERE = ("", " in the snow")
TEXTS = [f"{who} {doing}{where}" for who, doing, where in itertools.product(WHO, DOING, WHERE)]
QUESTIONS = [f"{'are' if who in ('two children', 'people') else 'is'} there {text}?" for who, text in
             zip([who for who in WHO for _ in range(10)], TEXTS, strict=True)]  # fmt: skip


def seconds(library: Library, query: str, rerank: bool) -> float:
    begun = time.perf_counter()
    hits = library.search(query, rerank=rerank, min_relevance=0.0)
    taken = time.perf_counter() - begun
    assert all((hit.first_stage is not None) == rerank for hit in hits)
    return taken


def measured(library: Library, queries: Sequence[str], rounds: int) -> dict[str, list[float]]:
    rows = []
    for number, query in enumerate(queries):
        pairs = []
        for turn in range(rounds):
            order = (False, True) if (number + turn) % 2 else (True, False)
            taken = {rerank: seconds(library, query, rerank) for rerank in order}
            pairs.append((taken[False], taken[True], taken[True] - taken[False]))
        rows.append([statistics.median(column) for column in zip(*pairs, strict=True)])
    columns = 1000 * np.array(rows).T
    return {
        name: [round(float(np.median(own)), 1), round(float(np.percentile(own, 90)), 1)]
        for name, own in zip(("without", "with", "added"), columns, strict=True)
    }


def look(library: Library, rounds: int = 15) -> float:
    reranker = library.reranker()
    card, count = reranker.card, library.settings.rerank_candidates
    tokens = np.random.default_rng(0).standard_normal((count, card.side**2, card.region_dim)).astype(np.float32)
    text = "a black dog is running on the beach near water"
    assert len(reranker.look(text, tokens[:1]).words) == 12
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        reranker.look(text, tokens)
        taken.append(1000 * (time.perf_counter() - begun))
    return round(statistics.median(taken), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.library or Path(folder)
        with open_library(place, device="cpu") as library:
            if not library.status().photos:
                library.index(given.images)
            for query in (*TEXTS[:3], QUESTIONS[0]):  # loads everything
                seconds(library, query, True)
                seconds(library, query, False)
            figures = {
                "texts": measured(library, TEXTS, given.rounds),
                "questions": measured(library, QUESTIONS, given.rounds),
                "look": look(library),
            }  # fmt: skip
            facts = {"photos": library.status().photos, "candidates": library.settings.rerank_candidates}
    report("rerank_latency", {**figures, **facts, "load": round(os.getloadavg()[0], 1)})


if __name__ == "__main__":
    main()
