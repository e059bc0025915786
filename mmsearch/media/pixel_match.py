"""Whether two pictures are one and the same: scaled, compressed, cropped, brighter or turned a little.

Closer than a hash or a vector, which take two pages of text for the same, and slower: it takes the pixels.  First the
pictures as a whole must fit, by the correlation of their brightness.  Then one is laid on the other, its tones are
brought to the other's, and nowhere may a difference be left: a shirt of another colour or a person at the door of a
fixed camera is a different picture.  The limits lie between what ``python -m benchmarks.near_duplicates`` finds for
copies and for different pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmsearch.media.decode import upright
from mmsearch.media.registration import register, warped

Grey = NDArray[np.float32]  # (side, side)
Planes = NDArray[np.float32]  # (3, side, side): brightness and two of colour (YCbCr of BT.601), in steps of 255

SIDE = 64  # of the grey pictures that are correlated
DETAIL = 128  # of the pictures whose parts are compared, at most …
COARSE = 32  # … and at least
KEPT = 0.75  # share of the shorter side: of what is finer, little is left in a copy that was scaled
PARTS = (0.97, 0.94, 0.91, 0.88, 0.85)  # shares of a side that a crop is looked for with
ALIKE = 0.86  # least correlation of photos
PLAIN_ALIKE = 0.97  # of mostly one tone, as text on paper, where every stroke counts
PLAIN = 0.45  # share of one tone, two of 32 steps, from which a picture is such a one

WINDOW = 16  # parts of a side: differences are averaged over squares of this share of the picture
MOST = (32.0, 16.0)  # largest difference of a square: pixel by pixel, and of its mean tone; steps of 255
PLAIN_MOST = (18.0, 18.0)
GAINS, COLOUR_GAINS = (0.4, 2.5), (0.5, 2.0)  # contrast and saturation that an edit may have changed
COLOURLESS = 3.0, 2.0  # times, and steps, by which the colours of one spread more: the other is in black and white


@dataclass(frozen=True)
class Sketch:
    """A picture for comparison."""

    grey: Grey  # the whole picture squashed to (SIDE, SIDE), its mean 0 and its length as a vector 1
    plain: bool  # mostly one tone
    colours: NDArray[np.uint8]  # the same in RGB, (side, side, 3); side from COARSE to DETAIL


@dataclass(frozen=True)
class Fit:
    """Where a picture fits another best."""

    correlation: float  # in [-1, 1]
    share: float = 1.0  # of the sides of the other
    top: float = 0.0  # in shares of the sides of the other
    left: float = 0.0


def sketch(file: BinaryIO, path: str, max_megapixels: float = 200.0) -> Sketch:
    """The picture in ``file``, which is open and seekable; ``path`` names it in errors.  Raises ImageError."""
    return sketch_of(upright(file, path, 2 * DETAIL, max_megapixels, enlarge=False))


def sketch_of(whole: Image.Image) -> Sketch:
    """The same of a picture in RGB whose longer side is about ``2 * DETAIL`` pixels."""
    side = min(max(COARSE, round(KEPT * min(whole.size))), DETAIL)
    colours = whole.resize((side, side), Image.Resampling.HAMMING)
    grey = np.asarray(whole.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
    tones, _ = np.histogram(grey, 32, (0, 256))
    plain = float((tones[:-1] + tones[1:]).max()) >= PLAIN * grey.size
    return Sketch(_normal(grey.astype(np.float32)), plain, np.asarray(colours))


def alike(left: Sketch, right: Sketch) -> bool:
    """Whether both show the same, whole or one of them a part of the other."""
    least, most = (PLAIN_ALIKE, PLAIN_MOST) if left.plain or right.plain else (ALIKE, MOST)
    fit, whole, part = placed(left, right, enough=ALIKE)
    return fit.correlation >= least and any(
        pixels <= most[0] and tones <= most[1] for pixels, tones in differences(whole, part, fit)
    )


def placed(left: Sketch, right: Sketch, enough: float = 1.0) -> tuple[Fit, Sketch, Sketch]:
    """Where the pictures fit each other, the one that shows more, and the other one.

    Crops are looked for where the pictures are not plain and do not have the correlation ``enough`` as they are.
    """
    straight = Fit(float((left.grey * right.grey).sum()))
    if left.plain or right.plain or straight.correlation >= enough:
        return straight, left, right
    found = (
        (straight, left, right),
        (crop(left.grey, right.grey), left, right),
        (crop(right.grey, left.grey), right, left),
    )
    return max(found, key=lambda one: one[0].correlation)


def crop(whole: Grey, part: Grey) -> Fit:
    """The square of ``whole`` that ``part`` fits best.

    The squares have ``PARTS`` of the sides and lie anywhere.  This is normalised cross-correlation, its products by
    Fourier transform, its sums from running totals (Lewis 1995, "Fast Normalized Cross-Correlation").
    """
    spectrum, length = np.fft.rfft2(whole), len(whole)
    totals, squares = _running(whole.astype(np.float64)), _running(whole.astype(np.float64) ** 2)
    picture, best = Image.fromarray(part), Fit(-1.0)
    for share in PARTS:
        side = round(share * length)
        small = _normal(np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)))
        places = length - side + 1
        products = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(small, whole.shape)), whole.shape)[:places, :places]
        spread = _sums(squares, side) - _sums(totals, side) ** 2 / side**2  # of each square: its length without mean
        fits = products / np.sqrt(np.maximum(spread, 1e-9))
        top, left = np.unravel_index(int(fits.argmax()), fits.shape)
        if fits[top, left] > best.correlation:
            best = Fit(float(fits[top, left]), side / length, int(top) / length, int(left) / length)
    return best


def differences(whole: Sketch, part: Sketch, fit: Fit) -> Iterator[tuple[float, float]]:
    """The largest differences of two pictures as they are, where both are whole, and then laid on each other closely.

    As ``placed`` gives them; what is yielded is what ``largest_difference`` returns.
    """
    side = min(len(whole.colours), len(part.colours))
    fixed, moving = _planes(whole, side), _planes(part, side)
    if fit.share == 1.0:
        yield largest_difference(fixed, moving, np.ones((side, side), np.bool_), 0)
    scale = 1 / fit.share
    affine = register(fixed[0], moving[0], (scale, 0.0, -fit.left * side * scale, 0.0, scale, -fit.top * side * scale))
    laid = [warped(plane, affine) for plane in moving]
    covers = laid[0][1]
    if covers.mean() >= PARTS[-1] ** 2 / 2:  # else it ran away
        yield largest_difference(fixed, np.stack([plane for plane, _ in laid]), covers, 1)


def largest_difference(left: Planes, right: Planes, covers: NDArray[np.bool_], shifts: int) -> tuple[float, float]:
    """The largest difference that any square of two pictures has, in steps of 255, where both show something.

    ``left`` and ``right`` are (3, side, side) and lie on each other where ``covers`` (side, side).  Returns the mean of
    the differences of pixels, brightness and colours together, and the difference of mean tones; a square may lie
    ``shifts`` pixels off.  An edit of the whole picture, its brightness, contrast, saturation or tint, makes no
    difference; colours that only one picture has make an endless one.
    """
    spreads = [float(np.sqrt(one[1:, covers].var(axis=1).sum())) for one in (left, right)]
    if max(spreads) > COLOURLESS[0] * min(spreads) + COLOURLESS[1]:
        return np.inf, np.inf
    gains = [_tones(left[plane][covers], right[plane][covers], COLOUR_GAINS if plane else GAINS) for plane in range(3)]
    if gains[0][0] < 1:  # from the darker to the brighter one, which may have lost what was too bright
        left, right = right, left
        gains = [_tones(left[p][covers], right[p][covers], COLOUR_GAINS if p else GAINS) for p in range(3)]
    toned = _within_white(np.stack([gain * plane + offset for plane, (gain, offset) in zip(left, gains, strict=True)]))
    size = max(3, round(covers.shape[0] / WINDOW))
    inside = _sums(_running(covers), size) >= 0.9 * size**2
    if not inside.any():
        return np.inf, np.inf
    pixels = tones = np.full(inside.shape, np.inf)
    for down in range(-shifts, shifts + 1):
        for across in range(-shifts, shifts + 1):
            rest = np.where(covers, right - np.roll(toned, (down, across), (1, 2)), 0)
            pixels = np.minimum(pixels, _sums(_running(np.abs(rest).sum(axis=0)), size))
            tones = np.minimum(tones, np.sqrt(sum(_sums(_running(plane), size) ** 2 for plane in rest)))
    return float(pixels[inside].max()) / size**2, float(tones[inside].max()) / size**2


def _tones(left: NDArray[np.float32], right: NDArray[np.float32], gains: tuple[float, float]) -> tuple[float, float]:
    """Gain and offset that bring the values of one picture to the other's; pixels that do not fit weigh little."""
    weights: NDArray[np.floating] = np.ones_like(left)
    gain, offset = 1.0, 0.0
    for _ in range(4):
        total = float(weights.sum())
        mean, wanted = float((weights * left).sum()) / total, float((weights * right).sum()) / total
        apart = left - mean
        variance = float((weights * apart**2).sum()) / total
        gain = float((weights * apart * (right - wanted)).sum()) / total / variance if variance > 1 else 1.0
        gain = min(max(gain, gains[0]), gains[1])
        offset = wanted - gain * mean
        rest = np.abs(right - gain * left - offset)
        weights = 1 / (1 + (rest / (1.5 * float(np.median(rest)) + 1)) ** 2)
    return gain, offset


