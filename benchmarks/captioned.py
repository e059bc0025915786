"""What benchmarks over captioned photos share: their options, the vectors of the photos, and average precision."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders import factory
from mmsearch.encoders.protocol import Encoder
from mmsearch.media.decode import decode
from mmsearch.types import Vectors


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that name captioned photos and a model."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--only", type=Path)
    parser.add_argument("--model", type=Path, default=factory.EMBEDDED)
    return parser


def photo_vectors(files: Iterable[Path], encoder: Encoder) -> Vectors:
    """A row a photo."""
    rows = []
    for path in files:
        with path.open("rb") as file:
            picture = decode(file, path.name, encoder.card.preprocess)
        rows.append(encoder.encode_images(picture.pixels[None]))
    return np.concatenate(rows)


def average_precision(scores: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Mean of the precision at the place of each right photo, in percent."""
    ranked = right[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(100 * precision[ranked].mean())
