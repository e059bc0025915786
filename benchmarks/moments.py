"""Which frames of a film become one moment: how far the camera may move, and how often a cut goes unseen.

    python -m benchmarks.moments DIR [--photos 200] [--model FOLDER]

Each photo of DIR is the first frame of a shot, seen through a window of 80 % of its sides.  The frames after it are the
window moved by a share of its width, one made larger, darker, and one with the noise of weak light; each as a JPEG of
quality 60.  A cut is that window and the one of another photo: a random one, and, as the hard case, the photo that is
nearest to it by vector, such as the next one of the same place.  ``folded`` says of each kind which share becomes one
moment with the first frame at the shipped bounds, and at others.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from benchmarks.common import report
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.ingest.moments import BITS, COSINE
from mmsearch.media.decode import prepare, upright
from mmsearch.media.dhash import Hashes, as_numbers, dhash, distance
from mmsearch.types import Pixels, Preprocess, Vectors

MOVED = (0.01, 0.02, 0.05, 0.1, 0.2)
BOUNDS = ((6, 0.9), (10, 0.9), (12, 0.8), (12, 0.85), (12, 0.9), (12, 0.95), (16, 0.9), (20, 0.9), (64, 0.9), (12, 0.0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    given = parser.parse_args()
    encoder = OnnxEncoder(given.model)
    files = sorted(path for path in given.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chosen = np.random.default_rng(0).permutation(len(files))[: given.photos]
    shots: dict[str, list[Pixels]] = {}
    for number in chosen.tolist():
        with files[number].open("rb") as file:
            photo = upright(file, str(files[number]), 720)
        for kind, frame in _frames(photo, np.random.default_rng(number)):
            shots.setdefault(kind, []).append(_prepared(frame, encoder.card.preprocess))
    looks = {kind: as_numbers([dhash(one) for one in frames])[0] for kind, frames in shots.items()}
    vectors = {kind: _encoded(encoder, frames) for kind, frames in shots.items()}
    first, hashes = vectors.pop("first"), looks.pop("first")
    cosines = first @ first.T
    np.fill_diagonal(cosines, -1)
    near, other = cosines.argmax(axis=1), np.roll(np.arange(len(first)), 1)
    for kind, order in (("cut to the nearest photo", near), ("cut to another photo", other)):
        vectors[kind], looks[kind] = first[order], hashes[order]
    report("moments", {
        "photos": len(first), "model": str(given.model), "shipped": {"bits": BITS, "cosine": COSINE},
        "bits and cosines (median, 90 % of the frames are nearer)": {
            kind: _spread(first, hashes, vectors[kind], looks[kind]) for kind in vectors
        },
        "folded": {
            f"{bits} bits, cosine {least}": {
                kind: round(float(_folded(first, hashes, vectors[kind], looks[kind], bits, least).mean()), 3)
                for kind in vectors
            }
            for bits, least in BOUNDS
        },
    })  # fmt: skip


def _frames(photo: Image.Image, random: np.random.Generator) -> Iterator[tuple[str, Image.Image]]:
    """The frames of a shot by what happens, the first one first."""
    width, height = (round(0.8 * side) for side in photo.size)
    top = (photo.height - height) // 2

    def window(moved: float, scale: float = 1.0) -> Image.Image:
        left = round(moved * width)
        box = (left, top, left + round(width * scale), top + round(height * scale))
        return photo.crop(box).resize((width, height), Image.Resampling.BICUBIC)

    first = window(0)
    yield "first", first
    for share in MOVED:
        yield f"moved by {share:.0%}", window(share)
    yield "5 % larger", window(0.025, 0.95)
    yield "20 % darker", ImageEnhance.Brightness(first).enhance(0.8)
    noise = random.normal(0, 12, (height, width, 3))
    yield "noise", Image.fromarray((np.asarray(first) + noise).clip(0, 255).astype(np.uint8))


def _prepared(frame: Image.Image, preprocess: Preprocess) -> Pixels:
    stored = io.BytesIO()
    frame.save(stored, "JPEG", quality=60)
    return prepare(Image.open(stored), preprocess)


def _encoded(encoder: OnnxEncoder, frames: list[Pixels]) -> Vectors:
    return np.concatenate([encoder.encode_images(np.stack(frames[i : i + 32])) for i in range(0, len(frames), 32)])


def _folded(
    first: Vectors, hashes: Hashes, vectors: Vectors, looks: Hashes, bits: int, least: float
) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (distance(hashes, looks) <= bits) & ((first * vectors).sum(axis=1) >= least)
    return same


def _spread(first: Vectors, hashes: Hashes, vectors: Vectors, looks: Hashes) -> dict[str, float]:
    bits, cosines = distance(hashes, looks), (first * vectors).sum(axis=1)
    return {
        "bits": float(np.median(bits)), "bits of 90 %": float(np.quantile(bits, 0.9)),
        "cosine": round(float(np.median(cosines)), 3), "cosine of 90 %": round(float(np.quantile(cosines, 0.1)), 3),
    }  # fmt: skip


if __name__ == "__main__":
    main()
