"""Sketches of what a text makes the engine look for, and rough pictures of photos whose files are away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders import factory
from mmsearch.errors import ModelError, QuerySyntaxError
from mmsearch.query.model import Query, Words
from mmsearch.search.imagination import Imagination
from mmsearch.search.sketches import Sketches
from mmsearch.store.paths import spellings
from mmsearch.types import Pixels, Regions

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmsearch.encoders.protocol import ModelCard
    from mmsearch.library.library import Library
    from mmsearch.library.models import Models
    from mmsearch.store.protocol import Store
    from mmsearch.store.types import StoredModel
    from mmsearch.types import Photo

WINDOW = 3  # cells a side of what is compared: 3 of 7 show a thing, a single one is a texture
CANDIDATES = 48  # photos whose regions are compared: the best for the words
SHARPEST = 256  # pixels of the longer side of a rough picture: there is nothing finer in it


@dataclass(frozen=True)
class Region:
    """A part of a photo of the library that is like a part of a sketch."""

    photo: Photo
    part: int  # of a film or a document, as ``Moment.part``
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
    sketches: Sketches, imagined_tokens: Regions, photos: Sequence[tuple[Photo, int]], tokens: Regions, most: int
) -> list[tuple[Region, ...]]:  # fmt: skip
    """For each sketch (n, side², dim) the parts of ``most`` photos that are most like a part of it, best first.

    ``photos`` are p photos and which part of them, ``tokens`` (p, side², dim) the region tokens of these.
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
                Region(
                    photo=photos[row][0],
                    part=photos[row][1],
                    box=box(int(best[row]) % len(own), side),
                    sketch_box=box(int(best[row]) // len(own), side),
                    similarity=float(flat[row, best[row]]),
                )
                for row in order
            )
        )
    return found


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return unit


class Rough:
    """Rough pictures of photos from their stored region tokens; the decoder is loaded for the first one.

    None of them is what ``mmsearch`` was shown: they are marked, in the picture too.
    """

    def __init__(self, store: Store, models: Models) -> None:
        self._store, self._models = store, models
        self._model = models.embedded_card()  # only its tokens can be drawn

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
        if self._model is None:
            return None
        tokens, there = stored_tokens(self._store, self._model, [(photo.path, part)])
        if not there[0]:
            return None
        try:
            sketches = self._models.sketches()
        except ModelError:  # a checkout without its weights
            return None
        drawn = sketches.draw(tokens) if sketches.fits(self._model) else None
        return None if drawn is None else drawn[0]


def stored_tokens(
    store: Store, embedded: ModelCard, places: Sequence[tuple[str, int]]
) -> tuple[Regions, NDArray[np.bool_]]:
    """The embedded model's region tokens (n, side², dim) of files' parts (path, part), and which of them there are."""
    model, its, regions = store.model(), store.known_model(embedded.fingerprint), embedded.regions
    side, dim = (regions.side, regions.dim) if regions is not None else (0, 0)
    ids = np.full(len(places), -1, np.int64)
    if model is not None and its is not None and regions is not None:
        for row, (path, part) in enumerate(places):
            ids[row] = _vector(store, model, path, part)
        if its.id != model.id:
            ids[ids >= 0] = store.of_model(ids[ids >= 0], its)
    tokens, there = np.zeros((len(ids), side**2, dim), np.float32), np.zeros(len(ids), np.bool_)
    known = np.flatnonzero(ids >= 0)
    if len(known) and its is not None and regions is not None:
        tokens[known], there[known] = store.regions(ids[known], its, regions)
    return tokens, there


def _vector(store: Store, model: StoredModel, path: str, part: int) -> int:
    """The id of the vector of a file's part; -1 where nothing is known."""
    vector = next((n for way in spellings(path) if (n := store.vector_of(way, model)) is not None), -1)
    if vector >= 0 and part:
        parts = store.parts([vector], model).get(vector, ())
        vector = next((one.vector for one in parts if one.part == part), -1)
    return vector


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


def imagine(library: Library, text: str, count: int, regions: int) -> list[Sketch]:
    """See ``Library.imagine``."""
    if not text.strip():
        raise QuerySyntaxError("there are no words to imagine anything of")
    store, models = library.store, library.models
    stored = store.model()
    encoder = models.named("embedded") if stored is None else models.encoder(stored)
    sketches = models.sketches()
    pixels, tokens = imagined(models.imagination(encoder), sketches, text, count)
    near: list[tuple[Region, ...]] = [()] * count
    if regions and stored is not None:
        hits = library.search(Query(terms=(Words(text),)), CANDIDATES, rerank=False, min_relevance=0.0)
        places = [(hit.path, hit.moments[0].part if hit.moments else 0) for hit in hits]
        theirs, there = stored_tokens(store, encoder.card, places)
        rows = np.flatnonzero(there).tolist()
        if rows:
            found = [(hits[row].photo, places[row][1]) for row in rows]
            near = nearest(sketches, tokens, found, theirs[rows], regions)
    return [Sketch(one, own) for one, own in zip(pixels, near, strict=True)]


def alone(text: str, count: int) -> list[Sketch]:
    """Sketches of a text where there is no library: they have no regions.  Raises ModelError, QuerySyntaxError."""
    if not text.strip():
        raise QuerySyntaxError("there are no words to imagine anything of")
    pixels, _ = imagined(Imagination.load(factory.embedded()), Sketches(), text, count)
    return [Sketch(one, ()) for one in pixels]
