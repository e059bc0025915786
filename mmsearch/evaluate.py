"""How well a model finds the right photo for a caption, and the right caption for a photo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import SourceError
from mmsearch.images.find import walk
from mmsearch.indexing import Options, read_ahead
from mmsearch.metrics import retrieval
from mmsearch.records import Found, Progress, Skipped

TEXTS = 64  # captions encoded together


def read_captions(file: Path, only: Path | None = None) -> dict[str, list[str]]:
    """File name -> captions, from ``file name<TAB>caption`` lines (UTF-8, no header).

    ``only`` names a file with the file names to keep, one a line.  Raises SourceError.
    """
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(file), 1):
        name, tab, caption = line.partition("\t")
        if not tab or not name or not caption.strip():
            raise SourceError(f"{file}, line {number}: wanted 'file name<TAB>caption', got {line[:60]!r}")
        captions.setdefault(name, []).append(caption.strip())
    if only is not None:
        captions = {name: captions[name] for name in _lines(only) if name in captions}
    if not captions:
        raise SourceError(f"{file}: no captions" + (f" for the files named in {only}" if only else ""))
    return captions


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text("utf-8").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is no UTF-8 text: {error}") from error
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from error


def evaluate(
    encoder: Encoder,
    captions: dict[str, list[str]],
    images: Path,
    options: Options | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Retrieval figures of ``encoder`` on captioned photos, as percentages; the primary one is text_to_image R@1.

    A text query has one right photo, its own; a photo has as many right texts as it has captions and its best-placed
    one counts.  Photos that are missing or cannot be read are left out with their captions and listed in ``skipped``.
    Returns ``text_to_image`` and ``image_to_text`` (R@1, R@5, R@10, MRR), ``queries``, ``photos``, ``skipped``.
    Raises SourceError when no photo is left.
    """
    options = options or Options()
    skipped: list[Skipped] = []
    files = {}
    for name in captions:
        found = next(walk(str(images / name)), None)
        if isinstance(found, Found):
            files[found.path] = (found, name)
        else:
            skipped.append(found or Skipped(str(images / name), "no picture file"))
    names: list[str] = []
    rows: list[np.ndarray] = []
    pixels: list[np.ndarray] = []

    def flush() -> None:
        if pixels:
            rows.append(encoder.encode_images(np.stack(pixels)))
            pixels.clear()

    wanted = [found for found, _ in files.values()]
    for done, item in enumerate(read_ahead(wanted, set(), encoder.card.preprocess, options), 1):
        if item.picture is None:
            skipped.append(Skipped(item.file.path, item.failure or "could not be read"))
        else:
            names.append(files[item.file.path][1])
            pixels.append(item.picture.pixels)
            if len(pixels) == options.batch:
                flush()
        if progress is not None:
            progress(Progress(done, len(wanted), item.file.path))
    flush()
    if not names:
        raise SourceError(f"none of the {len(captions)} captioned photos could be read in {images}")
    texts = [caption for name in names for caption in captions[name]]
    owner = np.repeat(np.arange(len(names)), [len(captions[name]) for name in names])
    vectors = [encoder.encode_texts(texts[start : start + TEXTS]) for start in range(0, len(texts), TEXTS)]
    figures = retrieval(np.concatenate(rows), np.concatenate(vectors), owner)
    return {
        **figures,
        "queries": len(texts),
        "photos": len(names),
        "skipped": [{"path": item.path, "reason": item.reason} for item in skipped],
        "model": encoder.card.name,
    }
