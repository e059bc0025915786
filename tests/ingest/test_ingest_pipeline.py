"""The steps of indexing side by side: order, errors and interruption."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from mmsearch.config import Settings
from mmsearch.encoders.device import driver_devices
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ImageError
from mmsearch.ingest.prefetch import one_ahead
from mmsearch.ingest.read import IN_MEMORY, read_file
from mmsearch.library.opening import open_library
from mmsearch.media.decode import decode
from mmsearch.types import Decoded, Found, IndexReport, Pixels, Preprocess, Progress, Regions, Vectors


def test_jobs_are_done_one_ahead_and_in_order() -> None:
    begun = [threading.Event() for _ in range(5)]
    wanted: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(5):
            wanted.append(number)
            yield number

    def work(number: int) -> int:
        begun[number].set()
        return number * number

    seen = []
    for number, square in one_ahead(jobs(), work):
        seen.append((number, square))
        if number + 1 < 5:
            assert begun[number + 1].wait(60)  # while the caller still looks at this one
        assert len(wanted) <= number + 2
    assert seen == [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]
    assert list(one_ahead(iter(()), work)) == []


def test_an_error_comes_in_its_place_and_ends_the_jobs() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        done.append(number)
        return number

    pairs = one_ahead(range(100), work)
    assert [next(pairs), next(pairs)] == [(0, 0), (1, 1)]
    with pytest.raises(ValueError, match="two"):
        next(pairs)
    assert set(done) <= {0, 1, 3}  # the one that was begun meanwhile


def test_jobs_are_not_begun_any_more_once_nobody_waits() -> None:
    done: list[int] = []
    for number, _ in one_ahead(range(100), done.append):
        if number == 1:
            break
    assert set(done) <= {0, 1, 2}


def test_several_threads_do_the_next_jobs_and_the_order_stays() -> None:
    meetings = [threading.Barrier(2) for _ in range(3)]
    wanted: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(6):
            wanted.append(number)
            yield number

    def work(number: int) -> int:
        meetings[number // 2].wait(60)  # passed only by two at once
        return number * number

    seen = []
    for number, square in one_ahead(jobs(), work, threads=2):
        seen.append((number, square))
        assert len(wanted) <= number + 3
    assert seen == [(n, n * n) for n in range(6)]


class Large(OnnxEncoder):
    """Wants many pictures at once, as on a GPU, and knows how many it was given."""

    batch = 5

    def __init__(self) -> None:
        super().__init__(EMBEDDED)
        self.given: list[int] = []

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        self.given.append(len(pixels))
        return super().encode_pictures(pixels)


@pytest.mark.parametrize(("batch", "given"), [(2, [4, 5, 5]), (7, [7, 7])])
def test_an_encoder_gets_the_batches_that_it_likes(batch: int, given: list[int], tmp_path: Path) -> None:
    folder, encoder = photos(tmp_path / "photos", 14), Large()
    settings = Settings(cache=tmp_path / "cache", batch=batch)
    with open_library(tmp_path / "library", settings=settings, encoder=encoder) as library:
        assert library.index(folder).added == 14
        assert sorted(encoder.given) == given  # two threads give them
        stored = library.store.model()
        assert stored is not None
        for path in folder.iterdir():
            row = library.store.vector_of(str(path), stored)
            vector = library.store.vectors(np.array([row]), stored.dim)[0]
            with path.open("rb") as file:
                alone = decode(file, path.name, encoder.card.preprocess).pixels
            assert vector @ encoder.encode_images(alone[None])[0] == pytest.approx(1, abs=1e-3)


class Elsewhere(OnnxEncoder):
    """Says that it is on a GPU."""

    device = "cuda"


@pytest.mark.skipif(bool(driver_devices()), reason="there is a GPU")
def test_jpegs_are_decoded_by_pillow_where_the_gpu_cannot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = photos(tmp_path / "photos", 2)
    Image.linear_gradient("L").convert("RGB").resize((3000, 2000)).save(folder / "large.jpg")
    settings = Settings(cache=tmp_path / "cache", gpu_decoding=True)
    with open_library(tmp_path / "library", settings=settings, encoder=Elsewhere(EMBEDDED)) as library:
        report = library.index(folder)
    assert (report.added, report.skipped) == (3, ())
    assert [line.partition(":")[0] for line in caplog.messages] == ["JPEGs are decoded on the CPU"]


class Watched(OnnxEncoder):
    """Counts the pictures that it was given."""

    given = 0

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        self.given += len(pixels)
        return super().encode_pictures(pixels)


def photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{number:02d}.png")
    return folder


def test_an_interrupt_loses_no_more_than_the_batches_in_flight(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 14)
    (folder / "03.png").write_bytes(b"damaged")
    encoder = Watched(EMBEDDED)
    with open_library(
        tmp_path / "library", settings=Settings(cache=tmp_path / "cache", batch=2), encoder=encoder
    ) as library:

        def interrupt(step: Progress) -> None:
            if step.done == 5:  # in the third batch of two, when it is stored
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            library.index(folder, progress=interrupt)
        assert library.status().photos == 5  # of six files one is damaged
        assert encoder.given <= 5 + 2  # the batch after it was begun, no other
        before = encoder.given
        report = library.index(folder)
        assert (report.added, report.unchanged, len(report.skipped), report.encoded) == (8, 5, 1, 8)
        assert encoder.given == before + 8
        assert report.limit in ("read", "encode", "store")
        assert report.pace == pytest.approx(8 / report.seconds)
        again = library.index(folder)
        assert (again.encoded, again.pace) == (0, None)


@pytest.mark.parametrize(
    ("shares", "readers", "limit"),
    [
        ({"read": 6.0, "encode": 4.0, "store": 1.0}, 1, "read"),
        ({"read": 6.0, "encode": 4.0, "store": 1.0}, 2, "encode"),
        ({"read": 6.0, "encode": 4.0, "store": 1.0, "caption": 5.0}, 2, "caption"),
        ({"read": 0.0, "encode": 0.0, "store": 0.0}, 2, None),
        ({}, 2, None),
    ],
)
def test_the_limit_is_the_step_that_was_busy_longest(shares: dict[str, float], readers: int, limit: str | None) -> None:
    assert IndexReport(shares=shares, readers=readers).limit == limit


def test_file_that_has_grown_large_since_it_was_found_is_not_taken_into_memory(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    os.truncate(tmp_path / "photo.jpg", IN_MEMORY + 1)  # takes no space
    seen: list[bool] = []

    def decoder(file: BinaryIO, path: str, preprocess: Preprocess, max_megapixels: float = 200.0) -> Decoded:
        seen.append(isinstance(file, io.BytesIO))
        raise ImageError(path, "seen")

    found = Found(str(tmp_path / "photo.jpg"), 10, 0)
    assert read_file(found, lambda content_hash: True, Preprocess(16), 200, decoder).failure == "seen"
    assert seen == [False]
