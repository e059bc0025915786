"""From a JPEG to what the encoder sees: milliseconds a photo and whether the vector stays, against the plain path.

    python -m benchmarks.decoding [--photos DIR] [--limit 24] [--others]

The plain path is open_clip's: Image.open, convert to RGB, and the model's own preprocessing, everything at full size.
Without --photos, photos of 12 megapixels and of 500 x 375 pixels are made by code. --others adds what else is
installed: simplejpeg, torchvision, pyvips. Milliseconds are medians on one thread; photos/s are of a thread a core.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.camera_photos import make
from benchmarks.common import report
from mmsearch.encoders import factory
from mmsearch.encoders.protocol import Encoder
from mmsearch.media.decode import decode, prepare
from mmsearch.types import Pixels, Preprocess

Way = Callable[[bytes], Pixels]


def plain_path(preprocess: Preprocess) -> Way:
    """open_clip's way of a picture, back in 8 bits."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(
        size=preprocess.size, mean=preprocess.mean, std=preprocess.std, interpolation=preprocess.interpolation,
        resize_mode=preprocess.resize_mode, fill_color=preprocess.fill_color,
    )  # fmt: skip
    transform = image_transform_v2(config, is_train=False)

    def path(content: bytes) -> Pixels:
        with Image.open(io.BytesIO(content)) as image:
            values = transform(image.convert("RGB"))
        scaled = values.permute(1, 2, 0).numpy() * np.array(preprocess.std) + np.array(preprocess.mean)
        pixels: Pixels = np.rint(255 * scaled).astype(np.uint8)
        return pixels

    return path


def our_path(preprocess: Preprocess) -> Way:
    return lambda content: decode(io.BytesIO(content), "x", preprocess).pixels


def other_paths(preprocess: Preprocess) -> dict[str, Way]:
    """What else is installed; each decodes smaller where it can, to no less than twice the side, and ends as we do."""
    paths: dict[str, Way] = {}
    twice = 2 * preprocess.size
    with _optional():
        simplejpeg: Any = importlib.import_module("simplejpeg")
        paths["simplejpeg"] = lambda content: prepare(
            Image.fromarray(simplejpeg.decode_jpeg(content, min_height=twice, min_width=twice, min_factor=1)),
            preprocess,
        )
    with _optional():
        torch: Any = importlib.import_module("torch")
        vision: Any = importlib.import_module("torchvision.io")
        paths["torchvision"] = lambda content: prepare(
            Image.fromarray(
                vision.decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), vision.ImageReadMode.RGB)
                .permute(1, 2, 0)
                .contiguous()
                .numpy()
            ),
            preprocess,
        )
    with _optional():
        vips: Any = importlib.import_module("pyvips")
        paths["pyvips"] = lambda content: vips.Image.thumbnail_buffer(
            content, preprocess.size, height=preprocess.size, size="force"
        ).numpy()[..., :3]
    return paths


class _optional:
    """Passes over what is not installed."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, (ImportError, OSError))


def figures(paths: dict[str, Way], contents: list[bytes], encoder: Encoder) -> dict[str, Any]:
    """Of each path, taking turns photo by photo; the first one is what the others are compared with."""
    for path in paths.values():
        path(contents[0])
    times: dict[str, list[float]] = {name: [] for name in paths}
    pixels: dict[str, list[Pixels]] = {name: [] for name in paths}
    for content in contents:
        for name, path in paths.items():
            begun = time.perf_counter()
            made = path(content)
            times[name].append(1000 * (time.perf_counter() - begun))
            pixels[name].append(made)
    found: dict[str, Any] = {"photos": len(contents), "MB": round(sum(map(len, contents)) / len(contents) / 1e6, 2)}
    medians = {name: statistics.median(own) for name, own in times.items()}
    vectors = {name: encoder.encode_images(np.stack(own)) for name, own in pixels.items()}
    first = next(iter(paths))
    for name, path in paths.items():
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            begun = time.perf_counter()
            list(pool.map(path, contents))
            pace = len(contents) / (time.perf_counter() - begun)
        found[name] = {"ms": round(medians[name], 2), "photos/s": round(pace, 1)}
        if name != first:
            cosines = (vectors[name] * vectors[first]).sum(axis=1)
            found[name] |= {
                "times as fast": round(medians[first] / medians[name], 2),
                "cosine": {"mean": round(float(cosines.mean()), 5), "lowest": round(float(cosines.min()), 5)},
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="JPEGs to read in place of those made by code")
    parser.add_argument("--limit", type=int, default=24, help="photos of each kind, the first by name")
    parser.add_argument("--others", action="store_true", help="compare with other libraries too")
    given = parser.parse_args()
    encoder = factory.embedded()
    preprocess = encoder.card.preprocess
    paths = {"plain": plain_path(preprocess), "mmsearch": our_path(preprocess)}
    paths |= other_paths(preprocess) if given.others else {}
    measure = partial(figures, paths, encoder=encoder)
    if given.photos:
        files = sorted(path for path in given.photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
        report("decoding", {"given": measure([file.read_bytes() for file in files[: given.limit]])})
        return
    found = {}
    for name, size in {"12 megapixels": (4000, 3000), "500 x 375": (500, 375)}.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measure([file.read_bytes() for file in make(Path(folder), given.limit, size)])
    report("decoding", found)


if __name__ == "__main__":
    main()
