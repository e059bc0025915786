"""Region tokens as they are stored: int8 with one float16 scale a region, a quarter of their size in float32.

A blob holds the int8 values of all regions, then their scales: ``count * (dim + 2)`` bytes, little-endian.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import LibraryError
from mmsearch.types import Regions

BUDGET = 4096  # bytes a photo may have: 49 regions of 64 dimensions take 3,234

_TOP = 127  # the largest int8 in use; -128 is not, so that a blob that holds it is damaged


def size(count: int, dim: int) -> int:
    """Bytes of the blob of ``count`` regions of ``dim`` dimensions."""
    return count * (dim + 2)


def quantized(rows: NDArray[np.floating]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Rows (..., dim) as int8, and a scale of each (...); each value is off by half a step of its row's scale at most.

    A scale is the smallest float16 with which the row's largest value fits.  Values beyond 127 * 65504, the end of
    float16, are cut off there, and a row with a value that is not finite becomes zeros.
    """
    values = np.where(np.isfinite(rows).all(axis=-1, keepdims=True), rows, 0).astype(np.float32)
    wanted = np.minimum(np.abs(values).max(axis=-1, initial=0) / _TOP, np.float32(65504))
    scales = wanted.astype("<f2")
    above = np.nextafter(np.minimum(scales, np.float16(65472)), np.float16(np.inf))
    scales = np.where(scales.astype(np.float32) < wanted, above, scales)
    steps = np.where(scales > 0, scales, 1).astype(np.float32)[..., None]
    return np.clip(np.rint(values / steps), -_TOP, _TOP).astype(np.int8), scales


def pack(regions: Regions) -> list[bytes]:
    """(n, count, dim) -> n blobs, each region ``quantized``."""
    n, count, dim = regions.shape
    small, scales = quantized(regions)
    rows = np.empty((n, size(count, dim)), np.uint8)
    rows[:, : count * dim] = small.reshape(n, count * dim).view(np.uint8)
    rows[:, count * dim :] = np.ascontiguousarray(scales, "<f2").view(np.uint8)
    return [row.tobytes() for row in rows]


def unpack(blobs: Sequence[bytes], count: int, dim: int) -> Regions:
    """n blobs -> (n, count, dim) float32.  Raises LibraryError for one that ``pack`` did not make of that shape."""
    wanted = size(count, dim)
    wrong = next((len(blob) for blob in blobs if len(blob) != wanted), None)
    if wrong is not None:
        raise LibraryError(
            f"stored region tokens take {wrong} bytes where {count} regions of {dim} dimensions take {wanted}: "
            "the library's database is damaged; restore a copy of it, or remove the library's folder and index again"
        )
    rows = np.frombuffer(b"".join(blobs), np.uint8).reshape(len(blobs), wanted)
    small = rows[:, : count * dim].view(np.int8).reshape(len(blobs), count, dim)
    scales = np.ascontiguousarray(rows[:, count * dim :]).view("<f2")  # (n, count)
    if (small == -_TOP - 1).any() or not np.isfinite(scales).all() or (scales < 0).any():
        raise LibraryError(
            "stored region tokens hold values that are never written: the library's database is damaged; "
            "restore a copy of it, or remove the library's folder and index again"
        )
    regions: Regions = small * scales.astype(np.float32)[:, :, None]
    return regions
