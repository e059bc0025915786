"""The encoders alone, nothing decoded: photos a second and milliseconds for one query, ONNX Runtime against torch.

python -m benchmarks.encoding [--model FOLDER] [--photos 160]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common import report
from mmsearch.encoders import factory
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder

if TYPE_CHECKING:
    from mmsearch.encoders.protocol import Encoder

QUERY = "two children are playing with a red ball on the beach"


def figures(encoder: Encoder, photos: int) -> dict[str, float]:
    size = encoder.card.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), np.uint8)
    encoder.encode_images(pixels)  # loads the model
    encoder.encode_texts([QUERY])
    start = time.perf_counter()
    for _ in range(photos // len(pixels)):
        encoder.encode_images(pixels)
    pace = photos // len(pixels) * len(pixels) / (time.perf_counter() - start)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        encoder.encode_texts([QUERY])
        times.append(1000 * (time.perf_counter() - start))
    return {"photos_per_second": round(pace, 1), "query_ms": round(statistics.median(times), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=factory.EMBEDDED)
    parser.add_argument("--photos", type=int, default=160, help="encoded, in batches of 32")
    given = parser.parse_args()
    onnx, plain = OnnxEncoder(given.model), TorchEmbeddedEncoder(given.model, "cpu")
    through, torch = figures(onnx, given.photos), figures(plain, given.photos)
    ratio = round(through["photos_per_second"] / torch["photos_per_second"], 2)
    size = onnx.card.preprocess.size
    report("encoding", {"pixels": size, "onnxruntime": through, "torch": torch, "ratio_photos": ratio})


if __name__ == "__main__":
    main()
