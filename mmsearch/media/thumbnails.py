"""Small upright pictures of hits, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mmsearch.types import Photo

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch.media.part_picture import Place
    from mmsearch.types import Hit, Moment


GONE = "the file is gone"


def thumbnails(
    shown: Sequence[Hit | Photo], side: int, max_megapixels: float, rough: Mapping[str, Image.Image] | None = None
) -> Iterator[Image.Image | str]:
    """For each hit or photo its picture in RGB, the longer side ``side`` pixels or what it has if that is less.

    Of a film or a document it is that of the best part that was found.  A sentence instead where the file is gone or
    cannot be read; ``rough`` has pictures, by their paths, for some that are gone.
    """
    from concurrent.futures import ThreadPoolExecutor

    def picture(one: Hit | Photo) -> Image.Image | str:
        if rough and one.path in rough:
            return rough[one.path]
        if isinstance(one, Photo):
            return thumbnail(one, side, max_megapixels)
        return thumbnail(one.photo, side, max_megapixels, place_of(one.moments[0]) if one.moments else None)

    with ThreadPoolExecutor() as pool:
        yield from pool.map(picture, shown)


def moments(hit: Hit, side: int, max_megapixels: float) -> list[tuple[Moment, Image.Image]]:
    """The best parts of a film or a document in their order, with their pictures; what cannot be read is left out."""
    found = []
    for moment in sorted(hit.moments, key=lambda moment: moment.part):
        picture = thumbnail(hit.photo, side, max_megapixels, place_of(moment))
        if not isinstance(picture, str):
            found.append((moment, picture))
    return found


def place_of(moment: Moment) -> Place:
    """Where its picture is in the file."""
    from mmsearch.media.part_picture import Place

    return Place(moment.part, moment.at_ms)


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
        return GONE
    except ImageError as error:
        return error.reason
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
