"""Pixels of every mode that Pillow has as RGB of 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

_BITS_PER_SAMPLE = 258  # tag of TIFF
_AT_ONCE = 2**20  # pixels that are brought down to 8 bits at once


def to_rgb(image: Image.Image) -> Image.Image:
    """``image`` in mode RGB, what is transparent over white, more than 8 bits a channel brought down to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    if image.mode == "La":  # alpha already multiplied in; Pillow converts it to nothing but LA
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")  # Pillow would copy it
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = rgba.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return rgba.convert("RGB")
    rgb = Image.new("RGB", rgba.size, (255, 255, 255))
    rgb.paste(rgba, mask=alpha)
    return rgb


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits, 32 bits or floats as 8 bits."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.format in ("PNG", "PPM") and image.mode == "I"):
        bits = 16
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0]  # 12 in some scans
        return _by_blocks(values, lambda block: (block >> (bits - 8)).clip(0, 255))
    # Nothing says what is black and what is white here, so the darkest and the lightest value are.
    low, high = np.inf, -np.inf
    for block in _blocks(values):
        finite = block[np.isfinite(block)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:  # nothing is finite
        low = high = 0.0

    def scaled(block: NDArray[Any]) -> NDArray[Any]:
        known = np.nan_to_num(block.astype(np.float64), nan=low, posinf=high, neginf=low)
        return ((known - low) * (255 / (high - low or 1.0))).round()

    return _by_blocks(values, scaled)


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """``values`` in rows of about a million pixels: in floats of 64 bits, 200 megapixels would take 6 GB."""
    rows = max(1, _AT_ONCE // values.shape[1])
    for top in range(0, len(values), rows):
        yield values[top : top + rows]


def _by_blocks(values: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Image.Image:
    """What ``convert`` makes of values, within 0 to 255, as a grey picture."""
    grey = np.empty(values.shape, np.uint8)
    for block, into in zip(_blocks(values), _blocks(grey), strict=True):
        into[:] = convert(block)
    return Image.fromarray(grey)
