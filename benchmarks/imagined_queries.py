"""Whether imagined pictures of a query help to find real ones, for each way to imagine and each way to join them.

    python -m benchmarks.imagined_queries --data MIXTURE --work DIR [--samples 8] [--tables]

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes, ``DIR`` has the features and runs
of ``python -m mmsearch.training.generation``; ways that were not trained are left out.

Kinds of queries: "flickr8k", captions of the photos of dev with an odd number (those with an even one chose the
weights) over all of dev; "coco", captions of COCO dev over these; "words", what the photos of single words are called,
over these; "plain", the 200 queries of ``benchmarks.plain_queries`` over all photos that are set aside, by its grades.
Of captions mAP is the mean reciprocal rank, as one photo is right.

Texts score as the first stage of a search does, with hubness correction.  Imagined pictures are compared by cosine.
Scores of both are put in spreads from their mean over the photos, as a search joins a text and an example, and then:
"alone" the mean vector of the samples; "mean" of text and samples; "max" of text and samples; "weighted", the text
plus a share of "alone", the share being the best one by mAP on another kind (COCO's for flickr8k, flickr8k's for the
others). Differences to the text alone are paired, with 95 % intervals by bootstrap over photos or queries.

Beside them: the modality gap (distance between the means of queries and photos), diversity (one minus the cosine of two
samples of a text), and the Fréchet distance of one sample a text to the photos.  One JSON line, or ``--tables``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import report
from benchmarks.plain_queries import LISTS, RIGHT, UNCLEAR, graded, judged_photos, read_grades, read_queries
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import metrics
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.rerank.words import WordEncoder
from mmsearch.search import querybank
from mmsearch.search.hubness import hubness_penalty
from mmsearch.search.retrieval import beta
from mmsearch.training.contrastive.prefix_cache import TokenStates
from mmsearch.training.generation import features, judging, trainer
from mmsearch.training.generation.features import Features
from mmsearch.training.generation.recipe import WAYS
from mmsearch.training.shipped.embedded import read_split
from mmsearch.types import Vectors

FIGURES = ("R@1", "R@10", "mAP")
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
JOINS = ("alone", "mean", "max", "weighted")
CHOSEN_ON = {"flickr8k": "coco", "coco": "flickr8k", "words": "flickr8k", "plain": "flickr8k"}

Scores = NDArray[np.float32]  # (queries, photos)


@dataclass(frozen=True)
class Kind:
    """Queries of one kind, the photos they are asked of, and which are right."""

    texts: list[str]
    told: Features  # whose captions the queries are
    rows: NDArray[np.int64]  # of these captions
    gallery: Vectors  # (photos, dim)
    grades: NDArray[np.int64]  # (queries, photos): RIGHT, UNCLEAR (left out) or 0
    cluster: NDArray[np.int64]  # (queries,): what is drawn together


def figures(scores: Scores, kind: Kind) -> NDArray[np.float64]:
    """R@1, R@10 and average precision of each query, (queries, 3), in percent; a tie counts against the right photo."""
    found = np.zeros((len(scores), 3))
    for row, (own, grades) in enumerate(zip(scores, kind.grades, strict=True)):
        clear = grades != UNCLEAR
        values, right = own[clear], grades[clear] == RIGHT
        order = np.lexsort((right, -values))  # of equals the wrong ones first
        places = np.flatnonzero(right[order])
        precision = np.arange(1, len(places) + 1) / (places + 1)
        found[row] = places[0] < 1, places[0] < 10, precision.mean()
    return 100 * found


def spreads(scores: Scores) -> Scores:
    """Each query's scores in spreads from their mean over the photos."""
    rows: Scores = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
    return rows


def joined(text: Scores, alone: Scores, each: list[Scores]) -> dict[str, Scores]:
    """Scores by each rule that has no weight to choose."""
    return {
        "alone": alone,
        "mean": text + np.mean(each, axis=0),
        "max": np.maximum(text, np.max(each, axis=0)),
    }


