"""Sketches of what a text makes the engine look for, and rough pictures of photos whose files are away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import ModelCard, RegionCard
from mmsearch.errors import ModelError
from mmsearch.search.sketches import Sketches
from mmsearch.store.paths import spellings
from mmsearch.types import Ids, Pixels, Regions

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmsearch.encoders.protocol import Encoder
    from mmsearch.search.imagination import Imagination
    from mmsearch.store.protocol import Store
    from mmsearch.store.types import StoredModel
    from mmsearch.types import Photo

WINDOW = 3  # cells a side of what is compared: 3 of 7 show a thing, a single one is a texture
SHARPEST = 256  # pixels of the longer side of a rough picture: there is nothing finer in it


@dataclass(frozen=True)
class Region:
    """A part of a photo of the library that is like a part of a sketch."""

    photo: Photo
    box: tuple[float, float, float, float]  # left, top, right, bottom, in shares of the photo's width and height
    sketch_box: tuple[float, float, float, float]  # the part of the sketch that it is like
    similarity: float  # cosine of their mean region tokens, in [-1, 1]


@dataclass(frozen=True)
class Sketch:
    """What a picture of a text might be, roughly; nothing that was photographed."""

    pixels: Pixels  # (128, 128, 3) uint8, RGB
    regions: tuple[Region, ...]  # nearest first, each of another photo


def windows(tokens: Regions, side: int) -> NDArray[np.float32]:
    """The mean tokens of all squares of ``WINDOW`` cells: (n, side², dim) -> (n, (side - WINDOW + 1)², dim)."""
    grid = tokens.reshape(len(tokens), side, side, -1)
    views = np.lib.stride_tricks.sliding_window_view(grid, (WINDOW, WINDOW), axis=(1, 2))
    means: NDArray[np.float32] = views.mean(axis=(4, 5)).reshape(len(tokens), -1, grid.shape[3])
    return means


def box(window: int, side: int) -> tuple[float, float, float, float]:
    """Where a window lies, in shares of the picture: left, top, right, bottom."""
    top, left = divmod(window, side - WINDOW + 1)
    return left / side, top / side, (left + WINDOW) / side, (top + WINDOW) / side


def imagined(imagination: Imagination, sketches: Sketches, text: str, count: int) -> tuple[Pixels, Regions]:
    """Sketches of a text (count, 128, 128, 3) uint8 and their region tokens; the same for the same text.

    Raises ModelError where there are none for this encoder.
    """
    vectors = imagination(text)
    each = vectors[np.arange(count) % len(vectors)]
    tokens = sketches.tokens(each)
    return sketches.draw(tokens), tokens


def nearest(
    sketches: Sketches, imagined_tokens: Regions, photos: list[Photo], tokens: Regions, most: int
) -> list[tuple[Region, ...]]:  # fmt: skip
    """For each sketch (n, side², dim) the parts of ``most`` photos that are most like a part of it, best first.

    ``tokens`` (p, side², dim) are those of the photos.
    """
    side = round(tokens.shape[1] ** 0.5)
    ours, theirs = (_unit(windows(sketches.standardized(one), side)) for one in (imagined_tokens, tokens))
    found = []
    for own in ours:  # (windows, dim)
        cosines = np.einsum("wd,pvd->pwv", own, theirs)
        flat = cosines.reshape(len(photos), -1)
        best = flat.argmax(axis=1)
        order = np.argsort(-flat[np.arange(len(photos)), best], kind="stable")[:most]
        found.append(
            tuple(
                Region(photos[row], box(int(best[row]) % len(own), side), box(int(best[row]) // len(own), side),
                       float(flat[row, best[row]]))
                for row in order
            )
        )  # fmt: skip
    return found


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return unit


class Rough:
    """Rough pictures of photos from their stored region tokens; the decoder is loaded for the first one.

    None of them is what ``mmsearch`` was shown: they are marked, in the picture too.
    """

    def __init__(self, store: Store, model: ModelCard) -> None:
        """``model`` is the card of the embedded model: only its tokens can be drawn."""
        self._store, self._model = store, model
        self._sketches: Sketches | None = None

    def picture(self, photo: Photo, side: int, part: int = 0) -> Image | None:
        """In the photo's shape, its longer side at most ``side`` pixels; None where no such tokens are stored."""
        drawn = self._drawn(photo, part)
        if drawn is None:
            return None
        from PIL import Image

        longest = min(side, SHARPEST)
        scale = longest / max(photo.width, photo.height)
        size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
        return marked(Image.fromarray(drawn).resize(size, Image.Resampling.BICUBIC))

    def _drawn(self, photo: Photo, part: int) -> Pixels | None:
        regions, model = self._model.regions, self._store.model()
        its = self._store.known_model(self._model.fingerprint)
        if regions is None or model is None or its is None:
            return None
        tokens = self._tokens(photo, part, model, its, regions)
        if tokens is None:
            return None
        try:
            sketches = self._sketches = self._sketches or Sketches()
        except ModelError:  # a checkout without its weights
            return None
        if (sketches.card.encoder, sketches.card.regions) != (self._model.fingerprint, regions.fingerprint):
            return None
        drawn: Pixels = sketches.draw(tokens)[0]
        return drawn

    def _tokens(
        self, photo: Photo, part: int, model: StoredModel, its: StoredModel, regions: RegionCard
    ) -> Regions | None:
        vector = next(
            (n for way in spellings(photo.path) if (n := self._store.vector_of(way, model)) is not None), None
        )
        if vector is not None and part:
            parts = self._store.parts([vector], model).get(vector, ())
            vector = next((one.vector for one in parts if one.part == part and one.vector >= 0), None)
        if vector is None:
            return None
        ids: Ids = np.array([vector], np.int64)
        if its.id != model.id:
            ids = self._store.of_model(ids, its)
        found, there = self._store.regions(ids, its, regions)
        return found if there[0] else None


def marked(picture: Image) -> Image:
    """With the word "rough" in its lower left corner, so that nobody takes it for the photo."""
    from PIL import ImageDraw, ImageFont

    height = max(10, min(picture.size) // 10)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=height)
    left, top, right, bottom = pen.textbbox((0, 0), "rough", font)
    edge = height // 3
    pen.rectangle((0, picture.height - (bottom - top) - 2 * edge, right - left + 2 * edge, picture.height), "black")
    pen.text((edge - left, picture.height - edge - bottom), "rough", "white", font)
    return picture


def sketched(encoder: Encoder, text: str, count: int) -> Iterator[Sketch]:
    """Sketches where there is no library: without regions.  Raises ModelError for another than the embedded model."""
    from mmsearch.search.imagination import Imagination

    pixels, _ = imagined(Imagination.load(encoder), Sketches(), text, count)
    for one in pixels:
        yield Sketch(one, ())
