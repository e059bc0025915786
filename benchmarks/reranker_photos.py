"""What a reranker learns from how many photos, and from which: a learning curve.

    python -m benchmarks.reranker_photos --data MIXTURE --work DIR [--parts "all" "half" ...] [--steps 150]

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes.  A reranker in the sizes that ship
is trained on the match alone, for the same number of steps on each of the parts of ``training_photos.py``: an eighth, a
quarter, a half and all of the photos with captions, Flickr8k's alone, and all but those of one kind.  The last average
of the weights is judged: nothing is chosen on the photos that judge.

Judged by R@1 of text to image on Flickr8k dev (every second caption) and COCO dev, over the first stage with hubness
correction and its best 30 photos: the match alone, and added with each of ``WEIGHTS``.  "gained" is the difference to
the first stage with the first of them, "change" to the reranker of all photos, with 95 % intervals over photos.

What was encoded lies in ``--work`` (2 GB), beside the parts that are finished: a run that was stopped goes on with the
next one.  One JSON line.
"""

from __future__ import annotations

import argparse
import json
import logging
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from benchmarks.rerank_ablation import BASE, trained
from benchmarks.training_photos import parts
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import metrics
from mmsearch.evaluation.answerable import encode
from mmsearch.media.filesystem import atomic_file
from mmsearch.rerank.model import RerankModel
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.common import memory
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.reranker import judging
from mmsearch.training.reranker.data import EvalData, Thing, TrainData
from mmsearch.training.reranker.preparation import BANK, Sources, dev_data, nearest, prepare, read_photos
from mmsearch.training.reranker.trainer import match_scores
from mmsearch.training.shipped.embedded import read_split
from mmsearch.training.shipped.rerank_embedded import sentences
from mmsearch.types import Vectors

log = logging.getLogger(__name__)

WEIGHTS = (0.01, 0.02, 0.03)  # of the match; the first is the one that ships
LISTS = {"dev": 2, "coco_dev": 1}  # every second caption is asked, and each
CANDIDATES = 30

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Material:
    """What all parts share."""

    data: TrainData  # of all photos
    judged: dict[str, EvalData]
    said: Vectors  # (photos, dim): the mean of the vectors of each photo's captions


def material(data: Path, training: Pairs, work: Path) -> Material:
    """Encoded once, and kept in ``work``."""
    kept = work / "material.pkl"
    if kept.exists():
        found: Material = pickle.loads(kept.read_bytes())
        return found
    encoder, words = OnnxEncoder(EMBEDDED), WordEncoder(EMBEDDED, SHIPPED / "words.onnx")
    recipe = BASE
    first, second = (read_split(data, name) for name in LISTS)
    made, judged, _ = prepare(encoder, words, Sources(training, first), recipe, work)
    own = encode(encoder, [text for texts in training.texts for text in texts])
    bank = own[np.random.default_rng(recipe.seed).permutation(len(own))[:BANK]]
    second, photos = read_photos(encoder, second, recipe, work / "second.npy", 1, None)
    other = dev_data(encoder, words, second, photos, bank, [], (None, []), recipe)
    said = np.stack([own[rows].sum(axis=0) for rows in training.caption_rows()])
    found = Material(made, dict(zip(LISTS, (judged, other), strict=True)), said)
    with atomic_file(kept) as draft, draft.open("wb") as file:
        pickle.dump(found, file, protocol=5)
    return found


def part_of(given: Material, rows: Rows) -> TrainData:
    """The training data with the captions of some photos alone."""
    data, chosen = given.data, set(rows.tolist())
    near = np.zeros((len(data.captions), min(BASE.near, len(rows) - 1)), np.int64)
    near[rows] = rows[nearest(given.said[rows], data.photos.vectors()[rows], BASE.near, data.alike[rows])]
    things = [Thing(one.line, np.intersect1d(one.shown, rows), np.intersect1d(one.absent, rows)) for one in data.things]
    return replace(
        data, near=near, things=[one for one in things if len(one.shown) and len(one.absent)],
        captions=[own if row in chosen else own[:0] for row, own in enumerate(data.captions)],
    )  # fmt: skip


def ranks(model: RerankModel, judged: EvalData, every: int) -> dict[str, Rows]:
    """The rank of each caption's photo by the first stage, the match, and both with each weight."""
    rows = np.arange(0, len(judged.captions), every)
    shown, first = judged.candidates[rows, :CANDIDATES], judged.first[rows, :CANDIDATES]
    match = match_scores(model, judged.tokens, judged.lines, judged.captions[rows], shown)
    right = shown == judged.owner[rows, None]
    found = {"first stage": judging.ranked(first, match, right, "weighted", 0.0)}
    found["match"] = judging.ranked(first, match, right, "match", 1.0)
    return found | {f"weight {one:g}": judging.ranked(first, match, right, "weighted", one) for one in WEIGHTS}


def figures(found: dict[str, Rows], every: dict[str, Rows], photo: Rows) -> dict[str, Any]:
    shipped = f"weight {WEIGHTS[0]:g}"
    return {
        "R@1": {way: round(100 * float((own == 1).mean()), 2) for way, own in found.items()},
        "gained": metrics.gains(found["first stage"], found[shipped], photo, [1])["R@1"],
        "change": {way: metrics.gains(every[way], found[way], photo, [1])["R@1"] for way in ("match", shipped)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="keeps what was encoded, and finished parts")
    parser.add_argument(
        "--parts", nargs="+", help='only these, and "all", which others are compared with; all of them by default'
    )
    parser.add_argument("--steps", type=int, default=150)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    memory.keep_freed()
    given.work.mkdir(parents=True, exist_ok=True)
    training = sentences(read_split(given.data, "train"))
    shared = material(given.data, training, given.work)
    recipe = replace(BASE, steps=given.steps, dev_every=given.steps)
    there = parts(training)
    if unknown := set(given.parts or ()) - set(there):
        parser.error(f"there is no part {unknown.pop()!r}; there are: {', '.join(there)}")
    chosen = {name: rows for name, rows in there.items() if name in (given.parts or there) or name == "all"}
    found: dict[str, dict[str, dict[str, Rows]]] = {}
    for name, rows in chosen.items():
        done = given.work / f"{name} {given.steps}.json"
        if not done.exists():
            model = trained(recipe, part_of(shared, rows), recipe.answers, recipe.caption_words)
            own = {which: ranks(model, shared.judged[which], every) for which, every in LISTS.items()}
            lists = {which: {way: some.tolist() for way, some in ways.items()} for which, ways in own.items()}
            done.write_text(json.dumps(lists))
            log.info("%s: %d photos", name, len(rows))
        stored = json.loads(done.read_text())
        found[name] = {which: {way: np.array(some) for way, some in ways.items()} for which, ways in stored.items()}
    photo = {which: shared.judged[which].owner[::every] for which, every in LISTS.items()}
    rows_of = {
        name: {"photos": len(chosen[name])} | {w: figures(own[w], found["all"][w], photo[w]) for w in LISTS}
        for name, own in found.items()
    }
    report("reranker_photos", {"steps": given.steps, "candidates": CANDIDATES, "weights": WEIGHTS, "parts": rows_of})


if __name__ == "__main__":
    main()