def compared(before: NDArray[np.float64], after: NDArray[np.float64], kind: Kind) -> dict[str, Any]:
    """The figures after, and what they gained with 95 % intervals."""
    low, high = metrics.bootstrap(after - before, kind.cluster)
    return {
        name: {
            "value": round(float(after[:, column].mean()), 2),
            "gain": round(float((after - before)[:, column].mean()), 2),
            "interval": [round(float(low[column]), 2), round(float(high[column]), 2)],
        }
        for column, name in enumerate(FIGURES)
    }


def caption_kind(data: Path, work: Path, split: str, odd: bool = False) -> Kind:
    found = features.load(work / "features" / split)
    texts = [text for own in features.unique_texts(read_split(data, split)).texts for text in own]
    rows = found.usable()
    rows = rows[found.owner[rows] % 2 == 1] if odd else rows
    grades = np.zeros((len(rows), len(found.vectors)), np.int64)
    grades[np.arange(len(rows)), found.owner[rows]] = RIGHT
    return Kind([texts[row] for row in rows], found, rows, found.vectors.astype(np.float32), grades, found.owner[rows])


def plain_kind(data: Path, work: Path, encoder: OnnxEncoder) -> Kind:
    rows: dict[str, NDArray[np.float16]] = {}
    for name in LISTS:
        split = name.removesuffix(".txt")
        rows |= dict(zip(read_split(data, split).names, features.load(work / "features" / split).vectors, strict=True))
    captions, queries = judged_photos(data), read_queries()
    grades = graded(queries, captions, read_grades())
    texts = [query.text for query in queries]
    told = text_features(encoder, texts)
    gallery = np.stack([rows[name] for name in captions]).astype(np.float32)
    return Kind(texts, told, np.arange(len(texts)), gallery, grades, np.arange(len(texts)))


