"""Text inside pictures, read by RapidOCR: ``pip install 'mmsearch[ocr]'``.

Its models (PP-OCRv6) come with the package, so nothing is fetched, and run in ONNX Runtime.  Signs that lie on their
side or stand on their head are read too: a small model sees what is upside down.  It does not always, so pictures in
which most of the text lies on its side, or much of it cannot be read, are read once more, turned.

Lines are looked for at two sizes.  At the larger one the detector sees small print and is blind to some large letters,
above all where they stand askew; at the smaller one it is the other way round.  What was read for sure at the first
is painted over for the second.  Before all that the detector looks once at the smaller size: most photos show nothing
that could be text, and are done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mmsearch.errors import ImageError, ModelError
from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.read import HeldContent, Pending, by_content
from mmsearch.media.embedded_text import printable
from mmsearch.media.part_picture import Place, upright_part
from mmsearch.store.types import PendingItem
from mmsearch.store.writing import StoreWriter

log = logging.getLogger(__name__)

SIDE = 1600  # pixels of the longer side that lines are read at; larger pictures are reduced to it
# Pixels of the longer side that lines are looked for at.  Of 13 drawn signs of 14 to 180 pixels, a third of them askew,
# 1600 found 10, 1280 12, 640 12, and 1280 with 640 all, in 2.4 seconds of processor time instead of 2.9 at 1600.
FINE, COARSE = 1280, 640
SMALL, MOST = 960, 3  # smaller pictures are enlarged to this side, at most so many times
SURE = 0.9  # at or above, a line is not looked for again
CONFIDENT = 0.6  # below, what is read in textures of photos without text is mostly nonsense
CONFIDENT_LETTER = 0.9  # of a single letter or digit
_TURNED = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
_UPSIDE_DOWN = (Image.Transpose.ROTATE_180,)
WITH_TEXT = "with_text"  # how ``IndexReport.enriched`` calls the pictures in which some was read
LONGEST = 10_000  # characters of a picture
_BATCH = 4  # pictures a transaction, and read ahead twice as many: they are large, and reading their text takes long


@dataclass(frozen=True)
class _Line:
    text: str
    score: float  # how sure the reading is, in [0, 1]
    corners: tuple[tuple[float, float], ...]  # x and y in pixels

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        across, down = zip(*self.corners, strict=True)
        return min(across), min(down), max(across), max(down)

    @property
    def counts(self) -> bool:
        """It is more than nonsense."""
        return self.score >= (CONFIDENT if len(self.text) > 1 else CONFIDENT_LETTER)

    @property
    def said(self) -> float:
        """How much is read, and how surely."""
        return len(self.text) * self.score


class TextReader:
    """Reads the text in pictures.  Raises ModelError where RapidOCR is not installed."""

    def __init__(self) -> None:
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise ModelError(
                f"reading text in pictures needs RapidOCR ({error}); run: pip install 'mmsearch[ocr]'"
            ) from error

        def reader(side: int, reads: bool = True) -> Any:
            own = {"Global.log_level": "critical", "Global.text_score": 0.0, "Global.max_side_len": SIDE}
            looks = {"Global.use_cls": reads, "Global.use_rec": reads}
            return RapidOCR(params={**own, **looks, "Det.limit_type": "max", "Det.limit_side_len": side})

        self._fine, self._coarse, self._detector = reader(FINE), reader(COARSE), reader(COARSE, reads=False)
        models = self._fine.cfg.Rec
        # Texts of another engine are read anew.
        self.engine = f"{models.ocr_version.value} {models.model_type.value} at {SIDE}, {FINE} and {COARSE}"

    def read(self, image: Image.Image) -> str:
        """The lines of text in an RGB picture, from top to bottom if they stand upright; empty where there is none."""
        if max(image.size) < SMALL:
            scale = min(MOST, SMALL / max(image.size))
            image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
        if self._detector(_blue_first(image)).boxes is None:
            return ""
        lines = self._both(image)
        ways = _TURNED if _upended(lines) else _UPSIDE_DOWN if lines and not _clear(lines) else ()
        for way in ways:
            turned = self._both(image.transpose(way))
            lines = max(lines, turned, key=_said)
            if _clear(turned):
                break
        told = [line for line in lines if line.counts]
        told.sort(key=lambda line: (line.box[1] // 10, line.box[0]))
        return "\n".join(line.text for line in told)[:LONGEST]

    def _both(self, image: Image.Image) -> list[_Line]:
        """What is read at the two sizes."""
        first = _lines(self._fine, image)
        second = _lines(self._coarse, _without(image, [line for line in first if line.score >= SURE]))
        return [*_best(first, second), *_best(second, first)]


def _lines(read: Any, image: Image.Image) -> list[_Line]:
    """What a reader sees, nonsense too."""
    found = read(_blue_first(image))
    if found.txts is None or found.boxes is None:
        return []
    return [
        _Line(told, float(score), tuple((float(x), float(y)) for x, y in corners))
        for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True)
        if (told := printable(text))
    ]


def _blue_first(image: Image.Image) -> NDArray[np.uint8]:
    """As RapidOCR wants it."""
    return np.asarray(image)[:, :, ::-1]


def _without(image: Image.Image, lines: Sequence[_Line]) -> Image.Image:
    """The picture with these lines painted over, in the colour of their corners."""
    if not lines:
        return image
    painted, pixels = image.copy(), np.asarray(image)
    draw = ImageDraw.Draw(painted)
    for line in lines:
        across, down = np.array(line.corners, int).T
        corners = pixels[down.clip(0, image.height - 1), across.clip(0, image.width - 1)]
        red, green, blue = np.median(corners, axis=0).astype(int).tolist()
        draw.polygon(line.corners, fill=(red, green, blue))
    return painted


def _best(lines: Sequence[_Line], others: Sequence[_Line]) -> list[_Line]:
    """Those of the lines in whose place none of the others says more: more letters, or more surely."""
    return [
        line for line in lines if not any(_overlap(line.box, other.box) and other.said > line.said for other in others)
    ]


def _said(lines: Iterable[_Line]) -> float:
    """How much is read in all: a line is worth more than its pieces."""
    return sum(line.said - 1 for line in lines if line.counts)


def _clear(lines: Sequence[_Line]) -> bool:
    """Whether hardly anything is there that could not be read for sure."""
    return _letters(line for line in lines if line.score >= SURE) >= 0.75 * _letters(lines)


def _upended(lines: Sequence[_Line]) -> bool:
    """Whether most of what is there stands in boxes that are higher than broad."""
    boxes = [(line, line.box) for line in lines if len(line.text) > 2]
    return 2 * _letters(line for line, box in boxes if box[3] - box[1] > box[2] - box[0]) > _letters(lines)


def _letters(lines: Iterable[_Line]) -> int:
    return sum(len(line.text) for line in lines)


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether more than half of the smaller box lies in the larger one."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    return width > 0 and height > 0 and 2 * width * height > min(areas)


@dataclass(frozen=True)
class _Piece:
    """Some items of a content, whose file is open for all its pieces."""

    items: Pending
    held: HeldContent

    def pictures(self, max_megapixels: float) -> list[Image.Image | None]:
        """Of each item, upright and not larger than is useful; None where no file holds it any more."""
        with self.held.piece() as (content, path):
            return [None if content is None else _picture(content, path, one, max_megapixels) for one in self.items]


def _pieces(items: Pending) -> list[_Piece]:
    some = [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]
    held = HeldContent(items[0], len(some))
    return [_Piece(own, held) for own in some]


def _picture(content: BinaryIO, path: str, item: PendingItem, max_megapixels: float) -> Image.Image | None:
    place = Place(item.part, item.at_ms)
    try:
        content.seek(0)
        return upright_part(content, path, place, SIDE, max_megapixels, enlarge=False)
    except (ImageError, OSError, MemoryError):
        return None


Job = tuple[Pending, list["Image.Image | None"]]  # some items of one content, and their pictures


class OcrTexts(Enrichment[_Piece, Job, list["str | None"]]):
    """The text in pictures that were not looked at by this engine.

    A file that cannot be read, or holds something else by now, is left alone: the walk over the folders speaks of it.
    A film is opened once, but read and stored a few frames at a time: reading text takes seconds a frame.
    """

    name = "texts"
    step = "text"
    share = "text"
    reads = True
    batch = _BATCH

    def __init__(self, context: IngestContext, reader: TextReader) -> None:
        self._context, self._reader = context, reader
        self._with_text = 0

    @classmethod
    def of(cls, context: IngestContext) -> OcrTexts:
        """Raises ModelError where RapidOCR is not installed."""
        return cls(context, TextReader())

    def pending(self) -> list[_Piece]:
        contents = by_content(self._context.store.pending_text(self._reader.engine, self._context.roots))
        return [piece for items in contents for piece in _pieces(items)]

    def read(self, item: _Piece) -> Job:
        return item.items, item.pictures(self._context.options.max_megapixels)

    def pictures(self, job: Job) -> int:
        return len(job[0])

    def compute(self, batch: Sequence[Job]) -> list[str | None]:
        pictures = [(item, image) for items, images in batch for item, image in zip(items, images, strict=True)]
        return [None if image is None else _text(self._reader, item, image) for item, image in pictures]

    def save(self, writer: StoreWriter, batch: Sequence[Job], result: list[str | None]) -> int:
        saved = 0
        for item, text in zip((item for items, _ in batch for item in items), result, strict=True):
            if text is not None:
                writer.put_text(item.item, self._reader.engine, text)
                saved += 1
                self._with_text += text != ""
        return saved

    def counts(self) -> dict[str, int]:
        return {WITH_TEXT: self._with_text}

    def path(self, job: Job) -> str:
        return job[0][0].files[0].path


def _text(reader: TextReader, item: PendingItem, image: Image.Image) -> str | None:
    try:
        return reader.read(image)
    except Exception as error:  # of OpenCV or ONNX Runtime, on a picture they cannot digest
        log.warning("no text was read in %s: %s", item.files[0].path, error)
        return None
