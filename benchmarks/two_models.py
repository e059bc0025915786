"""Two checkouts' embedded models beside each other: retrieval, what the second look gains, and speed.

    python -m benchmarks.two_models --data MIXTURE --before CHECKOUT [--every 2] [--parts retrieval false speed]

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes; ``CHECKOUT`` is one of the project
with another version's weights, whose files this code can read.

"retrieval": text to image on each list of photos that the mixture sets aside: by cosines ("plain"), with hubness
correction by each model's own querybank, and reranked (the best 100, with each reranker's own weight; of ``dev`` every
``--every``-th caption).  "weights": R@1 reranked with other weights of the match, this checkout.  "gains" are in
percentage points with 95 % intervals, paired, over photos.

"false captions": how often each reranker's match puts a true caption ahead of a false one by rule, in percent, "blind"
that before the mean of all photos; and what was gained, as above.

"speed": milliseconds through ONNX Runtime, in turns, medians of seven with the least and the most: a photo with region
tokens and without, the vector of a query, and the vector with the states of words that a reranker reads.

One JSON line.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import metrics, reranking_gain
from mmsearch.evaluation.answerable import encode
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.words import WordEncoder
from mmsearch.search import querybank
from mmsearch.search.hubness import BETA, hubness_penalty
from mmsearch.training.common.calibrate import pictures
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.shipped.embedded import read_split
from mmsearch.training.shipped.version2 import ENCODER, RERANKER

HERE = Path(__file__).parent.parent
LISTS = ("words_dev", "coco_dev", "dev")
PARTS = ("retrieval", "false", "speed")
DEPTH = 100  # photos that are reranked
WEIGHTS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06)
ROUNDS, PHOTOS, QUERIES = 7, 64, 60
QUERY = "a dog runs on the beach with a red ball"

Ranks = NDArray[np.int64]


class Model:
    """The encoder and the reranker of a checkout."""

    def __init__(self, checkout: Path) -> None:
        self.encoder = OnnxEncoder(checkout / ENCODER)
        self.reranker = Reranker(checkout / RERANKER, self.encoder)
        self.words = WordEncoder(checkout / ENCODER, checkout / RERANKER / "words.onnx")


def retrieval(model: Model, photos: Pairs, every: int) -> tuple[dict[str, Ranks], dict[str, float]]:
    """The ranks of each caption's photo in every way, and R@1 of other weights of the match."""
    jobs = [(row, text) for row, own in enumerate(photos.texts) for text in own]
    owner = np.array([row for row, _ in jobs])
    vectors, tokens = pictures(model.encoder, photos)
    cosines = encode(model.encoder, [text for _, text in jobs]) @ vectors.T  # (captions, photos)
    bank = querybank.vectors(model.encoder)
    scores = cosines - hubness_penalty(vectors, bank, BETA, querybank.NEAREST)
    rows = np.arange(len(jobs))
    ranks = {"plain": rank(cosines, owner), "corrected": rank(scores, owner)}
    some = rows[::every]
    weights = {model.reranker.card.weight, *WEIGHTS}
    by_weight = {weight: ranks["corrected"][some].copy() for weight in weights}
    for place, row in enumerate(some):
        chosen = np.argsort(-scores[row], kind="stable")[:DEPTH]
        (right,) = np.nonzero(chosen == owner[row])
        if len(right):
            match = model.reranker.look(jobs[row][1], tokens[chosen]).match
            for weight, found in by_weight.items():
                mixed = scores[row, chosen] + weight * match
                found[place] = 1 + int((mixed > mixed[right[0]]).sum())
    ranks |= {"first stage of these": ranks["corrected"][some], "reranked": by_weight[model.reranker.card.weight]}
    return ranks, {f"{weight:g}": recall(found)[0] for weight, found in sorted(by_weight.items())}


def rank(scores: NDArray[np.float32], owner: Ranks) -> Ranks:
    """1 for the best; ``scores`` (captions, photos), ``owner`` (captions,) the right photo of each."""
    right = scores[np.arange(len(owner)), owner]
    found: Ranks = 1 + (scores > right[:, None]).sum(axis=1)
    return found


