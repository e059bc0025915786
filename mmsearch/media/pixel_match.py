"""Whether two pictures are one and the same: scaled, compressed, cropped, brighter or turned a little.

Closer than a hash or a vector, which take two pages of text for the same, and slower: it takes the pixels.  The limits
lie between what ``python -m benchmarks.near_duplicates`` finds for copies and for different pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch.media.decode import upright

Grey = NDArray[np.float32]  # (side, side)

SIDE = 64
PARTS = (0.97, 0.94, 0.91, 0.88, 0.85)  # shares of a side that a crop is looked for with
ALIKE = 0.86  # least correlation of photos; 95 % of copies have 0.91 and more, different ones at most 0.77
PLAIN_ALIKE = 0.97  # of mostly one tone, as text on paper, where every stroke counts; there 0.99 and more, at most 0.95
PLAIN = 0.45  # share of one tone, two of 32 steps, from which a picture is such a one


@dataclass(frozen=True)
class Sketch:
    """A picture for comparison."""

    grey: Grey  # the whole picture squashed to (SIDE, SIDE), its mean 0 and its length as a vector 1
    plain: bool  # mostly one tone


def sketch(file: BinaryIO, path: str, max_megapixels: float = 200.0) -> Sketch:
    """The picture in ``file``, which is open and seekable; ``path`` names it in errors.  Raises ImageError."""
    whole = upright(file, path, 2 * SIDE, max_megapixels)
    grey = np.asarray(whole.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
    tones, _ = np.histogram(grey, 32, (0, 256))
    return Sketch(_normal(grey.astype(np.float32)), float((tones[:-1] + tones[1:]).max()) >= PLAIN * grey.size)


def alike(left: Sketch, right: Sketch) -> bool:
    """Whether both show the same, whole or one of them a part of the other."""
    return correlation(left, right, enough=ALIKE) >= (PLAIN_ALIKE if left.plain or right.plain else ALIKE)


def correlation(left: Sketch, right: Sketch, enough: float = 1.0) -> float:
    """How well the pictures fit each other, in [-1, 1]; crops are looked for where they are not plain.

    They are not looked for either where the whole pictures have ``enough``.
    """
    straight = float((left.grey * right.grey).sum())
    if left.plain or right.plain or straight >= enough:
        return straight
    return max(straight, crop(left.grey, right.grey), crop(right.grey, left.grey))


def crop(whole: Grey, part: Grey) -> float:
    """How well ``part`` fits where it fits best: its correlation, in [-1, 1], with a square of ``whole``.

    The squares have ``PARTS`` of the sides and lie anywhere.  This is normalised cross-correlation, its products by
    Fourier transform, its sums from running totals (Lewis 1995, "Fast Normalized Cross-Correlation").
    """
    spectrum = np.fft.rfft2(whole)
    totals, squares = _running(whole.astype(np.float64)), _running(whole.astype(np.float64) ** 2)
    picture, best = Image.fromarray(part), -1.0
    for share in PARTS:
        side = round(share * len(whole))
        small = _normal(np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)))
        places = len(whole) - side + 1
        products = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(small, whole.shape)), whole.shape)[:places, :places]
        spread = _sums(squares, side) - _sums(totals, side) ** 2 / side**2  # of each square: its length without mean
        best = max(best, float((products / np.sqrt(np.maximum(spread, 1e-9))).max()))
    return best


def _normal(grey: Grey) -> Grey:
    """With mean 0 and length 1; all 0 where there is one tone only."""
    centred = grey - grey.mean()
    length = float(np.linalg.norm(centred))
    normal: Grey = (centred / length if length > 1e-6 else np.zeros_like(centred)).astype(np.float32)
    return normal


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _sums(running: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The sums of all squares of this side."""
    total: NDArray[np.float64] = (
        running[side:, side:] - running[:-side, side:] - running[side:, :-side] + running[:-side, :-side]
    )
    return total
