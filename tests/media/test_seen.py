"""Which part of a photo a model sees, and the photo as people want to see it."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from skimage import data

from mmsearch.errors import ImageError
from mmsearch.media.decode import prepare, seen, upright
from mmsearch.types import Preprocess


@pytest.mark.parametrize("size", [(500, 500), (600, 300), (240, 720), (401, 377), (1000, 300)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_the_part_that_is_seen_is_the_part_that_prepare_shows(
    size: tuple[int, int], resize_mode: Literal["shortest", "longest", "squash"]
) -> None:
    """In a picture whose colours say where they are: red from left to right, green from top to bottom."""
    width, height = size
    ramps = np.zeros((height, width, 3), np.float32)
    ramps[:, :, 0] = (np.arange(width) + 0.5) / width
    ramps[:, :, 1] = (np.arange(height)[:, None] + 0.5) / height
    preprocess = Preprocess(100, resize_mode=resize_mode)
    pixels = prepare(Image.fromarray((ramps * 255).round().astype(np.uint8)), preprocess)
    left, top, right, bottom = seen(width, height, preprocess)
    middles = (np.arange(100) + 0.5) / 100
    expected = left + middles * (right - left), top + middles * (bottom - top)
    inside = (0, 1) if resize_mode != "longest" else (0.05, 0.95)  # the border is black
    for found, wanted in ((pixels[50, :, 0] / 255, expected[0]), (pixels[:, 50, 1] / 255, expected[1])):
        there = (wanted > inside[0]) & (wanted < inside[1])
        assert there.sum() >= 1
        assert np.abs(found[there] - wanted[there]).max() < 0.03


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_whole_photo_upright_at_a_size_for_people(orientation: int) -> None:
    photo = Image.fromarray(data.coffee())  # 600 x 400
    stored = photo.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else photo
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    shown = upright(buffer, "coffee.png", 300)
    assert (shown.mode, shown.size) == ("RGB", (300, 200))
    expected = photo.resize((300, 200), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))


def test_a_small_photo_is_enlarged_and_a_strip_stays_one() -> None:
    for size, wanted in (((30, 20), (300, 200)), ((2000, 1), (300, 1))):
        buffer = io.BytesIO()
        Image.new("RGB", size, (9, 8, 7)).save(buffer, "PNG")
        assert upright(buffer, "x", 300).size == wanted


def test_a_damaged_file_says_so() -> None:
    with pytest.raises(ImageError, match=r"x\.jpg: not a picture that can be read"):
        upright(io.BytesIO(b"no picture"), "x.jpg", 300)
