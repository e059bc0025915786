"""Train the embedded model: pretrained towers whose upper parts are trained on captioned photos and class names.

    python -m mmsearch.training.shipped.embedded --data DIR --out mmsearch/encoders/weights/embedded

``DIR`` holds ``images/``, ``captions.tsv``, ``train.txt`` and ``dev.txt``.  The run itself lives in ``--work`` (5 GB
while it lasts); after a kill the same command goes on.  The moving average of the weights that has the best
text-to-image R@1 on dev is written to ``--out``.  ``docs/embedded-model.md`` has what each part of the recipe gave.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, TextTower
from mmsearch.errors import SourceError
from mmsearch.training.common import memory, pairs
from mmsearch.training.common.pairs import Pairs, Pictures
from mmsearch.training.common.session import RunOptions
from mmsearch.training.contrastive.embedded_trainee import EmbeddedTrainee
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainer import Outcome, train
from mmsearch.training.shipped import pretrained
from mmsearch.training.shipped.imagenet import ImageNetTerm, held_out, unseen_accuracy

log = logging.getLogger(__name__)

RECIPE = Recipe(
    epochs=5, batch=500, captions_per_photo=2, image_layers=2, text_layers=3, lr=1e-3, image_lr=1e-4, text_lr=1e-4,
    layer_decay=1.0, warmup=0.15, ema=0.99, text_text=0.25, feature_dropout=0.3, region_dropout=0.2, word_dropout=0.15,
    views=6, patience=0, precision="bf16",
)  # fmt: skip
CLASSES = 128  # of ImageNet, beside each batch
CLASS_WEIGHT = 0.3
SPREAD = 256  # photos whose states give the made-up grids of classes their spread


def fresh(recipe: Recipe) -> EmbeddedTrainee:
    """The pretrained towers with new poolings; the same for the same seed."""
    config = EmbeddedConfig()
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        images, texts = ImageTower(config), TextTower(config)
    pretrained.load_image_tower(images)
    pretrained.load_text_tower(texts, config)
    return EmbeddedTrainee(images, texts, config, pretrained.tokenizer(), recipe.image_layers, recipe.text_layers)


def read_split(data: Path, name: str) -> Pairs:
    """The photos named in ``train.txt`` or ``dev.txt`` with their captions.  Raises SourceError."""
    try:
        wanted = set((data / f"{name}.txt").read_text("utf-8").split("\n"))
    except OSError as error:
        raise SourceError(f"{data / name}.txt cannot be read: {error.strerror}") from error
    every = pairs.read(data / "captions.tsv", data / "images")
    return every.keep(row for row, photo in enumerate(every.names) if photo in wanted)


@torch.no_grad()
def grids(trainee: EmbeddedTrainee, photos: Pairs) -> NDArray[np.float16]:
    """The states of some photos, (n, s, width)."""
    _, pictures = Pictures.open(photos, trainee.preprocess)
    rows = np.arange(len(photos))
    found = [
        trainee.image_states(trainee.image_prefix(torch.from_numpy(pictures.plain(rows[start : start + 32]))))
        for start in range(0, len(rows), 32)
    ]
    return torch.cat(found).half().numpy()


def run(
    data: Path, work: Path, recipe: Recipe, hold_out: int = 0, device: str = "cpu", classes: int = CLASSES
) -> tuple[EmbeddedTrainee, Outcome, dict[str, float]]:
    """Train in ``work``, or go on there.

    The trained model, what became of it, and the accuracy on ``hold_out`` classes of ImageNet that were never named,
    before training and after.
    """
    training, dev = read_split(data, "train"), read_split(data, "dev")
    trainee = fresh(recipe)
    unseen = held_out(hold_out) if hold_out else None
    some = grids(trainee, training.keep(range(min(SPREAD, len(training)))))
    term = ImageNetTerm(pretrained.classifier(), some, classes, CLASS_WEIGHT, recipe.feature_dropout, unseen)
    accuracy = {}
    if unseen is not None:
        accuracy["before"] = unseen_accuracy(trainee, term, unseen)
    outcome = train(
        trainee, training, dev, recipe, work, [term] if classes else [],
        RunOptions(device=device, resume=(work / "run" / "run.json").exists(), keep_cache=True),
    )  # fmt: skip
    if unseen is not None:
        accuracy["after"] = unseen_accuracy(trainee, term, unseen)
    return trainee, outcome, accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("scratch/embedded"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--hold-out", type=int, default=100, help="ImageNet classes never to be named, and then asked for"
    )
    parser.add_argument("--classes", type=int, default=CLASSES, help="ImageNet classes beside each batch; 0 for none")
    for field in fields(Recipe):
        kind = type(getattr(RECIPE, field.name))
        parse = (lambda text: text.lower() in ("1", "true", "yes")) if kind is bool else kind
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=parse, default=getattr(RECIPE, field.name))
    given = vars(parser.parse_args())
    data, out, work, device = given.pop("data"), given.pop("out"), given.pop("work"), given.pop("device")
    hold_out, classes = given.pop("hold_out"), given.pop("classes")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    memory.keep_freed()
    recipe = replace(RECIPE, **given)
    trainee, outcome, accuracy = run(data, work, recipe, hold_out, device, classes)
    facts = json.loads((work / "recipe.json").read_text("utf-8"))
    facts |= {"classes": classes, "class_weight": CLASS_WEIGHT, "held_out": hold_out, "unseen_accuracy": accuracy}
    facts.pop("model")
    trainee.save(out, facts, name="embedded")
    shutil.rmtree(work)
    log.info("wrote %s: dev %s, unseen classes %s", out, outcome.after, accuracy)


if __name__ == "__main__":
    main()
