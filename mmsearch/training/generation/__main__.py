"""Train a generator of pictures' features from texts.

    python -m mmsearch.training.generation --data MIXTURE --work DIR --way flow [--photos N] [--resume] [--steps N …]

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes.  ``DIR/features`` gets the
features of its photos and captions by the embedded model, once for all ways; ``DIR/WAY`` the run (``generator.pt``).
``--photos`` takes so many of the training photos, drawn by seed 0.  Weights are chosen on the captions of every other
photo of Flickr8k dev.  After a kill the same command with ``--resume`` goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import MMSearchError
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.training.common.session import RunOptions
from mmsearch.training.generation import features
from mmsearch.training.generation.recipe import WAYS, GenerationRecipe
from mmsearch.training.generation.trainer import GeneratorTrainer
from mmsearch.training.shipped.embedded import read_split

log = logging.getLogger(__name__)

SPLITS = ("dev", "coco_dev", "words_dev", "train")
SAY_EVERY = 30.0  # seconds between two lines about features


def write_features(data: Path, folder: Path, photos: int, threads: int) -> None:
    """The features of all splits that are not there yet."""
    encoder = OnnxEncoder(EMBEDDED, threads)
    for split in SPLITS:
        pairs = features.unique_texts(read_split(data, split))
        if split == "train":
            pairs = features.sample(pairs, photos)
        last = time.monotonic()

        def said(done: int, total: int, split: str = split) -> None:
            nonlocal last
            if time.monotonic() - last >= SAY_EVERY:
                last = time.monotonic()
                log.info("features of %s: %d of %d", split, done, total)

        features.write(encoder, SHIPPED / "words.onnx", pairs, folder / split, said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("scratch/generation"))
    parser.add_argument("--photos", type=int, default=0, help="of the training photos; 0 takes all")
    parser.add_argument("--threads", type=int, default=0, help="of the embedded model; 0 takes all cores")
    parser.add_argument("--resume", action="store_true")
    for one in fields(GenerationRecipe):
        kind: Any = type(one.default)
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=one.default,
                            choices=list(WAYS) if one.name == "way" else None)  # fmt: skip
    given = vars(parser.parse_args())
    data, work, photos, threads = (given.pop(name) for name in ("data", "work", "photos", "threads"))
    options = RunOptions(resume=given.pop("resume"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        recipe = GenerationRecipe(**given)
        write_features(data, work / "features", photos, threads)
        found = {split: features.load(work / "features" / split) for split in ("train", "dev")}
        trainer = GeneratorTrainer(found["train"], found["dev"], recipe, work / recipe.way, options)
        figures = trainer.run({"photos": len(trainer.photos), "captions": len(trainer.rows)})
    except MMSearchError as error:
        sys.exit(f"{parser.prog}: {error}")
    print(json.dumps({"way": recipe.way, "dev, selection half": figures}))


if __name__ == "__main__":
    main()
