"""Difference hashes against plain loops over the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from samples import SAMPLES

from mmsearch.media.dhash import as_numbers, dhash, distance


def _by_loops(pixels: NDArray[np.uint8]) -> bytes:
    """The definition, for pictures that 9 x 8 boxes divide evenly: mean grey of each, then a comparison a bit."""
    height, width = pixels.shape[0] // 8, pixels.shape[1] // 9
    number = 0
    for row in range(8):
        means = []
        for column in range(9):
            box = pixels[row * height : (row + 1) * height, column * width : (column + 1) * width].astype(float)
            means.append((box @ [0.299, 0.587, 0.114]).mean())  # ITU-R 601
        for left, right in itertools.pairwise(means):
            number = number << 1 | int(right > left)
    return number.to_bytes(8, "big")


def _photo(name: str, width: int, height: int) -> NDArray[np.uint8]:
    with Image.open(SAMPLES / name) as image:
        return np.asarray(image.convert("RGB").resize((width, height)))


@pytest.mark.parametrize("name", ["chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg", "grass.png"])
def test_a_hash_is_what_its_definition_says(name: str) -> None:
    pixels = _photo(name, 288, 240)
    hashes, _ = as_numbers([dhash(pixels), _by_loops(pixels)])
    assert distance(hashes[0], hashes[1]) <= 1  # grey values are rounded to 8 bits: a near-tie may fall the other way


def test_bits_are_in_reading_order_from_the_highest() -> None:
    pixels = np.zeros((80, 90, 3), np.uint8)
    pixels[:10, 10:20] = 255  # lighter than its left neighbour in the first row only
    pixels[70:, 80:] = 255  # the last of the last row
    assert dhash(pixels) == bytes([0b10000000, 0, 0, 0, 0, 0, 0, 1])


def test_a_picture_of_one_colour_has_no_bit_set() -> None:
    assert dhash(np.full((224, 224, 3), 77, np.uint8)) == bytes(8)


def test_scaled_and_compressed_pictures_are_near_and_others_are_far() -> None:
    large, small = _photo("chelsea.png", 450, 300), _photo("chelsea.png", 225, 150)
    hashes, _ = as_numbers([dhash(large), dhash(small), dhash(_photo("coffee.png", 450, 300))])
    near, far = distance(hashes[0], hashes[1:]).tolist()
    assert near <= 2
    assert far >= 20


def test_distances_count_the_bits_that_differ() -> None:
    rng = np.random.default_rng(0)
    left = rng.integers(0, 2**64, 500, np.uint64)
    right = rng.integers(0, 2**64, 500, np.uint64)
    left[:3], right[:3] = [0, 2**64 - 1, 5], [2**64 - 1, 2**64 - 1, 4]
    expected = [bin(int(a) ^ int(b)).count("1") for a, b in zip(left, right, strict=True)]
    assert expected[:3] == [64, 0, 1]
    assert distance(left, right).tolist() == expected
    assert distance(left[:7, None], right[None, :9]).tolist() == [
        [bin(int(a) ^ int(b)).count("1") for b in right[:9]] for a in left[:7]
    ]


def test_hashes_become_numbers_and_missing_ones_are_marked() -> None:
    numbers, there = as_numbers([bytes([1, 0, 0, 0, 0, 0, 0, 2]), None, b"\xff" * 8])
    assert numbers.tolist() == [2**56 + 2, 0, 2**64 - 1]
    assert there.tolist() == [True, False, True]
    assert [part.tolist() for part in as_numbers([])] == [[], []]
