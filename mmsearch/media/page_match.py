"""Whether two pages of documents are one and the same: compressed anew, or in another resolution.

Closer than ``pixel_match``, for which two forms that are filled in differently are one picture.  Pages are laid on each
other as they are, for nobody crops or turns a page in saving it again.  A letter must not differ: the strokes are
compared at a size at which they are more than a dot, and each difference is weighed by the strokes around it, so
that grey letters count like black ones.  The limits lie between what ``python -m benchmarks.document_duplicates`` finds
for copies and for pages that differ in one letter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float32]  # (height, width)
Planes = NDArray[np.float32]  # (height, width, 3), RGB, in steps of 255

SIDE = 1754  # pixels of the longer side of the pages that are compared …
LEAST_SIDE = 1600  # … and at least: where there are fewer, a letter is too small to be told from another
SHAPE = 0.01  # by which the ratios of the sides of two pages may differ
FINE = 1.5  # pixels, the deviation of the Gaussian that makes pages equally sharp
AROUND = 4.0  # the same, of what is weighed together: about a letter
TONES = 10  # pixels that are one for tones: a marker over words, a grey stamp
NOISE = 100.0  # variance of what is no stroke
ROWS = 16  # that are blurred at once


@dataclass(frozen=True)
class Page:
    """A page for comparison."""

    pixels: NDArray[np.uint8]  # (height, width, 3), the longer side at most SIDE

    @property
    def large_enough(self) -> bool:
        return bool(max(self.pixels.shape) >= LEAST_SIDE)


@dataclass(frozen=True)
class Difference:
    """The largest ones between two pages."""

    stroke: float  # of brightness, in steps of 255
    weighed: float  # the same, as a share of the spread around it
    tone: float  # of a channel, over a wide area, in steps of 255

    @property
    def is_little(self) -> bool:
        """Whether it is less than a letter makes."""
        return self.stroke <= MOST.stroke and self.weighed <= MOST.weighed and self.tone <= MOST.tone


MOST = Difference(20.0, 0.20, 12.0)


def same_page(left: Page, right: Page) -> bool:
    """Whether both pages show the same, to the letter; False too where one is too small to tell."""
    if not (left.large_enough and right.large_enough) or not same_shape(left, right):
        return False
    if np.abs(_tones(left, right)).max() > MOST.tone:  # quick to tell, and of most pages enough
        return False
    apart, planes = _strokes(left, right)
    return bool(np.abs(apart).max() <= MOST.stroke and _weighed(apart, planes).max() <= MOST.weighed)


def same_shape(left: Page, right: Page) -> bool:
    """Whether the sides of both have one ratio."""
    (height, width), (other_height, other_width) = left.pixels.shape[:2], right.pixels.shape[:2]
    ratio = height * other_width / (width * other_height)
    return bool(1 - SHAPE <= ratio <= 1 + SHAPE)


def difference(left: Page, right: Page) -> Difference:
    """How much pages of one shape differ, at the size of the smaller one."""
    apart, weighed, tones = differences(left, right)
    return Difference(float(np.abs(apart).max()), float(weighed.max()), float(np.abs(tones).max()))


def differences(left: Page, right: Page) -> tuple[Plane, Plane, Planes]:
    """What ``difference`` gives the largest of, place by place: (height, width) twice, then (rows, columns, 3)."""
    apart, planes = _strokes(left, right)
    return apart, _weighed(apart, planes), _tones(left, right)


def _strokes(left: Page, right: Page) -> tuple[Plane, tuple[Plane, Plane]]:
    """How far the brightness of one is from that of the other, and that of each."""
    size = _size(left, right)
    grey = np.array([0.299, 0.587, 0.114], np.float32)
    one, other = (_blurred(_planes(page, size) @ grey, FINE) for page in (left, right))
    return _laid(one, other), (one, other)


def _weighed(apart: Plane, planes: tuple[Plane, Plane]) -> Plane:
    spread = sum((_blurred(plane**2, AROUND) - _blurred(plane, AROUND) ** 2 for plane in planes), np.float32(0)) / 2
    found: Plane = np.sqrt(_blurred(apart**2, AROUND) / (np.maximum(spread, 0) + NOISE))
    return found


def _tones(left: Page, right: Page) -> Planes:
    width, height = _size(left, right)
    small = max(1, width // TONES), max(1, height // TONES)
    broad = _planes(left, small, Image.Resampling.BOX) - _planes(right, small, Image.Resampling.BOX)
    return np.stack([_blurred(broad[..., channel], 1.0) for channel in range(3)], axis=-1)


def _size(left: Page, right: Page) -> tuple[int, int]:
    """Width and height of the smaller one."""
    height, width = min(left.pixels.shape[:2], right.pixels.shape[:2])
    return width, height


def _laid(one: Plane, other: Plane) -> Plane:
    """The difference of two planes without what comes from laying them on each other less than a pixel off.

    By least squares over the whole page, of an affine motion: the linear step of Lucas and Kanade (1981).
    """
    apart = one - other
    down, across = np.gradient((one + other) / 2)
    height, width = apart.shape
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)
    moved = [gradient * place for gradient in (down, across) for place in (np.float32(1), rows, columns)]
    products = np.array([[float((a * b).sum()) for a in moved] for b in moved])
    wanted = np.array([float((a * apart).sum()) for a in moved])
    shifts = np.linalg.lstsq(products, wanted, rcond=None)[0]
    rest: Plane = apart - sum((np.float32(by) * plane for by, plane in zip(shifts, moved, strict=True)), np.float32(0))
    return rest


def _planes(page: Page, size: tuple[int, int], way: Image.Resampling = Image.Resampling.HAMMING) -> Planes:
    image = Image.fromarray(page.pixels).resize(size, way)
    return np.asarray(image, np.float32)


def _blurred(plane: NDArray[np.float32], deviation: float) -> NDArray[np.float32]:
    """By a Gaussian, one axis after the other."""
    reach = max(1, round(3 * deviation))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2).astype(np.float32)
    weights /= weights.sum()
    return _down(_down(plane, weights).T, weights).T


def _down(plane: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each pixel the weighted sum of those above and below it; some rows at once, as a product of matrices."""
    more = len(weights) - 1
    band = np.zeros((ROWS, ROWS + more), np.float32)
    for row in range(ROWS):
        band[row, row : row + len(weights)] = weights
    padded, found = np.pad(plane, ((more // 2, more // 2), (0, 0)), "edge"), np.empty(plane.shape, np.float32)
    for start in range(0, len(plane), ROWS):
        rows = min(ROWS, len(plane) - start)
        np.matmul(band[:rows, : rows + more], padded[start : start + rows + more], out=found[start : start + rows])
    return found