def text_features(encoder: OnnxEncoder, texts: list[str]) -> Features:
    """Features of texts that belong to no picture."""
    words = WordEncoder(EMBEDDED, SHIPPED / "words.onnx", graph=encoder.text_graph)
    parts = [features.one_text(encoder, words, [text]) for text in texts]
    lengths = [int(mask.sum()) for _, _, mask in parts]
    states = np.concatenate([own[0, :length] for (_, own, _), length in zip(parts, lengths, strict=True)])
    packed = TokenStates(states.astype(np.float16), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    none = np.empty((0, 0), np.float16)
    vectors = np.concatenate([vector for vector, _, _ in parts]).astype(np.float16)
    return Features(none, none, vectors, packed, np.zeros(len(texts), np.int64))


def text_scores(kind: Kind, bank: Vectors) -> Scores:
    hubness = hubness_penalty(kind.gallery, bank, 1.0, querybank.NEAREST)
    shares = np.array([beta(text) for text in kind.texts], np.float32)
    scores: Scores = kind.told.texts[kind.rows].astype(np.float32) @ kind.gallery.T - shares[:, None] * hubness
    return scores


def space_figures(imagined: Vectors, kind: Kind) -> dict[str, float]:
    """How imagined pictures (n, samples, dim) lie among those of ``kind``."""
    return {
        "gap": round(judging.modality_gap(imagined[:, 0], kind.gallery), 4),
        "diversity": round(judging.diversity(imagined), 4),
        "frechet": round(judging.frechet_distance(imagined[:, 0], kind.gallery), 4),
    }


def judged(kinds: Mapping[str, Kind], work: Path, bank: Vectors, samples: int) -> dict[str, Any]:
    texts = {name: spreads(text_scores(kind, bank)) for name, kind in kinds.items()}
    before = {name: figures(texts[name], kind) for name, kind in kinds.items()}
    flickr = kinds["flickr8k"]
    other = features.load(work / "features" / "train").vectors[: len(flickr.gallery)].astype(np.float32)
    found: dict[str, Any] = {
        "text": {name: dict(zip(FIGURES, before[name].mean(axis=0).round(2).tolist(), strict=True)) for name in kinds},
        "text space": space_figures(flickr.told.texts[flickr.rows].astype(np.float32)[:, None], flickr),
        "real space": space_figures(other[:, None], flickr),
    }
    pairs = flickr.gallery[::2][:400] @ flickr.gallery[1::2][:400].T
    found["real space"]["diversity"] = round(float(1 - pairs.mean()), 4)  # of any two photos
    for way in WAYS:
        if not (work / way / trainer.WEIGHTS).is_file():
            continue
        generator, space, recipe = trainer.load(work / way)
        drawn = {
            name: judging.vectors_of(space, judging.draw_latents(generator, kind.told, kind.rows, samples, seed=1))
            for name, kind in kinds.items()
        }
        alone = {name: spreads(judging.mean_vectors(drawn[name]) @ kind.gallery.T) for name, kind in kinds.items()}
        curves = {
            name: [figures(texts[name] + weight * alone[name], kind) for weight in WEIGHTS]
            for name, kind in kinds.items()
        }
        best = {name: int(np.argmax([one[:, 2].mean() for one in curve])) for name, curve in curves.items()}
        found[way] = {
            "steps": recipe.steps if way != "linear" else 0,
            "space": space_figures(drawn["flickr8k"], flickr),
            "weights": {name: WEIGHTS[place] for name, place in best.items()},
        }
        for name, kind in kinds.items():
            each = [spreads(drawn[name][:, number] @ kind.gallery.T) for number in range(drawn[name].shape[1])]
            rules = joined(texts[name], alone[name], each)
            after = {rule: figures(scores, kind) for rule, scores in rules.items()}
            after["weighted"] = curves[name][best[CHOSEN_ON[name]]]
            found[way][name] = {rule: compared(before[name], after[rule], kind) for rule in JOINS}
    return found


def tables(found: Mapping[str, Any], kinds: Mapping[str, Kind]) -> str:
    """The tables of ``docs/imagine.md``."""
    lines = []
    for name, kind in kinds.items():
        lines += [f"\n{name}: {len(kind.texts)} queries, {len(kind.gallery)} photos\n",
                  "| way | joined | R@1 | R@10 | mAP |", "|---|---|---|---|---|"]  # fmt: skip
        lines.append("| text alone | | " + " | ".join(f"{found['text'][name][one]:.2f}" for one in FIGURES) + " |")
        for way in filter(found.__contains__, WAYS):
            for rule in JOINS:
                cells = [found[way][name][rule][one] for one in FIGURES]
                shown = [f"{c['value']:.2f} ({c['gain']:+.2f}: {c['interval'][0]:+.2f} to {c['interval'][1]:+.2f})" for
                         c in cells]  # fmt: skip
                label = f"weighted {found[way]['weights'][CHOSEN_ON[name]]:g}" if rule == "weighted" else rule
                lines.append(f"| {way} | {label} | " + " | ".join(shown) + " |")
    lines += ["\n| | gap | Fréchet | diversity |", "|---|---|---|---|"]
    spaces = {"texts": found["text space"], "other photos": found["real space"]}
    spaces |= {way: found[way]["space"] for way in WAYS if way in found}
    lines += [f"| {name} | {one['gap']:.3f} | {one['frechet']:.3f} | {one['diversity']:.3f} |" for name, one in
              spaces.items()]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("scratch/generation"))
    parser.add_argument("--samples", type=int, default=8, help="imagined pictures of a query")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--tables", action="store_true")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    encoder = OnnxEncoder(EMBEDDED, given.threads)
    kinds = {
        "flickr8k": caption_kind(given.data, given.work, "dev", odd=True),
        "coco": caption_kind(given.data, given.work, "coco_dev"),
        "words": caption_kind(given.data, given.work, "words_dev"),
        "plain": plain_kind(given.data, given.work, encoder),
    }
    found = judged(kinds, given.work, querybank.vectors(encoder), given.samples)
    if given.tables:
        print(tables(found, kinds))
    else:
        counts = {name: {"queries": len(kind.texts), "photos": len(kind.gallery)} for name, kind in kinds.items()}
        report("imagined_queries", {"kinds": counts, "samples": given.samples, **found})


if __name__ == "__main__":
    main()
