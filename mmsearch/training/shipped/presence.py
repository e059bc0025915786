"""What tells the embedded model which photos show a thing, for NOT: made when the model has been trained.

    python -m mmsearch.training.shipped.presence --data DIR

``DIR`` holds ``images/``, ``captions.tsv`` and ``train.txt``, as ``shipped.mixture`` makes it.  Writes ``presence.npy``
into the model's folder; ``mmsearch/training/common/presence.py`` says how.  ``python -m benchmarks.excluded_terms``
measures it.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import torch

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import answerable
from mmsearch.search.presence import FILE
from mmsearch.training.common import presence
from mmsearch.training.common.pairs import MARGIN, Pictures
from mmsearch.training.contrastive import prefix_cache
from mmsearch.training.shipped.embedded import read_split
from mmsearch.training.shipped.rerank_embedded import sentences
from mmsearch.types import Vectors

log = logging.getLogger(__name__)

VIEWS = 4  # of each photo


class _Vectors:
    """An encoder in the shape that ``prefix_cache.image_views`` wants: pixels to vectors."""

    def __init__(self, encoder: OnnxEncoder) -> None:
        self._encoder = encoder

    def image_prefix(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._encoder.encode_images(pixels.numpy()))


def options(description: str | None) -> argparse.Namespace:
    """What the commands are given that make a part of the embedded model from its vectors of training photos."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=EMBEDDED, help="the model's folder")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return parser.parse_args()


def views(encoder: OnnxEncoder, pictures: Pictures, photos: int, count: int) -> Vectors:
    """The vectors of ``count`` views of photos, (count, photos, dim), unit rows; the first is the photo as it is."""
    with tempfile.TemporaryDirectory() as folder:
        stored = prefix_cache.image_views(
            _Vectors(encoder), pictures, photos, count, Path(folder) / "views.npy", torch.device("cpu"), 0
        )
        rows: Vectors = np.ascontiguousarray(stored.transpose(1, 0, 2)).astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1e-12)
    return rows


def main() -> None:
    given = options(__doc__)
    encoder = OnnxEncoder(given.out)
    kept, pictures = Pictures.open(sentences(read_split(given.data, "train")), encoder.card.preprocess, MARGIN)
    seen = views(encoder, pictures, len(kept), VIEWS)
    made = presence.fit(seen, kept.texts, lambda texts: answerable.encode(encoder, texts))
    if made is None:
        raise SystemExit("the captions name too few things")
    made.write(given.out)
    log.info("wrote %s", given.out / FILE)


if __name__ == "__main__":
    main()
