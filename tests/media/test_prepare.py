"""``prepare`` against open_clip's own transform, which is the independent authority on what its models expect."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from skimage import data

from mmsearch.media.decode import prepare
from mmsearch.types import Pixels, Preprocess

SIZES = [
    (512, 512),
    (600, 400),
    (400, 600),
    (601, 337),
    (97, 451),
    (224, 224),
    (225, 224),
    (31, 17),
    (1, 1),
    (2000, 41),
]


@pytest.fixture(scope="module")
def reference() -> Callable[[Image.Image, Preprocess], Pixels]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        from open_clip.transform import PreprocessCfg, image_transform_v2

    def transform(image: Image.Image, preprocess: Preprocess) -> Pixels:
        settings: Any = PreprocessCfg(
            size=preprocess.size,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            interpolation=preprocess.interpolation,
            resize_mode=preprocess.resize_mode,
            fill_color=preprocess.fill_color,
        )
        tensor = image_transform_v2(settings, is_train=False)(image)  # (3, size, size) in [0, 1]
        pixels: Pixels = (tensor.numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
        return pixels

    return transform


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_pixels_are_those_of_open_clip(
    reference: Callable[[Image.Image, Preprocess], Pixels],
    resize_mode: Literal["shortest", "longest", "squash"],
    interpolation: Literal["bicubic", "bilinear"],
) -> None:
    photo = Image.fromarray(data.astronaut())
    for size, fill in [(224, 0), (65, 128)]:
        preprocess = Preprocess(size=size, interpolation=interpolation, resize_mode=resize_mode, fill_color=fill)
        for width, height in SIZES:
            image = photo.resize((width, height))
            np.testing.assert_array_equal(
                prepare(image, preprocess), reference(image, preprocess), f"{width} x {height} to {size}"
            )


def test_grey_pictures_are_those_of_open_clip(reference: Callable[[Image.Image, Preprocess], Pixels]) -> None:
    image = Image.fromarray(data.camera()).resize((301, 211))
    assert image.mode == "L"
    np.testing.assert_array_equal(prepare(image, Preprocess(size=64)), reference(image, Preprocess(size=64)))


def test_a_strip_gives_about_the_pixels_of_open_clip(reference: Callable[[Image.Image, Preprocess], Pixels]) -> None:
    for size in [(600, 10), (10, 600)]:  # ratio 60: still within reach of open_clip, past the detour of ours
        image = Image.fromarray(data.coffee()).resize(size)
        ours, theirs = prepare(image, Preprocess(size=64)), reference(image, Preprocess(size=64))
        assert ours.shape == (64, 64, 3)
        assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("size", [(1, 65_000), (65_000, 1), (1, 5000), (3, 1)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_the_longest_strips_are_no_trouble(
    size: tuple[int, int], resize_mode: Literal["shortest", "longest", "squash"]
) -> None:
    pixels = prepare(Image.new("RGB", size, (10, 20, 30)), Preprocess(size=32, resize_mode=resize_mode))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (32, 32, 3)
    assert pixels.max(axis=(0, 1)).tolist() == [10, 20, 30]


def test_longest_fills_the_border(reference: Callable[[Image.Image, Preprocess], Pixels]) -> None:
    pixels = prepare(Image.new("RGB", (40, 20), "white"), Preprocess(size=8, resize_mode="longest", fill_color=7))
    assert pixels[:, :, 0].tolist() == [[7] * 8] * 2 + [[255] * 8] * 4 + [[7] * 8] * 2
