"""Photos of coloured shapes with captions, and what a reranker learns from them, made up."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mmsearch.training.contrastive.prefix_cache import TokenStates
from mmsearch.training.reranker.data import Lines, Photos, Thing, TrainData

COLOURS = ("red", "green", "blue", "yellow", "black", "white")
SHAPES = ("ball", "box", "kite", "balloon")


def captions() -> dict[str, list[str]]:
    """File name -> two captions, of 24 photos."""
    return {
        f"{colour}_{shape}.png": [f"a {colour} {shape} on a gray street", f"there are two dogs near a {colour} {shape}"]
        for colour, shape in itertools.product(COLOURS, SHAPES)
    }


def draw(folder: Path) -> Path:
    """The photos, 64 pixels a side, into ``folder``."""
    folder.mkdir(parents=True)
    for colour, shape in itertools.product(COLOURS, SHAPES):
        picture = Image.new("RGB", (64, 64), "gray")
        pen = ImageDraw.Draw(picture)
        if shape == "ball":
            pen.ellipse((16, 16, 48, 48), colour)
        elif shape == "box":
            pen.rectangle((16, 16, 48, 48), colour)
        elif shape == "kite":
            pen.polygon([(32, 8), (48, 32), (32, 56), (16, 32)], colour)
        else:
            pen.ellipse((20, 4, 44, 36), colour)
            pen.line((32, 36, 32, 63), colour, 3)
        picture.save(folder / f"{colour}_{shape}.png")
    return folder


def write_captions(file: Path) -> Path:
    """Lines of ``file name<TAB>caption``."""
    lines = [f"{name}\t{caption}\n" for name, own in captions().items() for caption in own]
    file.write_text("".join(lines), "utf-8")
    return file


def states(lengths: list[int], width: int, rng: np.random.Generator) -> Lines:
    """Texts of so many words, each word a random state."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    found: NDArray[np.float16] = rng.standard_normal((int(starts[-1]), width)).astype(np.float16)
    return Lines(TokenStates(found, starts), [np.full(length, 7, np.int64) for length in lengths])


def train_data(photos: int = 10, width: int = 16, dim: int = 6, several: int = 2, noise: float = 0.1) -> TrainData:
    """Made-up photos of 4 regions, each with ``several`` captions that say in their own way which photo it is.

    Photo i is followed by its neighbours: i + 1 and i - 1, and so on.  Every second caption has a false version, every
    photo a question with one of 3 answers, every caption hidden words, and is three words long.
    """
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((photos, 4 * dim))
    stored = np.stack([kinds + noise * rng.standard_normal(kinds.shape) for _ in range(2)], axis=1).astype(np.float16)
    count = photos * several
    spoken = kinds @ rng.standard_normal((4 * dim, width)) / dim  # what photo a text is about
    about = [*np.repeat(np.arange(photos), several)]
    about += [(photo + 1) % photos for photo in about[::2]]  # false versions
    about += [*range(photos), *about[:count]]  # questions, and captions with hidden words
    lengths = [3 + row % 3 for row in range(len(about))]
    lines = states(lengths, width, rng)
    for row, photo in enumerate(about):
        lines.states.states[lines.states.starts[row] : lines.states.starts[row + 1]] *= 0.3
        lines.states.states[lines.states.starts[row] + 1] += spoken[photo].astype(np.float16)
    changed = np.full(count, -1, np.int64)
    changed[::2] = count + np.arange(count // 2)
    first = count + count // 2
    ring = np.array([[(i + step) % photos for step in (1, -1, 2, -2)] for i in range(photos)])
    return TrainData(
        photos=Photos(np.concatenate([stored, np.zeros((photos, 2, 3), np.float16)], axis=2), 4, dim),
        lines=lines,
        captions=[np.arange(several * photo, several * (photo + 1)) for photo in range(photos)],
        changed=changed,
        masked=np.arange(first + photos, len(about)),
        masked_photo=np.repeat(np.arange(photos), several),
        masked_words=[
            np.array([-1, row % 5, *[-1] * (length - 2)]) for row, length in enumerate(lengths[first + photos :])
        ],
        said=[np.array([1, 4 + row % 3, 5, 2]) for row in range(count)],
        describes=np.arange(count) % 4 != 3,
        questions=np.arange(first, first + photos),
        question_photo=np.arange(photos),
        answers=[np.array([photo % 3]) for photo in range(photos)],
        sources=np.arange(photos) % 2,
        near=ring,
        alike=np.arange(photos),
        things=[Thing(first + photo, np.array([photo]), np.array([(photo + 1) % photos])) for photo in range(photos)],
        classes=5,
    )
