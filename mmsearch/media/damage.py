"""Damaged pictures: what can be read of them, and how much that is.

Pillow reads the rest of a cut file only where ``ImageFile.LOAD_TRUNCATED_IMAGES`` says so, and that belongs to the
whole process.  So nothing is switched here: what a decoder had put in its place before it gave up is still there, and
decoding once more over another ground shows which pixels that is.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from mmsearch.errors import ImageError
from mmsearch.media.opening import DAMAGED_METADATA
from mmsearch.media.side_parts import without_side_parts
from mmsearch.media.spliced import size_of, spliced

MOST_MISSING = 0.5  # share of a picture's pixels; where more are missing it is refused
_POINTS = 256  # a side of the grid on which pixels are compared
_END_OF_JPEG = b"\xff\xd9"
_FILLED = (127, 128)  # what libjpeg puts in the place of what is missing, in each channel

# Formats that are decoded from the top into what is there already, and what they are decoded over the second time.
_PIECEMEAL = frozenset(("JPEG", "MPO", "PNG", "TIFF", "BMP", "DIB", "PPM", "TGA", "PCX", "GIF"))
_GROUND: dict[str, int | tuple[int, ...]] = {
    "1": 255, "L": 128, "P": 255, "LA": (128, 255), "PA": (255, 255), "RGB": (128,) * 3, "RGBX": (128,) * 4,
    "RGBA": (128, 128, 128, 255), "CMYK": (0, 0, 0, 127), "YCbCr": (128,) * 3, "LAB": (128,) * 3, "I": 2**15,
    "I;16": 2**15, "I;16B": 2**15, "F": 1,
}  # fmt: skip

Again = Callable[[BinaryIO], ImageFile.ImageFile]  # opens the picture in a file, as the first time


def load(image: ImageFile.ImageFile, file: BinaryIO, again: Again) -> tuple[ImageFile.ImageFile, str | None]:
    """The picture with its pixels, and what is damaged in words; None where nothing is.

    ``image`` is open and not loaded, ``file`` what it is read from.  Where the decoder gives up, what it has made until
    then is the picture, and grey is what it has not.  Raises what the decoder raised where more than half of the pixels
    are missing or nobody can tell, and where it is an error of the disk or of memory.
    """
    try:
        _reserve(image)
        image.load()
    except Exception as error:  # decoders of damaged files throw SyntaxError, struct.error, OverflowError, ...
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise
        found = None
        with contextlib.suppress(
            ImageError, OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError, TypeError
        ):
            found = _read_once_more(image, file, again)  # where that fails too, the first failure is told
        if found is None:
            raise
        return found
    return image, None


def _read_once_more(image: ImageFile.ImageFile, file: BinaryIO, again: Again) -> tuple[ImageFile.ImageFile, str] | None:
    """What can be read of a picture whose decoder gave up, and what is damaged; None where that is too little."""
    jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    if image.format not in _PIECEMEAL or image.mode not in _GROUND or image._im is None:
        return None
    if image.format == "GIF" and "transparency" in image.info:
        return None  # Pillow decodes it over a ground of its own
    first = _grid(image)
    image._im = None  # two of 200 megapixels would take 1.6 GB
    if not (jpeg or first.any()):
        return None
    second = again(_with_end(file) if jpeg else without_side_parts(file, image.format) or file)
    coarse = jpeg and not first.any()  # libjpeg puts out nothing before it has seen the last scan of several
    if coarse and _scans_left(second) < 1:
        return None
    if not jpeg:
        second.im = Image.new(second.mode, _stored_size(second), _GROUND[second.mode]).im
    broken = jpeg
    try:
        second.load()
    except Exception:  # the same as the first time
        broken = True
    grid = _grid(second)
    if broken and isinstance(second, TiffImagePlugin.TiffImageFile):
        with contextlib.suppress(Exception):
            second.load_end()  # turns it upright, as Pillow has done with its size
    differ = (first != grid).any(axis=2)
    if jpeg:  # its last rows come out with the end of the file only
        filled: NDArray[np.bool_] = np.asarray(np.isin(grid, _FILLED).all(axis=(1, 2)))
        differ &= filled[:, None]
    missing = 0.0 if coarse else float(differ.mean())
    if missing > MOST_MISSING:
        return None
    if missing:
        return second, f"{max(1, round(100 * missing))} % of the picture is missing"
    if coarse:
        return second, "the end of the file is missing, and perhaps fine detail with it"
    return second, "the end of the file is missing" if broken else DAMAGED_METADATA


def _with_end(file: BinaryIO) -> BinaryIO:
    """A JPEG that comes to an end, so that libjpeg puts out what it has."""
    return spliced(file, (0, size_of(file)), _END_OF_JPEG)


def _scans_left(image: ImageFile.ImageFile) -> int:
    """Scans of a JPEG behind the first one, at whose beginning an opened file stands."""
    file = image.fp
    assert file is not None
    start, scans = file.tell(), 0
    while block := file.read(2**24):
        scans += block.count(b"\xff\xda")
    file.seek(start)
    return scans


def _grid(image: ImageFile.ImageFile) -> NDArray[Any]:
    """Some of the pixels there are now, (height, width, channels), at most ``_POINTS`` a side."""
    image.tile = []  # no decoder is asked again
    size = min(image.width, _POINTS), min(image.height, _POINTS)
    points = np.asarray(image.resize(size, Image.Resampling.NEAREST))
    return points.reshape(size[1], size[0], -1)


def _stored_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    return image._tile_size if isinstance(image, TiffImagePlugin.TiffImageFile) else image.size


def _reserve(image: ImageFile.ImageFile) -> None:
    """The memory for the pixels of a TIFF."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image._im is None:
        # TIFF compares with Pillow's limit when it reserves the memory for the pixels, so this is done here.
        image.im = Image.new(image.mode, image._tile_size).im
