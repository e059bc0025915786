"""Indexing a folder: photos a second and each step's share, against a plain loop over the same photos in the same run.

    python -m benchmarks.indexing --photos DIR [--limit 2000]

The plain loop opens, resizes and encodes photo by photo with the same model and stores nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import report
from mmsearch.config import Settings
from mmsearch.encoders import resolve
from mmsearch.library import Library


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=2000, help="photos, the first by name")
    given = parser.parse_args()
    files = sorted(path for path in given.photos.iterdir() if path.is_file())[: given.limit]
    encoder = resolve.embedded()
    size = encoder.card.preprocess.size
    encoder.encode_images(np.zeros((1, size, size, 3), np.uint8))  # loads the model
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = replace(Settings(), cache=folder / "cache")
        (folder / "photos").mkdir()
        for file in files:
            (folder / "photos" / file.name).symlink_to(file.absolute())
        with Library(folder / "library", settings, encoder=encoder) as library:
            first = library.index(folder / "photos")
            again = library.index(folder / "photos")
    begun = time.perf_counter()
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
        encoder.encode_images(pixels[None])
    plain = time.perf_counter() - begun
    report(
        "indexing",
        {
            "photos": len(files),
            "encoded": first.encoded,
            "skipped": len(first.skipped),
            "seconds": first.seconds,
            "photos/s": round(first.encoded / first.seconds, 1),
            "busy seconds (read: summed over threads)": first.shares,
            "second run": again.seconds,
            "plain loop photos/s": round(len(files) / plain, 1),
            "ratio": round(plain / first.seconds, 2),
        },
    )


if __name__ == "__main__":
    main()
