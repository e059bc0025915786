"""The background and the calibration of the embedded model, made when it has been trained.

    python -m mmsearch.training.shipped.calibrate --data DIR

``DIR`` holds ``images/``, ``captions.tsv``, ``train.txt``, ``dev.txt`` and maybe ``coco_dev.txt``, as
``shipped.mixture`` makes it; both dev sets count as one.  Two files are written into the folder:

``background.npy``: 512 centroids of every fifth caption of the training photos.

``calibration.json``: fitted on captions of one half of the dev photos; ``mmsearch/evaluation/answerable.py`` says
how.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation.answerable import maps, scored, typical
from mmsearch.rerank.resolve import for_encoder
from mmsearch.search import querybank
from mmsearch.search.calibration import FILE, Calibration
from mmsearch.training.common.calibrate import centroids, pictures
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.shipped.embedded import read_split

log = logging.getLogger(__name__)

EVERY = 5  # of so many training captions one is clustered


def read_dev(data: Path) -> Pairs:
    """The photos of all dev sets of ``data``."""
    dev = read_split(data, "dev")
    if not (data / "coco_dev.txt").exists():
        return dev
    other = read_split(data, "coco_dev")
    return replace(dev, names=dev.names + other.names, texts=dev.texts + other.texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=EMBEDDED, help="the model's folder")
    parser.add_argument("--every", type=int, default=4, help="of so many dev captions one is used")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    encoder = OnnxEncoder(given.out)
    training = read_split(given.data, "train")
    if not (given.out / querybank.FILE).exists():
        querybank.save(
            given.out / querybank.FILE, centroids(encoder, [text for own in training.texts for text in own][::EVERY])
        )
    reranker = for_encoder(encoder)
    dev = read_dev(given.data)
    seen = pictures(encoder, dev)
    scores = scored(encoder, reranker, dev.texts, seen, given.every)
    first, reranked = maps(scores, scores["photo"] % 2 == 0)
    made = Calibration(first, typical(encoder, seen[0]), reranked, reranker.card.fingerprint)
    (given.out / FILE).write_text(made.to_json(), "utf-8")
    log.info("wrote %s", json.dumps(json.loads(made.to_json())))


if __name__ == "__main__":
    main()
