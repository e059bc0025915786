"""Pixels of every mode that Pillow has as RGB of 8 bits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile, TiffImagePlugin

from mmsearch.media.tiff import has_planes, white_is_zero

_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE, _SAMPLE_FORMAT = 258, 281, 339  # tags of TIFF
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


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether a picture, opened and not loaded, has colours of 16 bits: of these Pillow keeps the upper 8.

    Those of compressed planes do not count: their lower 8 cannot be asked for.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.use_load_libtiff and has_planes(image):
        return False
    return image.mode.startswith("RGB") and any(";16" in str(tile.args) for tile in image.tile)


def with_low_bits(image: Image.Image, second: ImageFile.ImageFile) -> Image.Image:
    """A deep picture as bright as it is meant: one of 10 or 12 bits in samples of 16 would be black.

    ``image`` is loaded.  ``second`` is the same picture, opened and not loaded; it is read only where the samples do
    not reach the upper two of their 16 bits, and then for their lower 8.
    """
    bands = [band for band in image.getbands() if band != "A"]
    if max(image.getchannel(band).getextrema()[1] for band in bands) >= 1 << 6:  # type: ignore[operator]
        return image
    second.tile = [_other_order(tile) for tile in second.tile]
    second.load()

    def samples(box: tuple[int, int, int, int]) -> NDArray[np.uint16]:
        upper, lower = (np.asarray(one.crop(box))[..., : len(bands)] for one in (image, second))
        joined: NDArray[np.uint16] = upper.astype(np.uint16) << 8 | lower
        return joined

    rows = max(1, _AT_ONCE // image.width)
    boxes = [(0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    bits = _bits(max(int(samples(box).max()) for box in boxes))
    for box in boxes:  # in its place: a third picture of 200 megapixels would take 0.8 GB
        part = Image.fromarray((samples(box) >> (bits - 8)).astype(np.uint8))
        if "A" in image.getbands():
            part.putalpha(image.crop(box).getchannel("A"))
        image.paste(part, box)
    return image


def _other_order(tile: Any) -> Any:
    """A part of a picture whose samples of 16 bits are taken for those of the other order of bytes."""
    native = "L" if sys.byteorder == "little" else "B"

    def swapped(raw: str) -> str:
        start, _, order = raw.partition(";16")
        return f"{start};16{'B' if order.replace('N', native) == 'L' else 'L'}"

    args = tile.args
    return tile._replace(args=swapped(args) if isinstance(args, str) else (swapped(args[0]), *args[1:]))


def _bits(highest: int) -> int:
    """Bits of the samples whose highest this is: nothing says so where they stand in 16."""
    return next(bits for bits in (8, 10, 12, 14, 16) if highest < 1 << bits)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits, 32 bits or floats as 8 bits, white what its header says is white."""
    made = _scaled(image)
    return ImageChops.invert(made) if white_is_zero(image) else made


def _scaled(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.format in ("PNG", "PPM") and image.mode == "I"):
        bits, highest = 16, 0
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            bits, highest = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0], _said_highest(image)
        if bits == 16:
            bits = _bits(min(highest or int(values.max(initial=0)), 2**16 - 1))
        return _by_blocks(values, lambda block: (block >> (bits - 8)).clip(0, 255))
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_SAMPLE_FORMAT, (1,))[0] == 1:
        values = values.view(np.uint32) if values.dtype == np.int32 else values  # Pillow knows signed ones only
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


def _said_highest(image: TiffImagePlugin.TiffImageFile) -> int:
    """The highest value that samples may have, as the header says; 0 where it does not."""
    said = image.tag_v2.get(_MAX_SAMPLE_VALUE, 0)
    said = said[0] if isinstance(said, tuple) and said else said
    return said if isinstance(said, int) and said >= 2**8 else 0
