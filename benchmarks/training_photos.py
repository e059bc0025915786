"""What the embedded model's towers learn from how many photos, and from which: a learning curve.

    python -m benchmarks.training_photos --data MIXTURE --start V2 --work DIR [--parts "all" "half" ...] [--branches 1]
        [--epochs 1]

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes, ``V2`` a checkout of the project
with version 2.  Both branches are trained as ``mmsearch.training.shipped.embedded`` does it, image backbones as they
are, once for each part of the training photos: an eighth, a quarter, a half and all, drawn with seed 0; Flickr8k's
alone, and all but those of one kind.  Each run has as many steps as all photos take in the recipe's epochs, or in
``--epochs``, and the last moving average of the weights is judged: nothing is chosen on the photos that judge.  The
start has seen the 6,000 photos of Flickr8k's train split in every row.

Judged by the mean of both branches' cosines in float32, or by those of one that ``--branches`` names: text to image on
the lists that the mixture sets aside, and mean average precision of the 200 queries of ``plain_queries.py`` without the
adapter.  "change" is the difference to all photos, with a 95 % interval (over photos; of plain queries over queries).

What the frozen layers give is computed once, and lies in ``--work`` (9 GB), beside the figures of the parts that are
finished: a run that was stopped goes on with the next part.  One JSON line.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import report
from benchmarks.plain_queries import graded, interval, judged_photos, read_grades, read_queries, score
from benchmarks.text_adapter import KINDS, kind_of
from mmsearch.evaluation import metrics
from mmsearch.media.filesystem import atomic_file
from mmsearch.training.common import memory
from mmsearch.training.common.mining import Batch
from mmsearch.training.common.pairs import Pairs, Pictures
from mmsearch.training.common.session import RunOptions
from mmsearch.training.contrastive import prefix_cache, recall
from mmsearch.training.contrastive.embedded_trainee import EmbeddedTrainee
from mmsearch.training.contrastive.prefix_cache import ImageSource
from mmsearch.training.contrastive.trainee import Trainee
from mmsearch.training.contrastive.trainer import ContrastiveTrainer, Outcome
from mmsearch.training.shipped import pretrained
from mmsearch.training.shipped.embedded import (
    BRANCHES,
    CLASS_WEIGHT,
    CLASSES,
    FROM_VERSION_2,
    SPREAD,
    fresh,
    grids,
    read_split,
)
from mmsearch.training.shipped.imagenet import ImageNetTerm, held_out
from mmsearch.types import Vectors

log = logging.getLogger(__name__)

SHARES = {"an eighth": 0.125, "a quarter": 0.25, "half": 0.5, "all": 1.0}
LISTS = ("dev", "coco_dev", "words_dev")
HELD_OUT = 100  # ImageNet classes, as the command leaves them out
READ = ("pairs", "images", "texts", "captions", "groups", "dev", "dev_texts")  # what the trainer reads photos into

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """What a model found: the rank of each caption's photo by list, and the average precision of each plain query."""

    ranks: dict[str, Rows]
    plain: NDArray[np.float64]


class Judge:
    """The photos that the mixture sets aside, what is asked of them, and the figures."""

    def __init__(self, data: Path) -> None:
        captions, self.queries = judged_photos(data), read_queries()
        self.photos = Pairs(data / "images", tuple(captions), tuple(tuple(own) for own in captions.values()))
        self.texts = [text for own in self.photos.texts for text in own] + [query.text for query in self.queries]
        self.owner = np.repeat(np.arange(len(self.photos)), [len(own) for own in self.photos.texts])
        self.grades = graded(self.queries, captions, read_grades())
        split = [set(read_split(data, name).names) for name in LISTS]
        self.lists = [np.flatnonzero([name in own for name in captions]) for own in split]

    def found(self, scores: NDArray[np.float32]) -> Found:
        """From the scores (texts, photos)."""
        ranks = {}
        for name, rows in zip(LISTS, self.lists, strict=True):
            asked = np.flatnonzero(np.isin(self.owner, rows))
            right = scores[asked, self.owner[asked]]
            ranks[name] = (scores[np.ix_(asked, rows)] >= right[:, None]).sum(axis=1)
        plain = scores[len(self.owner) :]
        return Found(ranks, np.array([score(own, grades)[0] for own, grades in zip(plain, self.grades, strict=True)]))

    def figures(self, found: Found, every: Found) -> dict[str, Any]:
        """Of a part, and how they differ from those of all photos."""
        figures: dict[str, Any] = {}
        for name, rows in zip(LISTS, self.lists, strict=True):
            photo = self.owner[np.isin(self.owner, rows)]
            figures[name] = {
                **metrics.summarize(found.ranks[name]),
                "change": metrics.gains(every.ranks[name], found.ranks[name], photo),
            }
        change = found.plain - every.plain
        figures["plain queries"] = {
            "mAP": round(float(found.plain.mean()), 2),
            "change": {"points": round(float(change.mean()), 2), "interval": interval(change)},
        }
        return figures