def recall(ranks: Ranks) -> list[float]:
    """R@1, R@5, R@10 and MRR in percent."""
    return [round(100 * float(value), 2) for value in (*((ranks <= k).mean() for k in (1, 5, 10)), (1 / ranks).mean())]


def compared(before: Model, now: Model, photos: Pairs, every: int) -> dict[str, Any]:
    """All figures on one list of photos."""
    (old, _), (new, weights) = (retrieval(model, photos, every) for model in (before, now))
    owner = np.repeat(np.arange(len(photos)), [len(own) for own in photos.texts])
    some = owner[::every]
    gained = {way: metrics.gains(old[way], new[way], owner if len(old[way]) == len(owner) else some) for way in old}
    looked = {
        name: metrics.gains(ranks["first stage of these"], ranks["reranked"], some)
        for name, ranks in (("before", old), ("now", new))
    }
    figures = {
        name: {way: recall(found) for way, found in each.items()} for name, each in (("before", old), ("now", new))
    }
    return {"captions": len(owner), **figures, "gains": gained, "gains of the second look": looked, "weights": weights}


def told_apart(before: Model, now: Model, photos: Pairs, every: int) -> dict[str, Any]:
    """True captions against false ones, on one list of photos."""
    jobs = [(row, text) for row, own in enumerate(photos.texts) for text in own][::every]
    captions, owner = [text for _, text in jobs], np.array([row for row, _ in jobs])
    old, new = (
        reranking_gain.false_captions(
            model.reranker,
            model.encoder,
            reranking_gain.CaptionedPhotos(captions, owner, *pictures(model.encoder, photos)),
        )
        for model in (before, now)
    )
    figures: dict[str, Any] = {"captions": len(new.kinds)}
    for way in ("reranker", "blind") if new.kinds else ():
        was, became = (np.where(found.ahead[way], 1, 2) for found in (old, new))  # 1 where the true one is ahead
        gain = metrics.gains(was, became, new.photos, [1])["R@1"]
        figures[way] = {"before": recall(was)[0], "now": recall(became)[0], "gain": gain}
    return figures


def speed(before: Model, now: Model) -> dict[str, Any]:
    """Milliseconds of each, in turns."""
    size = now.encoder.card.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (PHOTOS, size, size, 3), np.uint8)
    parts = [pixels[at : at + 8] for at in range(0, PHOTOS, 8)]

    def jobs(model: Model) -> dict[str, Callable[[], object]]:
        encoder = model.encoder
        return {
            "photo with region tokens": lambda: [encoder.encode_pictures(part) for part in parts],
            "photo": lambda: [encoder.encode_images(part) for part in parts],
            "query": lambda: [encoder.encode_texts([QUERY]) for _ in range(QUERIES)],
            "query with words": lambda: [(encoder.encode_texts([QUERY]), model.words([QUERY])) for _ in range(QUERIES)],
        }

    models = {"before": jobs(before), "now": jobs(now)}
    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(ROUNDS + 1):  # the first one loads
        for name in sorted(models, reverse=bool(turn % 2)):
            for job, run in models[name].items():
                begun = time.perf_counter()
                run()
                count = PHOTOS if job.startswith("photo") else QUERIES
                if turn:
                    times.setdefault((name, job), []).append(1000 * (time.perf_counter() - begun) / count)
    found: dict[str, Any] = {"before": {}, "now": {}}
    for (name, job), values in times.items():
        found[name][job] = [round(value, 2) for value in (statistics.median(values), min(values), max(values))]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--lists", nargs="+", default=LISTS, choices=LISTS)
    given = parser.parse_args()
    before, now = Model(given.before), Model(HERE)
    figures: dict[str, Any] = {"before": before.encoder.card.fingerprint, "now": now.encoder.card.fingerprint}
    for part, title, measure in (("retrieval", "retrieval", compared), ("false", "false captions", told_apart)):
        if part in given.parts:
            figures[title] = {
                name: measure(before, now, read_split(given.data, name), given.every if name == "dev" else 1)
                for name in given.lists
            }
    if "speed" in given.parts:
        figures["speed"] = speed(before, now)
    report("two_models", figures)


if __name__ == "__main__":
    main()
