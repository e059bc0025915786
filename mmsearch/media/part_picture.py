"""The picture of an item, whatever its file is: a photo, one frame of a film, one page of a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.media.apart import pictures_apart
from mmsearch.media.decode import FILM, IN_FLIGHT, decode, prepare, upright
from mmsearch.media.kinds import kind_of
from mmsearch.media.memory_budget import Budget
from mmsearch.types import Pixels, Preprocess


@dataclass(frozen=True)
class Place:
    """Which picture of a file that holds several."""

    part: int = 0  # of its items, in their order: the number of a page, from 0
    at_ms: int | None = None  # the frame of a film, from its beginning; None for a page
    of: int | None = None  # how many pages must be all that the document holds; None where that does not matter


def upright_part(
    file: BinaryIO, path: str, place: Place | None, side: int, max_megapixels: float = 200.0, enlarge: bool = True
) -> Image.Image:
    """What ``upright`` gives, of the frame or page that ``place`` names; None is what shows the file best.

    Of a photo that is the photo; sound has none.  Films and documents are decoded in other processes, so a file that is
    not in memory is opened anew at ``path``.  Raises ImageError as ``decode`` does, also where the file has no such
    page, and where the other process crashed or took too long.
    """
    if kind_of(file, path) in ("photo", "sound"):
        return upright(file, path, side, max_megapixels, enlarge)
    with IN_FLIGHT.share(FILM):
        pixels: Pixels = pictures_apart().ask(file, path, place, side, max_megapixels, enlarge)
    return Image.fromarray(pixels)


def read_part(
    file: BinaryIO, path: str, place: Place | None, side: int, max_megapixels: float, enlarge: bool, _: Budget
) -> Pixels:
    """What ``upright_part`` gives, (height, width, 3): this is what the other process does."""
    kind = kind_of(file, path)
    if place is None or (kind == "video" and place.at_ms is None):
        return np.asarray(upright(file, path, side, max_megapixels, enlarge))
    try:
        if kind == "video":
            from mmsearch.media.video import upright_frame

            return np.asarray(upright_frame(file, path, place.at_ms, side, max_megapixels, enlarge))
        from mmsearch.media.document import check_all_is_shown, upright_page

        if place.of is not None:
            check_all_is_shown(file, path, place.of)
        return np.asarray(upright_page(file, path, place.part, side, max_megapixels, enlarge))
    except ImageError:
        raise
    except Exception as error:  # a library of another's, on a file that it cannot digest
        raise ImageError(path, str(error) or type(error).__name__, retry=isinstance(error, MemoryError)) from error


def part_pixels(
    file: BinaryIO, path: str, place: Place | None, preprocess: Preprocess, max_megapixels: float = 200.0
) -> tuple[Pixels, tuple[int, int]]:
    """The pixels of an item as ``preprocess`` wants them, (size, size, 3), and width and height of what they are of.

    Of a film one frame is read, not all of it.  Raises ImageError as ``decode`` does.
    """
    if kind_of(file, path) == "photo":
        decoded = decode(file, path, preprocess, max_megapixels)
        return decoded.pixels, (decoded.width, decoded.height)
    image = upright_part(file, path, place, 4 * preprocess.size, max_megapixels, enlarge=False)
    return prepare(image, preprocess), image.size
