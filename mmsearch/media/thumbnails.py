"""Small upright pictures of hits, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.media.part_picture import Place
    from mmsearch.types import Photo


def thumbnails(photos: Sequence[Photo], side: int, max_megapixels: float) -> Iterator[Image.Image | str]:
    """For each photo its picture in RGB, the longer side ``side`` pixels or what it has if that is less.

    A sentence instead where the file is gone or cannot be read.
    """
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial

    with ThreadPoolExecutor() as pool:
        yield from pool.map(partial(thumbnail, side=side, max_megapixels=max_megapixels), photos)


def thumbnail(photo: Photo, side: int, max_megapixels: float, place: Place | None = None) -> Image.Image | str:
    """Its picture in RGB, the longer side at most ``side`` pixels; a sentence where there is none.

    Of a film it is the frame, and of a document the page, that ``place`` names; else what shows it best.
    """
    from mmsearch.errors import ImageError
    from mmsearch.media.filesystem import open_regular
    from mmsearch.media.part_picture import upright_part

    try:
        with open_regular(photo.path) as file:
            return upright_part(file, photo.path, place, min(side, max(photo.width, photo.height)), max_megapixels)
    except FileNotFoundError:
        return "the file is gone"
    except ImageError as error:
        return error.reason
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
