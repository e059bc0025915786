"""Other views of a photo: cropped, mirrored, in another light.  On uint8 pixels, the same for the same seed."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageEnhance

from mmsearch.types import Pixels

AREA = (0.5, 1.0)  # share of the picture that a crop keeps; captions speak of the whole scene
ASPECT = (0.8, 1.25)  # of a crop, relative to the picture
LIGHT = 0.2  # brightness, contrast and colour change by up to this share


def generator(seed: int, round_: int, photo: int) -> np.random.Generator:
    """The randomness of one photo in one step or view, whatever was drawn before."""
    return np.random.default_rng([seed, round_, photo])


def view(pixels: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """A random view of ``pixels`` (height, width, 3), (size, size, 3): resized crop, mirror, jitter."""
    image = Image.fromarray(pixels)
    area = image.width * image.height * rng.uniform(*AREA)
    aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1]))) * image.width / image.height
    width = min(image.width, math.sqrt(area * aspect))
    height = min(image.height, math.sqrt(area / aspect))
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    image = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(1 - LIGHT, 1 + LIGHT))
    return np.array(image)


def plain(pixels: Pixels, size: int) -> Pixels:
    """All of the picture, (size, size, 3)."""
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))
