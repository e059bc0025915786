"""Text inside pictures, read by RapidOCR: ``pip install 'mmsearch[ocr]'``.

Its models (PP-OCRv6) come with the package, so nothing is fetched, and run in ONNX Runtime.  Signs that lie on their
side or stand on their head are read too: boxes higher than broad are turned, and a small model sees what is upside
down.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata

import numpy as np
from PIL import Image

from mmsearch.errors import ImageError, ModelError
from mmsearch.images.decode import upright
from mmsearch.images.descriptions import printable
from mmsearch.indexing import IN_MEMORY, Options, ahead, batches, hash_of
from mmsearch.records import IndexReport, Progress
from mmsearch.store.store import Lacking, Store

log = logging.getLogger(__name__)

SIDE = 1600  # pixels of the longer side that a picture is read at; smaller ones stay as they are
CONFIDENT = 0.6  # below, what is read in textures of photos without text is mostly nonsense
CONFIDENT_LETTER = 0.9  # of a single letter or digit
LONGEST = 10_000  # characters of a picture
_BATCH = 4  # pictures a transaction, and read ahead twice as many: they are large, and reading their text takes long


class TextReader:
    """Reads the text in pictures.  Raises ModelError where RapidOCR is not installed."""

    def __init__(self) -> None:
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise ModelError(
                f"reading text in pictures needs RapidOCR ({error}); run: pip install 'mmsearch[ocr]'"
            ) from error
        self.engine = f"rapidocr {metadata.version('rapidocr')} at {SIDE}"  # texts of another one are read anew
        self._read = RapidOCR(params={"Global.log_level": "critical", "Global.text_score": CONFIDENT})

    def read(self, image: Image.Image) -> str:
        """The lines of text in an upright RGB picture, from top to bottom; empty where there is none."""
        found = self._read(np.asarray(image)[:, :, ::-1])  # it wants blue first
        lines = zip(found.txts or (), found.scores or (), strict=True)
        told = [
            line for text, score in lines if (line := printable(text)) and (len(line) > 1 or score >= CONFIDENT_LETTER)
        ]
        return "\n".join(told)[:LONGEST]


def fill(
    store: Store,
    reader: TextReader,
    roots: Sequence[str],
    options: Options,
    report: IndexReport,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """The text of pictures in or below ``roots`` that were not looked at by this engine; ``report`` with what was done.

    A file that cannot be read, or holds something else by now, is left alone: the walk over the folders speaks of it.
    A transaction every few pictures: a kill loses no more than these, and the next run goes on.
    """
    started, done, looked = time.perf_counter(), 0, 0
    todo = store.lacking_text(reader.engine, roots)

    def opened(lacking: Lacking) -> tuple[Lacking, Image.Image | None]:
        return lacking, _picture(lacking, options.max_megapixels)

    for batch in batches(ahead(todo, opened, replace(options, batch=_BATCH)), _BATCH):
        texts = [(lacking, _text(reader, lacking, image)) for lacking, image in batch if image is not None]
        with store.writing() as writer:
            for lacking, text in texts:
                if text is not None:
                    writer.put_text(lacking.content, reader.engine, text)
                    looked += 1
        for lacking, _ in batch:
            done += 1
            if progress is not None:
                progress(Progress(done, len(todo), lacking.files[0].path, "text"))
    if not todo:
        return report
    seconds = time.perf_counter() - started
    return replace(
        report,
        texts=looked,
        seconds=round(report.seconds + seconds, 3),
        shares={**report.shares, "text": round(seconds, 3)},
    )


def _text(reader: TextReader, lacking: Lacking, image: Image.Image) -> str | None:
    try:
        return reader.read(image)
    except Exception as error:  # of OpenCV or ONNX Runtime, on a picture they cannot digest
        log.warning("no text was read in %s: %s", lacking.files[0].path, error)
        return None


def _picture(lacking: Lacking, max_megapixels: float) -> Image.Image | None:
    """The first of a content's files that still holds it, upright and not larger than is useful."""
    for file in lacking.files:
        try:
            with open(file.path, "rb") as opened:
                content = opened if file.size > IN_MEMORY else io.BytesIO(opened.read())
                if hash_of(content) == lacking.hash:
                    content.seek(0)
                    return upright(content, file.path, SIDE, max_megapixels, enlarge=False)
        except (ImageError, OSError, MemoryError):
            continue
    return None
