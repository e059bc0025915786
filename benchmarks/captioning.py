"""Captions of photos against those that people wrote, beside the captions of the most similar training photo.

    python -m benchmarks.captioning --data DIR [--photos 1000] [--beams 3]

``DIR`` holds ``images/``, ``captions.tsv``, ``train.txt`` and ``dev.txt``; dev has the photos and the references.  The
baselines take the nearest training photo by its vector: its first caption, and the one of its captions that the first
stage finds nearest to the photo.  One JSON line.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.common import report
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation.caption_metrics import summarize
from mmsearch.rerank.resolve import for_encoder
from mmsearch.training.common.pairs import Pairs, Pictures
from mmsearch.training.shipped.embedded import read_split
from mmsearch.types import Regions, Vectors


def encoded(encoder: OnnxEncoder, photos: Pairs, regions: bool) -> tuple[Vectors, Regions | None]:
    _, pictures = Pictures.open(photos, encoder.card.preprocess)
    vectors, tokens = [], []
    for start in range(0, len(photos), 32):
        pixels = pictures.plain(range(start, min(start + 32, len(photos))))
        if regions:
            rows, own = encoder.encode_pictures(pixels)
            assert own is not None
            tokens.append(own)
        else:
            rows = encoder.encode_images(pixels)
        vectors.append(rows)
    return np.concatenate(vectors), np.concatenate(tokens) if regions else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=1000, help="of dev, the first ones")
    parser.add_argument("--beams", type=int, default=3)
    given = parser.parse_args()
    encoder = OnnxEncoder(EMBEDDED)
    reranker = for_encoder(encoder)
    training, dev = read_split(given.data, "train"), read_split(given.data, "dev")
    dev = dev.keep(range(min(given.photos, len(dev))))
    vectors, tokens = encoded(encoder, dev, regions=True)
    assert tokens is not None
    gallery, _ = encoded(encoder, training, regions=False)
    begun = time.perf_counter()
    said = [own[0] for own in reranker.caption(tokens, given.beams)]
    milliseconds = 1000 * (time.perf_counter() - begun) / len(dev)
    nearest = (vectors @ gallery.T).argmax(axis=1)
    first = [training.texts[row][0] for row in nearest]
    fitting = [
        training.texts[row][int((encoder.encode_texts(list(training.texts[row])) @ vector).argmax())]
        for row, vector in zip(nearest, vectors, strict=True)
    ]
    references = [list(own) for own in dev.texts]
    report(
        "captioning",
        {
            "ours": summarize([one.text for one in said], references),
            "nearest_photo_first_caption": summarize(first, references),
            "nearest_photo_best_caption": summarize(fitting, references),
            "confidence": round(float(np.mean([one.confidence for one in said])), 4),
            "different": len({one.text for one in said}),
            "milliseconds": round(milliseconds, 1),
            "beams": given.beams,
            "photos": len(dev),
        },
    )


if __name__ == "__main__":
    main()
