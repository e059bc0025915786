"""Image registration: how one picture must be scaled, moved and turned to lie on another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float32]  # (side, side), one channel of a picture
Affine = tuple[float, float, float, float, float, float]  # as Pillow has it: x = a X + b Y + c, y = d X + e Y + f

LEVELS = (4, 2, 1)  # times fewer pixels a side: from coarse to fine
STEPS = 12  # at each, at most
STILL = 0.02  # pixels by which the last step moved a corner
COVERED = 0.999  # share of a pixel that must come from within the picture


def warped(plane: Plane, affine: Affine) -> tuple[Plane, NDArray[np.bool_]]:
    """The picture laid on another of its size, and where it covers that one: (side, side) float32 and bool."""
    covers = _transform(np.ones_like(plane), affine) > COVERED
    return _transform(plane, affine), covers


def register(fixed: Plane, moving: Plane, start: Affine) -> Affine:
    """The affine map that lays ``moving`` on ``fixed``, found from ``start``, which must be right to a few pixels.

    Both are (side, side) float32.  Gauss-Newton steps on the differences, with a gain and an offset of brightness as
    further unknowns; pixels that do not fit weigh little, so something that only one picture shows does not pull
    (Lucas and Kanade 1981; weights after Geman and McClure, as in Black and Anandan 1996).
    """
    found = start
    for level in LEVELS:
        side = len(fixed) // level
        fewer = len(fixed) / side
        found = _scaled(_steps(_resized(fixed, side), _resized(moving, side), _scaled(found, 1 / fewer)), fewer)
    return found


def _scaled(affine: Affine, factor: float) -> Affine:
    """The same map between pictures with so many times the pixels a side."""
    a, b, c, d, e, f = affine
    return a, b, c * factor, d, e, f * factor


def _steps(fixed: Plane, moving: Plane, start: Affine) -> Affine:
    rows, columns = np.mgrid[0 : fixed.shape[0], 0 : fixed.shape[1]].astype(np.float32) + 0.5
    found = np.array(start, np.float64)
    for _ in range(STEPS):
        laid, covers = warped(moving, _affine(found))
        if covers.sum() < 64:
            return start
        down, across = np.gradient(laid)
        slopes = np.stack(
            [across * columns, across * rows, across, down * columns, down * rows, down, laid, np.ones_like(laid)], -1
        )[covers]
        rest = (fixed - laid)[covers]
        scale = 2 * float(np.median(np.abs(rest))) + 1
        weighed = slopes * (1 / (1 + (rest / scale) ** 2))[:, None]
        normal = (weighed.T @ slopes).astype(np.float64)
        normal[np.diag_indices(8)] *= 1 + 1e-4
        normal[np.diag_indices(8)] += 1e-6  # pictures of one tone have no slopes
        step = np.linalg.solve(normal, (weighed.T @ rest).astype(np.float64))[:6]
        found += step
        if float(np.abs(step * np.array([*fixed.shape, 1] * 2)).max()) < STILL:
            break
    return _affine(found)


def _resized(plane: Plane, side: int) -> Plane:
    return (
        plane if side == len(plane) else np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BOX))
    )


def _transform(plane: Plane, affine: Affine) -> Plane:
    image = Image.fromarray(plane)
    return np.asarray(image.transform(image.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR))


def _affine(values: NDArray[np.float64]) -> Affine:
    a, b, c, d, e, f = values.tolist()
    return a, b, c, d, e, f
