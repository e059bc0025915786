"""Pictures enough for a map: drawn ones, each near to others of its colour."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mmsearch.config import Settings
from mmsearch.encoders.protocol import Encoder
from mmsearch.library.opening import open_library

SIDE = 64
COLOURS = [(200, 40, 40), (40, 160, 60), (40, 70, 200)]
HOSTILE = "<!--<script>alert(1)<\\script>'\"&amp;\u2028 é]]>.png"  # a file name that pages must take for no more


def draw(folder: Path, count: int, first: int = 0) -> None:
    """``count`` different pictures, numbered from ``first`` on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        noise = rng.integers(-30, 30, (4, 4, 3)) + np.array(COLOURS[number % len(COLOURS)])
        coarse = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:04d}.png")


def make(folder: Path, encoder: Encoder) -> None:
    """``folder/photos``, thirty pictures, and ``folder/library`` of them; the last has a hostile name and text."""
    draw(folder / "photos", 30)
    (folder / "photos" / "0029.png").rename(folder / "photos" / HOSTILE)
    (folder / "photos" / (HOSTILE.removesuffix("png") + "txt")).write_text("</script><b>bold</b>\n", "utf-8")
    settings = replace(Settings(library=folder / "library", cache=folder / "cache"), device="cpu", regions=False)
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        library.index(folder / "photos")


def copied(made: Path, folder: Path) -> Path:
    """A copy of that library, in ``folder``; its photos stay where they are, and are not to be changed."""
    shutil.copytree(made / "library", folder)
    return folder
