"""Of an animation, the first frame that shows something: many begin with one that is all black or white."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageFile

from mmsearch.media.modes import to_rgb

_FORMATS = frozenset(("GIF", "WEBP", "PNG", "AVIF"))
_FRAMES, _PIXELS = 120, 50e6  # that are decoded at most: as long as a fade takes, and about half a second
_POINTS = 64  # a side of what is looked at of a frame
_SHOWS = 12.0  # standard deviation of its grey, of 255, from which a frame shows something
_EMPTY = 3.0  # up to which a frame shows nothing


def first_that_shows(
    image: ImageFile.ImageFile, first: Image.Image, again: Callable[[], ImageFile.ImageFile]
) -> Image.Image:
    """``first``, the first frame of the loaded ``image`` in RGB, or a later one in RGB where that shows nothing.

    The first frame after it that shows something, or else the one that shows most of those that are looked at.  Frames
    that cannot be read end the search.  ``again`` opens the picture anew, so that what ``image`` says stays as it is.
    """
    if image.format not in _FORMATS or not getattr(image, "is_animated", False):
        return first
    best, most = first, _shown(first)
    if most >= _EMPTY:
        return first
    frames = int(min(_FRAMES, _PIXELS // (image.width * image.height)))
    moving = again() if frames else image
    for number in range(1, frames + 1):
        try:
            moving.seek(number)
            moving.load()
            frame = to_rgb(moving)
        except Exception:  # there are no more, or they are damaged
            break
        shows = _shown(frame)
        if shows > max(most, _EMPTY):
            best, most = frame.copy() if frame is moving else frame, shows
        if most >= _SHOWS:
            break
    return best


def _shown(frame: Image.Image) -> float:
    """How much a frame varies: the standard deviation of its grey."""
    size = min(frame.width, _POINTS), min(frame.height, _POINTS)
    points = frame.resize(size, Image.Resampling.BOX).convert("L")
    histogram = points.histogram()
    count = sum(histogram)
    mean = sum(value * number for value, number in enumerate(histogram)) / count
    variance = sum((value - mean) ** 2 * number for value, number in enumerate(histogram)) / count
    return float(variance**0.5)
