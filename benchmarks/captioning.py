"""Captions of photos against those that people wrote, beside the captions of the most similar training photo.

    python -m benchmarks.captioning --data DIR [--list dev] [--photos 1000] [--beams 3] [--before CHECKOUT]

``DIR`` holds ``images/``, ``captions.tsv``, ``train.txt`` and ``dev.txt``, or the list that is named, which has the
photos and the references.  The baselines take the nearest training photo by its vector: its first caption, and the one
of its captions that the first stage finds nearest to the photo.  With ``--before`` it is the reranker of another
checkout that is beside, and no training photo is looked at.  One JSON line.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import report
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation.caption_metrics import summarize
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.resolve import SHIPPED, for_encoder
from mmsearch.training.common.pairs import Pairs, Pictures
from mmsearch.training.shipped.embedded import read_split
from mmsearch.types import Regions, Vectors

HERE = Path(__file__).parent.parent


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


def told(reranker: Reranker, tokens: Regions, references: list[list[str]], beams: int) -> dict[str, Any]:
    """What a reranker says of photos, and how good it is."""
    begun = time.perf_counter()
    said = [own[0] for own in reranker.caption(tokens, beams)]
    milliseconds = 1000 * (time.perf_counter() - begun) / len(said)
    return {
        **summarize([one.text for one in said], references),
        "confidence": round(float(np.mean([one.confidence for one in said])), 4),
        "different": len({one.text for one in said}),
        "milliseconds": round(milliseconds, 1),
    }


def of_nearest(encoder: OnnxEncoder, training: Pairs, vectors: Vectors, references: list[list[str]]) -> dict[str, Any]:
    """How good the captions of the nearest training photos are."""
    gallery, _ = encoded(encoder, training, regions=False)
    nearest = (vectors @ gallery.T).argmax(axis=1)
    first = [training.texts[row][0] for row in nearest]
    fitting = [
        training.texts[row][int((encoder.encode_texts(list(training.texts[row])) @ vector).argmax())]
        for row, vector in zip(nearest, vectors, strict=True)
    ]
    return {
        "nearest_photo_first_caption": summarize(first, references),
        "nearest_photo_best_caption": summarize(fitting, references),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--list", default="dev", help="of photos with captions")
    parser.add_argument("--photos", type=int, default=1000, help="of the list, the first ones")
    parser.add_argument("--beams", type=int, default=3)
    parser.add_argument("--before", type=Path, help="a checkout of the project with another reranker")
    given = parser.parse_args()
    encoder = OnnxEncoder(EMBEDDED)
    photos = read_split(given.data, given.list)
    photos = photos.keep(range(min(given.photos, len(photos))))
    vectors, tokens = encoded(encoder, photos, regions=True)
    assert tokens is not None
    references = [list(own) for own in photos.texts]
    figures = {"ours": told(for_encoder(encoder), tokens, references, given.beams)}
    if given.before:
        other = Reranker(given.before / SHIPPED.relative_to(HERE), OnnxEncoder(EMBEDDED))
        figures["before"] = told(other, tokens, references, given.beams)
    else:
        figures |= of_nearest(encoder, read_split(given.data, "train"), vectors, references)
    report("captioning", {**figures, "list": given.list, "beams": given.beams, "photos": len(photos)})


if __name__ == "__main__":
    main()
