"""JPEGs that another decoder brings to their draft's size: the same facts, nearly the same pixels, the same errors.

That decoder is torchvision's for the CPU, through the interface of its decoder for GPUs.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode
from mmsearch.media.nvjpeg import AT_ONCE, Jpegs, by_torchvision
from mmsearch.types import Decoded, Preprocess

CPU = torch.device("cpu")
NO_GPU = not torch.cuda.is_available()
SMALL = Preprocess(size=32)


class Counted:
    """Decodes on the CPU and notes how many pictures it got each time; contents that hold ``trap`` are refused."""

    def __init__(self, trap: bytes | None = None) -> None:
        self.trap = trap
        self.sizes: list[int] = []
        self.begun = 0  # pictures that it has got or is about to decode
        self.open = threading.Event()  # nothing is decoded before it is set
        self.open.set()

    def __call__(self, contents: list[Tensor], device: torch.device) -> list[Tensor]:
        self.begun += len(contents)
        assert self.open.wait(60)
        self.sizes.append(len(contents))
        if self.trap is not None and any(self.trap in content.numpy().tobytes() for content in contents):
            raise RuntimeError("nvjpeg: bad input")
        return by_torchvision(contents, device)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def jpegs(counted: Counted) -> Iterator[Jpegs]:
    made = Jpegs(CPU, counted)
    assert made.problem() is None
    counted.sizes.clear()
    with made.working():
        yield made


def photo(size: tuple[int, int] = (512, 400), number: int = 0) -> Image.Image:
    left = 10 * number
    return Image.fromarray(data.astronaut()).crop((left, left, 512, 512)).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def both(content: bytes, jpegs: Jpegs, preprocess: Preprocess = SMALL) -> tuple[Decoded, Decoded]:
    """By Pillow, and with the other decoder."""
    plain, other = (decode(io.BytesIO(content), "x", preprocess, jpegs=way) for way in (None, jpegs))
    facts = [(one.width, one.height, one.format, one.exif, one.description) for one in (plain, other)]
    assert facts[0] == facts[1]
    return plain, other


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[274], made[271], made[270] = orientation, "Maker", "a person"
    return made


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(512, 400), (301, 517)])
def test_a_large_jpeg_comes_out_the_same(
    orientation: int, mode: Any, size: tuple[int, int], jpegs: Jpegs, counted: Counted
) -> None:
    content = encoded(photo(size), exif=exif(orientation), subsampling="4:2:0")
    plain, other = both(content, jpegs, Preprocess(size=32, resize_mode=mode))
    assert counted.sizes == [1]
    assert float(np.abs(plain.pixels.astype(int) - other.pixels).mean()) < 1.5
    turned = float(np.abs(plain.pixels.astype(int) - other.pixels[::-1]).mean())
    assert turned > 20  # so that a wrong orientation would show


@pytest.mark.parametrize(
    "content",
    [
        encoded(photo().convert("CMYK")),
        encoded(photo().convert("L")),
        encoded(photo(), progressive=True),
        encoded(photo(), keep_rgb=True),  # stored as RGB
        encoded(photo((100, 80))),  # not scaled
        encoded(photo()) + b"a film of three seconds",
    ],
    ids=["CMYK", "grey", "progressive", "RGB", "small", "followed"],
)
def test_other_jpegs_go_the_ordinary_way(content: bytes, jpegs: Jpegs, counted: Counted) -> None:
    plain, other = both(content, jpegs)
    np.testing.assert_array_equal(plain.pixels, other.pixels)
    assert counted.sizes == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encoded(photo())[:2000], "the file is truncated"),
        (encoded(photo())[:2000] + bytes(2000), "the file is truncated"),
        (encoded(photo()), "over the limit"),
    ],
    ids=["cut off", "zeros", "large"],
)
def test_what_is_wrong_with_a_file_is_said_as_ever(content: bytes, reason: str, jpegs: Jpegs, counted: Counted) -> None:
    megapixels = 0.1 if "limit" in reason else 200.0
    said = []
    for way in (None, jpegs):
        with pytest.raises(ImageError) as caught:
            decode(io.BytesIO(content), "x", SMALL, megapixels, jpegs=way)
        said.append(caught.value.reason)
    assert said[0] == said[1]
    assert reason in said[0]
    assert counted.sizes == []


@pytest.mark.parametrize("end", [b"", b"\0\0"])
def test_a_file_without_its_end_is_read_as_ever(end: bytes, jpegs: Jpegs, counted: Counted) -> None:
    content = encoded(photo())[:-2] + end
    plain, other = both(content, jpegs, SMALL)
    assert (plain.pixels == other.pixels).all()
    assert plain.damage == other.damage == "the end of the file is missing"
    assert counted.sizes == []


def test_a_picture_that_is_refused_goes_the_ordinary_way_and_those_beside_it_do_not() -> None:
    counted = Counted(trap=b"strange")
    jpegs = Jpegs(CPU, counted)
    contents = [encoded(photo(number=n), comment=b"strange" if n == 2 else b"") for n in range(5)]
    wanted = [decode(io.BytesIO(content), "x", SMALL).pixels for content in contents]
    with jpegs.working(), ThreadPoolExecutor(5) as pool:
        counted.open.clear()
        made = [pool.submit(decode, io.BytesIO(content), "x", SMALL, jpegs=jpegs) for content in contents]
        counted.open.set()
        found = [future.result().pixels for future in made]
    for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
        away = float(np.abs(one.astype(int) - other).mean())
        assert away == 0 if number == 2 else 0 < away < 1.5


def test_pictures_that_come_together_are_decoded_together(jpegs: Jpegs, counted: Counted) -> None:
    count = AT_ONCE + 8
    contents = [encoded(photo(number=n)) for n in range(count)]
    wanted = [decode(io.BytesIO(content), "x", SMALL).pixels for content in contents]
    counted.open.clear()
    before = counted.begun
    with ThreadPoolExecutor(count) as pool:
        made = [pool.submit(decode, io.BytesIO(content), "x", SMALL, jpegs=jpegs) for content in contents]
        while counted.begun - before + jpegs._waiting.qsize() < count:
            time.sleep(0.01)
        counted.open.set()
        for one, future in zip(wanted, made, strict=True):
            assert float(np.abs(one.astype(int) - future.result().pixels).mean()) < 1.5
    left = count - counted.sizes[0]  # those that had not come yet when it began
    assert counted.sizes[1:] == [min(AT_ONCE, left - at) for at in range(0, left, AT_ONCE)]


def test_nothing_is_decoded_when_the_work_is_over(counted: Counted) -> None:
    jpegs = Jpegs(CPU, counted)
    with jpegs.working():
        pass
    plain, other = both(encoded(photo()), jpegs)
    np.testing.assert_array_equal(plain.pixels, other.pixels)
    assert counted.sizes == []


def test_a_decoder_that_gives_other_pictures_is_noticed() -> None:
    def mirrored(contents: list[Tensor], device: torch.device) -> list[Tensor]:
        return [pixels.flip(0) for pixels in by_torchvision(contents, device)]

    def cut(contents: list[Tensor], device: torch.device) -> list[Tensor]:
        return [pixels[:, 1:] for pixels in by_torchvision(contents, device)]

    def gone(contents: list[Tensor], device: torch.device) -> list[Tensor]:
        raise AttributeError("no operator decode_jpegs_cuda\nand more")

    problems = [Jpegs(CPU, way).problem() for way in (by_torchvision, mirrored, cut, gone)]
    assert problems[0] is None
    assert problems[1] is not None
    assert problems[1].endswith("of 255 away from Pillow's")
    assert problems[2:] == ["its pictures are 255 of 255 away from Pillow's", "no operator decode_jpegs_cuda"]


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_without_a_gpu_that_is_the_problem() -> None:
    assert Jpegs(torch.device("cuda")).problem()


@pytest.mark.skipif(NO_GPU, reason="there is no GPU")
def test_a_gpu_decodes_as_pillow_does() -> None:
    jpegs = Jpegs(torch.device("cuda"))
    assert jpegs.problem() is None
    with jpegs.working():
        for number in range(8):
            plain, other = both(encoded(photo(number=number), subsampling="4:2:0"), jpegs)
            assert 0 < float(np.abs(plain.pixels.astype(int) - other.pixels).mean()) < 1.5
