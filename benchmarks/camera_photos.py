"""Photos of a camera's size, made by code from those that come with scikit-image: enlarged, with detail and noise."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "hubble_deep_field.jpg", "rocket.jpg")


def sources() -> list[Path]:
    """Photos that come with scikit-image."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install scikit-image")
    return [Path(spec.origin).parent / "data" / name for name in PHOTOS]


def make(folder: Path, count: int, size: tuple[int, int] = (4000, 3000), kind: str = "jpeg") -> list[Path]:
    """``count`` different photos of ``size`` in ``folder``: parts of the sources, enlarged, with detail and noise.

    JPEGs have quality 90 and colour at half the resolution, as most cameras write them; 12 megapixels take 4 to 6 MB.
    """
    random = np.random.default_rng(0)
    originals = [Image.open(path).convert("RGB") for path in sources()]
    made = []
    for number in range(count):
        image = originals[number % len(originals)]
        share = random.uniform(0.6, 1.0)
        scale = share * min(image.width / size[0], image.height / size[1])
        wide, high = scale * size[0], scale * size[1]
        left, top = random.uniform(0, image.width - wide), random.uniform(0, image.height - high)
        large = image.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high))
        path = folder / f"{number:04d}.{'jpg' if kind == 'jpeg' else kind}"
        photo = Image.fromarray(_detailed(np.asarray(large), random))
        if kind == "jpeg":
            photo.save(path, quality=90, subsampling="4:2:0")
        else:
            photo.save(path, compress_level=1)
        made.append(path)
    return made


def _detailed(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Brightness changed at four scales, finer ones less, and a little noise in each colour."""
    high, wide = pixels.shape[:2]
    changed = pixels.astype(np.int16)
    tile = 1024  # repeated: what is random is soon the slowest
    for step, strength in ((8, 10.0), (4, 9.0), (2, 8.0), (1, 7.0)):
        coarse = random.normal(0, strength, (tile // step, tile // step)).astype(np.float32)
        fine = np.asarray(Image.fromarray(coarse).resize((tile, tile), Image.Resampling.BICUBIC)).astype(np.int16)
        changed += np.tile(fine, (-(-high // tile), -(-wide // tile)))[:high, :wide, None]
    noise = random.integers(-2, 3, (tile, tile, 3)).astype(np.int16)
    changed += np.tile(noise, (-(-high // tile), -(-wide // tile), 1))[:high, :wide]
    detailed: NDArray[np.uint8] = changed.clip(0, 255).astype(np.uint8)
    return detailed
