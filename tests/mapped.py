"""Pictures enough for a map: drawn ones, each near to others of its colour."""

from __future__ import annotations

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


def photos(folder: Path) -> None:
    """Thirty pictures; the last has a hostile name and text."""
    draw(folder, 30)
    (folder / "0029.png").rename(folder / HOSTILE)
    (folder / (HOSTILE.removesuffix("png") + "txt")).write_text("</script><b>bold</b> told\n", "utf-8")


def library(folder: Path, of: Path, encoder: Encoder) -> None:
    """A library in ``folder`` of the photos in ``of``."""
    settings = replace(Settings(library=folder, cache=folder / "cache"), device="cpu", regions=False)
    with open_library(folder, settings=settings, encoder=encoder) as opened:
        opened.index(of)
