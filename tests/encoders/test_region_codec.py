"""Region tokens keep their values within half a step, and damage is noticed."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.encoders.region_codec import BUDGET, pack, size, unpack
from mmsearch.errors import LibraryError


def scales_of(blob: bytes, count: int, dim: int) -> list[float]:
    """The scales that a blob ends with, read by another module."""
    return list(struct.unpack(f"<{count}e", blob[count * dim :]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 4), st.integers(1, 9), st.integers(1, 40), st.floats(1e-9, 1e6))
def test_values_are_within_half_a_step(seed: int, n: int, count: int, dim: int, height: float) -> None:
    random = np.random.default_rng(seed)
    heights = height * random.random((n, count, 1))
    regions = (random.standard_normal((n, count, dim)) * heights).astype(np.float32)
    blobs = pack(regions)
    assert [len(blob) for blob in blobs] == [size(count, dim)] * n
    found = unpack(blobs, count, dim)
    assert (found.dtype, found.shape) == (np.dtype(np.float32), regions.shape)
    for blob, stored, given_ in zip(blobs, found, regions, strict=True):
        steps = np.array(scales_of(blob, count, dim))[:, None]
        largest = np.abs(given_).max(axis=1, keepdims=True)
        assert (np.abs(stored - given_) <= steps / 2 + 1e-6 * largest).all()
        assert (steps <= largest / 127 * 1.001 + 6e-8).all()  # no coarser than need be: 6e-8 is float16's last step


def test_grid_of_seven_by_seven_keeps_to_the_budget() -> None:
    (blob,) = pack(np.ones((1, 49, 64), np.float32))
    assert len(blob) == 3234 <= BUDGET


def test_odd_regions_harm_no_others() -> None:
    regions = np.array([[[1, -1], [0, 0], [np.nan, 1], [np.inf, 1], [1e30, -1e30]]], np.float32)
    (found,) = unpack(pack(regions), 5, 2)
    end = 127 * 65504
    np.testing.assert_allclose(found, [[1, -1], [0, 0], [0, 0], [0, 0], [end, -end]], rtol=1e-3)


def test_hand_worked_blob() -> None:
    (blob,) = pack(np.array([[[127.0, -63.0], [0.0, 254.0]]], np.float32))
    assert blob == bytes([127, 256 - 63, 0, 127]) + struct.pack("<2e", 1, 2)


@pytest.mark.parametrize("blob", [b"", b"\0" * 7, b"\0" * 9])
def test_blob_of_another_size_is_refused(blob: bytes) -> None:
    with pytest.raises(LibraryError, match=rf"take {len(blob)} bytes where 2 regions of 2 dimensions take 8"):
        unpack([b"\0" * 8, blob], 2, 2)


@pytest.mark.parametrize(
    "blob", [b"\x80\0\0\0" + struct.pack("<2e", 1, 1), b"\0" * 4 + struct.pack("<2e", 1, float("nan")),
             b"\0" * 4 + struct.pack("<2e", -1, 1)], ids=["value", "nan", "negative"],
)  # fmt: skip
def test_damaged_blob_is_refused(blob: bytes) -> None:
    with pytest.raises(LibraryError, match="values that are never written"):
        unpack([blob], 2, 2)
