"""Small upright pictures of hits, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.types import Photo


def thumbnails(photos: Sequence[Photo], side: int, max_megapixels: float) -> Iterator[Image.Image | str]:
    """For each photo its picture in RGB, the longer side ``side`` pixels or what it has if that is less.

    A sentence instead where the file is gone or cannot be read.
    """
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial

    with ThreadPoolExecutor() as pool:
        yield from pool.map(partial(thumbnail, side=side, max_megapixels=max_megapixels), photos)


def thumbnail(photo: Photo, side: int, max_megapixels: float) -> Image.Image | str:
    """Its picture in RGB, the longer side at most ``side`` pixels; a sentence where there is none."""
    from mmsearch.errors import ImageError
    from mmsearch.media.decode import upright
    from mmsearch.media.filesystem import open_regular

    try:
        with open_regular(photo.path) as file:
            return upright(file, photo.path, min(side, max(photo.width, photo.height)), max_megapixels)
    except FileNotFoundError:
        return "the file is gone"
    except ImageError as error:
        return error.reason
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
