"""What the second look gains for plain queries, by how many words they have, with several weights of the match.

    python -m benchmarks.second_look --data MIXTURE

``MIXTURE``, queries and grades are those of ``benchmarks.plain_queries``; no weight was chosen on them.  All photos are
one gallery of vectors with hubness correction; the best 100 of each query are looked at again.  Of each weight the mean
average precision in percent, its gain over the first stage with a 95 % interval (bootstrap over queries), and how many
of the first five are right.

"depths": with the weight that ships, by how many candidates are looked at: the mean average precision of plain queries
of two words or more, and R@1 and R@10 of captions of Flickr8k dev and COCO dev, each over its own kind, in percent.

"margins", with these figures: the captions in quarters by how far the first stage's best photo is ahead of its second,
and R@1 of each with the first stage alone and with 30 candidates looked at.

"photos of one word": the photos of ``words_dev.txt``, each asked for by its word alone; the figure is the mean
reciprocal rank of that photo, in percent.  The rule that single words get no second look was found on the plain
queries, not on these.  One JSON line.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.captioned import average_precision
from benchmarks.common import report
from benchmarks.plain_queries import RIGHT, UNCLEAR, graded, judged_photos, read_grades, read_queries
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import metrics
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.resolve import for_encoder
from mmsearch.search import querybank
from mmsearch.search.hubness import hubness_penalty
from mmsearch.search.reranking import FEW
from mmsearch.search.retrieval import beta, without_end_mark
from mmsearch.search.text_adapter import moved
from mmsearch.training.common.calibrate import pictures
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.shipped.embedded import read_split
from mmsearch.types import Regions, Vectors

WEIGHTS = (0.0, 0.005, 0.01, 0.02, 0.03)
DEPTH = 100
DEPTHS = (0, 5, 10, 20, 30, 50, 100)
CAPTIONS = 1000  # of each kind, at most
WORDS = {"one word": (1, 1), "two words": (2, 2), "three or more": (3, 99)}


def fused(first: NDArray[np.float32], top: NDArray[np.int64], added: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (n,) with ``added`` to those of ``top``; the others stay below them, in their order."""
    if not len(top):
        return first
    scores, rest = first.copy(), np.setdiff1d(np.arange(len(first)), top)
    scores[top] += added
    scores[rest] -= max(float(scores[rest].max() - scores[top].min()), 0.0)
    return scores


def asked_by(encoder: OnnxEncoder, text: str) -> Vectors:
    """The vector that a search for a text uses, (dim,)."""
    return moved(encoder, encoder.encode_texts([text])[0], text)


def one_word(
    data: Path, names: Sequence[str], vectors: Vectors, tokens: Regions, hubness: NDArray[np.float32],
    encoder: OnnxEncoder, reranker: Reranker,
) -> dict[str, Any]:  # fmt: skip
    """Single words over all photos by the same two stages: mean reciprocal ranks of their photos, and the gains."""
    photos = read_split(data, "words_dev")
    asked = [(names.index(name), re.sub(r"^(?:a photo of )?(?:an? |the )?", "", own[0])) for name, own in
             zip(photos.names, photos.texts, strict=True)]  # fmt: skip
    asked = [(row, word) for row, word in asked if " " not in word]
    ranks = np.zeros((len(asked), len(WEIGHTS)))
    for number, (row, word) in enumerate(asked):
        first = (vectors @ asked_by(encoder, word) - beta(word) * hubness).astype(np.float32)
        top = np.argsort(-first, kind="stable")[:DEPTH]
        match = reranker.look(word, tokens[top]).match
        for column, weight in enumerate(WEIGHTS):
            scores = fused(first, top, weight * match)
            ranks[number, column] = 100 / (scores >= scores[row]).sum()
    found: dict[str, Any] = {"queries": len(asked)}
    for column, weight in enumerate(WEIGHTS):
        gain = ranks[:, column] - ranks[:, 0]
        low, high = metrics.bootstrap(gain[:, None], np.arange(len(gain)))[:, 0].tolist()
        gains = [round(float(value), 2) for value in (gain.mean(), low, high)]
        found[str(weight)] = {"MRR": round(float(ranks[:, column].mean()), 2), "gain": gains}
    return found


