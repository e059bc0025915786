"""A hash of what a picture looks like: near-equal for near-equal pictures, however they were scaled or compressed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmsearch.types import Pixels

Hashes = NDArray[np.uint64]  # (n,), a hash each


def dhash(pixels: Pixels) -> bytes:
    """The difference hash of a picture, 8 bytes (Krawetz 2013, "Kind of Like That").

    ``pixels`` is (height, width, 3) uint8, here what the encoder gets.  They become 9 x 8 grey means; a bit, in reading
    order from the highest, says whether a mean is lighter than the one on its left.
    """
    from PIL import Image

    means = np.asarray(Image.fromarray(pixels).convert("L").resize((9, 8), Image.Resampling.BOX))
    return np.packbits(means[:, 1:] > means[:, :-1]).tobytes()


def as_numbers(hashes: Sequence[bytes | None]) -> tuple[Hashes, NDArray[np.bool_]]:
    """Hashes as ``distance`` takes them, (n,) uint64, and which there are, (n,); 0 where there is none."""
    known = np.array([one is not None for one in hashes], np.bool_)
    joined = b"".join(bytes(8) if one is None else one for one in hashes)
    return np.frombuffer(joined, ">u8").astype(np.uint64), known


def distance(left: Hashes, right: Hashes) -> NDArray[np.uint8]:
    """In how many of their 64 bits hashes differ, element by element; the two are broadcast like any arrays."""
    bits = np.bitwise_xor(left, right)
    # Counted in parallel in ever wider fields (Warren, Hacker's Delight, 5-1); NumPy's own bitwise_count came with 2.0.
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    for fields in (8, 16, 32):
        bits = bits + (bits >> np.uint64(fields))
    counts: NDArray[np.uint8] = (bits & np.uint64(0x7F)).astype(np.uint8)
    return counts
