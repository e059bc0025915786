"""Several threads hold no more than the budget; whoever wants more than all of it has it alone."""

from __future__ import annotations

import io
import os
import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.media import decode as decoding
from mmsearch.media.decode import decode
from mmsearch.media.memory_budget import Budget, trim
from mmsearch.types import Preprocess


def test_threads_never_hold_more_than_the_limit_unless_one_is_alone() -> None:
    budget, lock = Budget(10), threading.Lock()
    amounts = np.random.default_rng(0).integers(1, 16, 400).tolist()
    held: list[int] = []
    seen: list[tuple[int, ...]] = []

    def hold(amount: int) -> int:
        with budget.share(amount):
            with lock:
                held.append(amount)
                seen.append(tuple(held))
            with lock:
                held.remove(amount)
        return amount

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(hold, amounts)) == amounts
    assert all(sum(together) <= 10 or len(together) == 1 for together in seen)
    assert (budget.taken, held) == (0, [])


def test_a_share_is_given_back_when_the_block_fails() -> None:
    budget = Budget(10)
    with pytest.raises(ValueError, match="damaged"), budget.share(20):
        raise ValueError("damaged")
    with budget.share(10):
        assert budget.taken == 10


def test_who_does_not_fit_waits_until_there_is_room() -> None:
    budget, entered = Budget(10), threading.Event()

    def second() -> None:
        with budget.share(5):
            entered.set()

    thread = threading.Thread(target=second)
    with budget.share(6):
        thread.start()
        assert not entered.wait(0.05)
    thread.join()
    assert entered.is_set()


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_pictures_are_decoded_within_the_budget(options: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []

    class Watched(Budget):
        def share(self, amount: float):  # type: ignore[no-untyped-def]
            taken.append(amount)
            return super().share(amount)

    monkeypatch.setattr(decoding, "IN_FLIGHT", Watched(1000))
    buffer = io.BytesIO()
    Image.new("RGB", (800, 600), "red").save(buffer, "JPEG", **options)
    content = buffer.getvalue()
    with ThreadPoolExecutor(4) as pool:  # each is over the limit: one by one
        pictures = list(pool.map(lambda _: decode(io.BytesIO(content), "x", Preprocess(size=8)), range(8)))
    assert {(picture.width, picture.height) for picture in pictures} == {(800, 600)}
    assert taken == [800 * 600 if options else 100 * 75] * 8  # at 1/8, but for the coefficients
    with pytest.raises(ImageError):
        decode(io.BytesIO(content[: len(content) // 2]), "x", Preprocess(size=8))
    assert decoding.IN_FLIGHT.taken == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_threads_have_freed_goes_back_to_the_system() -> None:
    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def fill(_: int) -> None:  # blocks below glibc's limit of 32 MB for memory that always goes back
        together.wait(60)
        blocks = [bytearray(b"x") * (20 * 2**20) for _ in range(5)]
        together.wait(60)
        del blocks

    together = threading.Barrier(4)
    for _ in range(2):  # the first time glibc learns that such blocks are used
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(fill, range(4)))
    before = resident()
    trim()
    assert resident() <= before
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(4)))
        trim()
        assert resident() < before + 100  # of 400