def _planes(one: Sketch, side: int) -> Planes:
    """Its planes at a size of (side, side)."""
    image = Image.fromarray(one.colours).resize((side, side), Image.Resampling.HAMMING)
    red, green, blue = np.moveaxis(np.asarray(image, np.float32), -1, 0)
    return _of_rgb(red, green, blue)


def _of_rgb(red: Grey, green: Grey, blue: Grey) -> Planes:
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([bright, 0.564 * (blue - bright), 0.713 * (red - bright)])


def _within_white(planes: Planes) -> Planes:
    """As a file would keep them: no channel below 0 or above 255."""
    bright, blue, red = planes[0], planes[0] + planes[1] / 0.564, planes[0] + planes[2] / 0.713
    green = (bright - 0.299 * red - 0.114 * blue) / 0.587
    return _of_rgb(*(channel.clip(0, 255) for channel in (red, green, blue)))


def _normal(grey: Grey) -> Grey:
    """With mean 0 and length 1; all 0 where there is one tone only."""
    centred = grey - grey.mean()
    length = float(np.linalg.norm(centred))
    normal: Grey = (centred / length if length > 1e-6 else np.zeros_like(centred)).astype(np.float32)
    return normal


def _running(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.pad(values.cumsum(0, np.float64).cumsum(1), ((1, 0), (1, 0)))


def _sums(running: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The sums of all squares of this side."""
    total: NDArray[np.float64] = (
        running[side:, side:] - running[:-side, side:] - running[side:, :-side] + running[:-side, :-side]
    )
    return total