class PartTrainer(ContrastiveTrainer):
    """The trainer on a part of the photos, which are read once for all parts; it writes no model."""

    def __init__(self, trainee: EmbeddedTrainee, out: Path, branch: Branch, part: Rows) -> None:
        # One epoch as long as all of them were: the rate falls as it did, and the last average is what is left.
        recipe = replace(branch.recipe, epochs=1)
        super().__init__(trainee, recipe, out, [branch.term], RunOptions())
        self.branch, self.part = branch, part

    def _read(self, pairs: Pairs, dev: Pairs | None) -> None:
        if not self.branch.read:
            super()._read(pairs, dev)
            self.branch.read.update({name: vars(self)[name] for name in READ})
        vars(self).update(self.branch.read)
        chosen = set(self.part.tolist())
        self.captions = [rows if row in chosen else rows[:0] for row, rows in enumerate(self.captions)]

    def _images(self, name: str, pictures: Pictures, count: int, views: int) -> ImageSource:
        return self.branch.images(self.trainee, pictures, count, views, name)

    def _plan(self, epoch: int) -> list[Batch]:
        """As many rounds of the part as make the steps of all photos."""
        found: list[Batch] = []
        while len(found) < self.branch.steps:
            found += super()._plan(epoch + len(found))
        return found[: self.branch.steps]

    def _finish(self, state: Any) -> Outcome:
        self.session.load_best()
        self.trainee.module.eval()
        return Outcome(self.out, 1, 1, state.step, None, None, len(self.part), 0, 0, state.loss)


class Branch:
    """A branch: what its frozen layers say about the photos that train and about those that judge."""

    def __init__(self, number: int, start: Path, cache: Path, training: Pairs, judge: Judge, epochs: int) -> None:
        self.branch, self.start, self.cache, self.training = BRANCHES[number], start, cache, training
        self.recipe = replace(FROM_VERSION_2[number], seed=number)
        self.epochs = epochs or self.recipe.epochs
        self.read: dict[str, Any] = {}  # what the trainer read of ``training``; empty before the first part
        cache.mkdir(parents=True, exist_ok=True)
        trainee = self.fresh()
        some = grids(trainee, training.keep(range(min(SPREAD, len(training)))))
        classifier, dropout = pretrained.classifier(self.branch.backbone), self.recipe.feature_dropout
        self.term = ImageNetTerm(classifier, some, CLASSES, CLASS_WEIGHT, dropout, held_out(HELD_OUT))
        _, pictures = Pictures.open(judge.photos, trainee.preprocess)
        self.judged_images = self.images(trainee, pictures, len(judge.photos), 1, "judged")
        self.judged_texts = prefix_cache.text_source(trainee, judge.texts, torch.device("cpu"))

    def fresh(self) -> EmbeddedTrainee:
        return fresh(self.recipe, self.branch, self.start)

    def images(self, trainee: Trainee, pictures: Pictures, count: int, views: int, name: str) -> ImageSource:
        """A source that draws from the stored views of photos, which are computed where they are not there."""
        device, seed, file = torch.device("cpu"), self.recipe.seed, self.cache / f"{name}.npy"
        stored = prefix_cache.image_views(trainee, pictures, count, views, file, device, seed)
        return ImageSource(trainee, pictures, count, device, seed, views > 1, stored)

    @property
    def steps(self) -> int:
        """Of the training with all photos."""
        recipe = self.recipe
        shown = sum(math.ceil(len(own) / recipe.captions_per_photo) for own in self.training.texts)
        return self.epochs * math.ceil(shown / recipe.batch)

    def vectors(self, part: Rows) -> tuple[Vectors, Vectors]:
        """Of the judging photos and of their texts, (n, dim) unit rows, after training on a part of the photos."""
        trainee = self.fresh()
        with tempfile.TemporaryDirectory() as folder:
            PartTrainer(trainee, Path(folder) / "run", self, part).run(self.training, None)
        found = recall.Vectors(trainee, torch.device("cpu"), torch.float32)
        return found.images(self.judged_images), found.texts(self.judged_texts)


def parts(training: Pairs) -> dict[str, Rows]:
    """The rows of the photos of each part."""
    order = np.random.default_rng(0).permutation(len(training))
    kinds = np.array([kind_of(name) for name in training.names])
    found = {name: np.sort(order[: round(share * len(training))]) for name, share in SHARES.items()}
    found["flickr8k alone"] = np.flatnonzero(kinds == "flickr8k")
    return found | {f"all but {kind}": np.flatnonzero(kinds != kind) for kind in (*KINDS, "others")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="a checkout of the project with version 2")
    parser.add_argument(
        "--work", type=Path, required=True, help="keeps what the frozen layers give, and finished parts"
    )
    parser.add_argument("--parts", nargs="+", help="only these; all of them by default")
    every = list(range(len(BRANCHES)))
    parser.add_argument("--branches", nargs="+", type=int, choices=every, default=every)
    parser.add_argument("--epochs", type=int, default=0, help="of all photos; 0 for the recipe's")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    memory.keep_freed()
    training, judge = read_split(given.data, "train"), Judge(given.data)
    chosen = {name: rows for name, rows in parts(training).items() if name in (given.parts or [name])}
    for number in given.branches:
        files = {name: given.work / f"branch{number}" / f"{name}.npz" for name in chosen}
        if all(file.exists() for file in files.values()):
            continue
        branch = Branch(number, given.start, given.work / f"branch{number}" / "cache", training, judge, given.epochs)
        for name, rows in chosen.items():
            if not files[name].exists():
                images, texts = branch.vectors(rows)
                with atomic_file(files[name]) as draft, draft.open("wb") as file:
                    np.savez(file, images=images, texts=texts)
                log.info("branch %d, %s: %d photos", number, name, len(rows))
    found = {}
    for name in chosen:
        stored = [np.load(given.work / f"branch{number}" / f"{name}.npz") for number in given.branches]
        found[name] = judge.found(sum(own["texts"] @ own["images"].T for own in stored) / len(stored))
    figures = {name: {"photos": len(rows), **judge.figures(found[name], found["all"])} for name, rows in chosen.items()}
    report("training_photos", {"branches": given.branches, "epochs": given.epochs, "parts": figures})


if __name__ == "__main__":
    main()
