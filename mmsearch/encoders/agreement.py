"""Do two encoders say the same?  Asked when a model is exported, quantised or run in half precision."""

from __future__ import annotations

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.types import Pixels, Regions

ENOUGH = 0.999  # least cosine between two vectors of the same picture or text that count as the same

# Every kind of cleaning, several scripts, nothing at all, and more than any context holds.
TEXTS = (
    "a photo of a cat",
    "",
    " Two   DOGS;\trunning \n",
    "it's the children's 3rd birthday, isn't it?",
    "Ca&amp;fé &lt;b&gt; — “quoted” naïve snow_man!?",
    "Ελληνικά русский 日本語の写真 한국어 हिन्दी عربى",
    "🐕‍🦺 🏖️ 1234567890 $9.99 #tag @name",
    "a very long text " * 80,
)


def pictures(size: int) -> Pixels:
    """Three pictures of noise, from coarse to fine, (3, size, size, 3)."""
    random = np.random.default_rng(0)
    pixels = np.empty((3, size, size, 3), np.uint8)
    for picture, side in zip(pixels, (3, 16, size), strict=True):
        nearest = np.arange(size) * side // size
        picture[:] = random.integers(0, 256, (side, side, 3), dtype=np.uint8)[nearest][:, nearest]
    return pixels


def agreement(one: Encoder, other: Encoder) -> float:
    """The least cosine over ``pictures`` and ``TEXTS``; nan when a vector is not finite.

    Where both give region tokens, those of a picture count as one vector more.
    """
    pixels = pictures(one.card.preprocess.size)
    (vectors, regions), (other_vectors, other_regions) = one.encode_pictures(pixels), other.encode_pictures(pixels)
    images = (vectors * other_vectors).sum(axis=1)
    texts = (one.encode_texts(TEXTS) * other.encode_texts(TEXTS)).sum(axis=1)
    cosines = [images, texts]
    if regions is not None and other_regions is not None:
        cosines.append((_units(regions) * _units(other_regions)).sum(axis=1))
    return float(np.concatenate(cosines).min())


def _units(regions: Regions) -> Regions:
    """A unit row for all the tokens of a picture."""
    rows = regions.reshape(len(regions), -1)
    units: Regions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units
