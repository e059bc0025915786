"""Train the decoder from region tokens to pixels.

    python -m mmsearch.training.generation.sketches --data MIXTURE --work DIR [--resume] [--steps N …]

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes.  ``DIR/features`` gets region
tokens and pixels of its photos, once (a generator's run in the same ``DIR`` shares the tokens); ``DIR/sketches`` the
run (``decoder.pt``).  After a kill the same command with ``--resume`` goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import MMSearchError
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.training.common.session import RunOptions
from mmsearch.training.generation import features
from mmsearch.training.generation.sketches import data as sketch_data
from mmsearch.training.generation.sketches.recipe import SketchRecipe
from mmsearch.training.generation.sketches.trainer import SketchTrainer
from mmsearch.training.shipped.embedded import read_split

SPLITS = ("dev", "train")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("scratch/generation"))
    parser.add_argument("--threads", type=int, default=0, help="of the embedded model; 0 takes all cores")
    parser.add_argument("--resume", action="store_true")
    for one in fields(SketchRecipe):
        kind: Any = type(one.default)
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=one.default)
    given = vars(parser.parse_args())
    data, work, threads = (given.pop(name) for name in ("data", "work", "threads"))
    options = RunOptions(resume=given.pop("resume"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        recipe = SketchRecipe(**given)
        encoder = OnnxEncoder(EMBEDDED, threads)
        for split in SPLITS:
            pairs, folder = features.unique_texts(read_split(data, split)), work / "features" / split
            features.write(encoder, SHIPPED / "words.onnx", pairs, folder, parts=("pictures",))
            sketch_data.write_pixels(encoder, pairs, folder)
        train, dev = (sketch_data.load(work / "features" / split) for split in reversed(SPLITS))
        trainer = SketchTrainer(train, dev, recipe, work / "sketches", options)
        figures = trainer.run({"photos": len(train.rows)})
    except MMSearchError as error:
        sys.exit(f"{parser.prog}: {error}")
    print(json.dumps({"dev": figures}))


if __name__ == "__main__":
    main()
