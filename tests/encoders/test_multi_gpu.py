"""Several copies of an encoder are one encoder: the same rows in the same order, whoever made them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from mmsearch.encoders.device import all_devices
from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.torch.multi_gpu import Several, on_all
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.types import Pixels, Regions, Vectors


class Noted:
    """An encoder, and how many pictures it was given each time; it can wait for others, or fail."""

    def __init__(self, encoder: Encoder, meeting: threading.Barrier | None = None, failure: str | None = None) -> None:
        self.encoder, self.card, self.batch = encoder, encoder.card, 4
        self.device, self.folder, self.measured = encoder.device, encoder.folder, encoder.measured
        self.meeting, self.failure = meeting, failure
        self.given: list[int] = []
        self.texts: list[str] = []

    def _note(self, pixels: Pixels) -> None:
        self.given.append(len(pixels))
        if self.meeting is not None:
            self.meeting.wait(60)
        if self.failure is not None:
            raise RuntimeError(self.failure)

    def encode_images(self, pixels: Pixels) -> Vectors:
        self._note(pixels)
        return self.encoder.encode_images(pixels)

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        self._note(pixels)
        return self.encoder.encode_pictures(pixels)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return self.encoder.encode_texts(texts)


def photos(encoder: Encoder, count: int) -> Pixels:
    size = encoder.card.preprocess.size
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


@pytest.mark.parametrize(("count", "shares"), [(8, [3, 3, 2]), (7, [3, 2, 2]), (3, [1, 1, 1]), (2, [1, 1, 0])])
def test_pictures_are_shared_and_come_back_in_order(
    torch_encoder: OpenClipEncoder, count: int, shares: list[int]
) -> None:
    given = photos(torch_encoder, count)
    meeting = threading.Barrier(sum(share > 0 for share in shares))  # passed only by all of them at once
    copies = [Noted(torch_encoder if n == 0 else torch_encoder.copy("cpu"), meeting) for n in range(3)]
    several = Several(copies[0], [lambda: copies[1], lambda: copies[2]])
    assert (several.card, several.batch) == (torch_encoder.card, 12)
    np.testing.assert_allclose(several.encode_images(given), torch_encoder.encode_images(given), atol=1e-6)
    vectors, regions = several.encode_pictures(given)
    wanted, wanted_regions = torch_encoder.encode_pictures(given)
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    assert (regions is None) == (wanted_regions is None)
    if regions is not None and wanted_regions is not None:
        np.testing.assert_allclose(regions, wanted_regions, atol=1e-5)
    assert [copy.given for copy in copies] == [[share] * 2 if share else [] for share in shares]


def test_a_search_needs_no_copies(clip: OpenClipEncoder) -> None:
    def never() -> Encoder:
        raise AssertionError("a copy was made")

    several = Several(clip, [never])
    np.testing.assert_array_equal(several.encode_texts(["a cat"]), clip.encode_texts(["a cat"]))
    for count in (0, 1):
        given = photos(clip, count)
        np.testing.assert_array_equal(several.encode_images(given), clip.encode_images(given))
        vectors, regions = several.encode_pictures(given)
        assert len(vectors) == count
        assert regions is not None
        assert len(regions) == count


def test_texts_go_to_the_first(clip: OpenClipEncoder) -> None:
    first, second = Noted(clip), Noted(clip)
    several = Several(first, [lambda: second])
    several.encode_images(photos(clip, 2))
    several.encode_texts(["a cat", "a dog"])
    assert (first.texts, second.texts) == (["a cat", "a dog"], [])


def test_an_error_of_one_is_raised(clip: OpenClipEncoder) -> None:
    several = Several(Noted(clip), [lambda: Noted(clip, failure="device lost")])
    for encode in (several.encode_images, several.encode_pictures):
        with pytest.raises(RuntimeError, match="device lost"):
            encode(photos(clip, 4))


def test_a_device_without_room_is_left_out(clip: OpenClipEncoder, caplog: pytest.LogCaptureFixture) -> None:
    def full() -> Encoder:
        raise torch.OutOfMemoryError("CUDA out of memory\nmuch more")

    last = Noted(clip)
    several = Several(clip, [full, lambda: last])
    given = photos(clip, 5)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            np.testing.assert_allclose(several.encode_images(given), clip.encode_images(given), atol=1e-6)
    assert last.given == [2, 2]
    assert caplog.messages == ["pictures are encoded on one device less: CUDA out of memory"]


def test_an_encoder_is_on_every_device_that_there_is(clip: OpenClipEncoder) -> None:
    assert all_devices("cpu") == ["cpu"]
    assert all_devices("cuda") == [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    assert on_all(clip, ["cpu"]) is clip
    assert on_all(clip, []) is clip
    two = on_all(clip, ["cpu", "cpu"])
    assert isinstance(two, Several)
    given = photos(clip, 3)
    np.testing.assert_allclose(two.encode_images(given), clip.encode_images(given), atol=1e-6)