def captions_by_depth(data: Path, kind: str, encoder: OnnxEncoder, reranker: Reranker) -> dict[str, Any]:
    """R@1 and R@10 of captions of one kind of photos over these, by how many candidates are looked at."""
    photos = read_split(data, kind)
    vectors, tokens = pictures(encoder, photos)
    hubness = hubness_penalty(vectors, querybank.vectors(encoder), 1.0, querybank.NEAREST)
    asked = [(row, without_end_mark(text)) for row, own in enumerate(photos.texts) for text in own]
    asked = asked[:: max(1, len(asked) // CAPTIONS)]
    ranks, margins = np.zeros((len(asked), len(DEPTHS))), np.zeros(len(asked))
    for number, (row, text) in enumerate(asked):
        first = (vectors @ asked_by(encoder, text) - beta(text) * hubness).astype(np.float32)
        top = np.argsort(-first, kind="stable")[:DEPTH]
        margins[number] = first[top[0]] - first[top[1]]
        match = reranker.look(text, tokens[top]).match
        for column, depth in enumerate(DEPTHS):
            scores = fused(first, top[:depth], reranker.card.weight * match[:depth])
            ranks[number, column] = (scores >= scores[row]).sum()
    found: dict[str, Any] = {"captions": len(asked)}
    for cutoff in (1, 10):
        recall = 100 * (ranks <= cutoff).mean(axis=0)
        found[f"R@{cutoff}"] = dict(zip(map(str, DEPTHS), recall.round(2).tolist(), strict=True))
    ends = np.quantile(margins, (0.25, 0.5, 0.75))
    quarter = np.digitize(margins, ends)
    right = 100 * (ranks[:, [DEPTHS.index(0), DEPTHS.index(FEW)]] <= 1)
    found["margins"] = {
        "ends": ends.round(4).tolist(),
        "R@1 without and with": [right[quarter == part].mean(axis=0).round(2).tolist() for part in range(4)],
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    encoder = OnnxEncoder(EMBEDDED)
    reranker = for_encoder(encoder)
    captions, queries = judged_photos(given.data), read_queries()
    names = tuple(captions)
    vectors, tokens = pictures(encoder, Pairs(given.data / "images", names, tuple((name,) for name in names)))
    grades = graded(queries, captions, read_grades())
    hubness = hubness_penalty(vectors, querybank.vectors(encoder), 1.0, querybank.NEAREST)
    precision = np.zeros((len(queries), len(WEIGHTS)))
    five, by_depth = np.zeros_like(precision), np.zeros((len(queries), len(DEPTHS)))
    texts = np.stack([asked_by(encoder, query.text) for query in queries])
    for row, (query, text) in enumerate(zip(queries, texts, strict=True)):
        first = (vectors @ text - beta(query.text) * hubness).astype(np.float32)
        top = np.argsort(-first, kind="stable")[:DEPTH]
        match = reranker.look(query.text, tokens[top]).match
        clear, right = grades[row] != UNCLEAR, grades[row] == RIGHT
        for column, depth in enumerate(DEPTHS):
            scores = fused(first, top[:depth], reranker.card.weight * match[:depth])
            by_depth[row, column] = average_precision(scores[clear], right[clear])
        for column, weight in enumerate(WEIGHTS):
            scores = fused(first, top, weight * match)
            precision[row, column] = average_precision(scores[clear], right[clear])
            order = np.argsort(-scores, kind="stable")
            five[row, column] = right[order[clear[order]][:5]].sum()
    counts = np.array([len(query.text.split()) for query in queries])
    figures: dict[str, Any] = {}
    for kind, (least, most) in WORDS.items():
        rows = (counts >= least) & (counts <= most)
        figures[kind] = {"queries": int(rows.sum())}
        for column, weight in enumerate(WEIGHTS):
            gain = precision[rows, column] - precision[rows, 0]
            low, high = metrics.bootstrap(gain[:, None], np.arange(len(gain)))[:, 0].tolist()
            figures[kind][str(weight)] = {
                "mAP": round(float(precision[rows, column].mean()), 2),
                "gain": [round(float(value), 2) for value in (gain.mean(), low, high)],
                "right of five": round(float(five[rows, column].mean()), 2),
            }
    means = by_depth[counts > 1].mean(axis=0).round(2).tolist()
    figures["depths"] = {"plain queries, mAP": dict(zip(map(str, DEPTHS), means, strict=True))}
    for kind in ("dev", "coco_dev"):
        figures["depths"][kind] = captions_by_depth(given.data, kind, encoder, reranker)
    figures["photos of one word"] = one_word(given.data, names, vectors, tokens, hubness, encoder, reranker)
    report("second_look", figures)


if __name__ == "__main__":
    main()
