"""Many pictures are encoded side by side: the same vectors and region tokens as one by one, in their order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder


def pictures(count: int) -> NDArray[np.uint8]:
    """Of random colours and stripes, each different from the others."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (count, 10, 10, 3), np.uint8)
    return small.repeat(26, axis=1).repeat(26, axis=2)


@pytest.fixture(scope="module")
def one_by_one() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The vectors and the region tokens of eleven pictures."""
    plain = OnnxEncoder(EMBEDDED, 1)
    made = [plain.encode_pictures(picture[None]) for picture in pictures(11)]
    tokens = [regions for _, regions in made if regions is not None]
    return np.concatenate([vectors for vectors, _ in made]), np.concatenate(tokens)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_pictures_are_encoded_as_one_by_one(
    threads: int, one_by_one: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    (vectors, tokens), pixels = one_by_one, pictures(11)
    assert (vectors @ vectors.T < 0.999).sum() > 11 * 9  # told apart: an exchange would show
    encoder = OnnxEncoder(EMBEDDED, threads)
    for count in (1, 2, 3, 11, 1):
        found, regions = encoder.encode_pictures(pixels[:count])
        assert regions is not None
        np.testing.assert_allclose(encoder.encode_images(pixels[:count]), vectors[:count], atol=1e-5)
        np.testing.assert_allclose(found, vectors[:count], atol=1e-5)
        np.testing.assert_allclose(regions, tokens[:count], atol=1e-3)


def test_threads_that_encode_at_once_get_their_own_vectors() -> None:
    pixels = pictures(12)
    encoder = OnnxEncoder(EMBEDDED, 2)
    wanted = OnnxEncoder(EMBEDDED, 1).encode_images(pixels)
    parts = [(0, 1), (0, 5), (5, 12), (11, 12), (3, 9), (2, 3)]
    with ThreadPoolExecutor(len(parts)) as pool:  # some begin on the graph for one picture, some on that for many
        found = list(pool.map(lambda part: encoder.encode_images(pixels[slice(*part)]), parts))
    for (start, end), vectors in zip(parts, found, strict=True):
        np.testing.assert_allclose(vectors, wanted[start:end], atol=1e-5)
