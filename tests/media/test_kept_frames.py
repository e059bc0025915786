"""Frames of films and pages of documents: how many are in memory does not depend on how many there are."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from films import Making, Shot, film
from PIL import Image

from mmsearch.ingest.encode import chunks_of, pixels_of
from mmsearch.ingest.moments import as_stored, fold
from mmsearch.media.decode import decode
from mmsearch.media.kept_frames import HELD, FrameFile, KeptParts, as_kept
from mmsearch.media.worker_pool import FilmsApart
from mmsearch.store.types import StoredPart
from mmsearch.types import Decoded, Part, Pixels, Preprocess

SIDE = 128
LARGE = Preprocess(SIDE)
BATCH = 4


def pictures(count: int, seed: int = 0, side: int = 8) -> list[Pixels]:
    chance = np.random.default_rng(seed)
    return [chance.integers(0, 256, (side, side, 3), np.uint8) for _ in range(count)]


def scenes(count: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A film with a keyframe each half second, that show nothing alike."""
    shots = [
        Shot(np.asarray(Image.fromarray(one).resize(size, Image.Resampling.NEAREST)), 0.5)
        for one in pictures(count, side=4)
    ]
    return film(shots, Making("mpeg4 avi", rate=2, options={"g": "1"}))


def pages(count: int) -> bytes:
    first, *others = [Image.fromarray(one).resize((64, 48)) for one in pictures(count)]
    content = io.BytesIO()
    first.save(content, "TIFF", save_all=True, append_images=others)  # libtiff reads all of a compressed file
    return content.getvalue()


def most_held(work: Callable[[], object]) -> float:
    """How many pictures' worth of memory Python and NumPy have held at once, above what they held before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (peak - before) / (SIDE * SIDE * 3)


def as_indexed(decoded: Decoded) -> int:
    """Goes over the parts as ``mmsearch index`` does; how many there were."""
    rows = [
        some.reshape(len(some), -1)[:, :16].astype(np.float32) / 3000 for some in chunks_of(pixels_of(decoded), BATCH)
    ]
    return sum(len(frames) for frames in [fold(decoded.parts, np.concatenate(rows)).frames])


@pytest.mark.parametrize("make", [pytest.param(scenes, id="film"), pytest.param(pages, id="pages")])
@pytest.mark.parametrize("apart", [False, True])
def test_twice_as_many_pictures_do_not_hold_more_in_memory(make: Callable[[int], bytes], apart: bool) -> None:
    if make is scenes:
        pytest.importorskip("av")
    few, many = make(4 * HELD), make(8 * HELD)
    with FilmsApart(1) as films:
        decoder = films.decode if apart else decode

        def read(content: bytes) -> int:
            return as_indexed(decoder(io.BytesIO(content), "a.tiff" if make is pages else "a.avi", LARGE, 200.0))

        read(make(2))  # what is loaded once
        counts: list[int] = []
        held = [most_held(lambda content=content: counts.append(read(content))) for content in (few, many)]  # type: ignore[misc]
    assert counts[1] > 1.8 * counts[0]
    assert counts[0] > 2 * HELD
    assert max(held) < 2 * HELD
    assert abs(held[1] - held[0]) < HELD / 2


def test_pictures_come_back_as_they_were_put() -> None:
    wanted = pictures(5 * HELD + 3)
    frames = FrameFile()
    numbers = [frames.put(one) for one in wanted]
    assert [frames.get(number).tolist() for number in reversed(numbers)] == [one.tolist() for one in reversed(wanted)]


def test_the_room_of_what_is_dropped_is_used_again() -> None:
    frames = FrameFile()
    numbers = [frames.put(one) for one in pictures(3 * HELD)]
    for number in numbers[::2]:
        frames.drop(number)
    others = pictures(len(numbers[::2]), seed=1)
    again = [frames.put(one) for one in others]
    assert sorted(again) == sorted(numbers[::2])
    assert all(np.array_equal(frames.get(number), one) for number, one in zip(again, others, strict=True))
    kept = pictures(3 * HELD)[1::2]
    assert all(np.array_equal(frames.get(number), one) for number, one in zip(numbers[1::2], kept, strict=True))


def test_where_nothing_can_be_written_pictures_stay_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = FrameFile(str(tmp_path / "no such folder"))
    wanted = pictures(3 * HELD)
    numbers = [frames.put(one) for one in wanted]
    assert all(np.array_equal(frames.get(number), one) for number, one in zip(numbers, wanted, strict=True))
    assert len(caplog.records) == 1


def told(parts: Sequence[Part]) -> list[tuple[object, ...]]:
    return [(part.pixels.tobytes(), part.start_ms, part.end_ms, part.at_ms, part.text) for part in parts]


def test_kept_parts_are_a_sequence_of_parts() -> None:
    wanted = [Part(one, 10 * at, 10 * at + 10, 10 * at + 1, f"part {at}") for at, one in enumerate(pictures(2 * HELD))]
    kept = KeptParts()
    for part in wanted:
        kept.append(part)
    assert told(kept) == told(wanted)
    assert told(kept[5:9]) == told(wanted[5:9])
    assert told([kept[-1]]) == told([wanted[-1]])
    assert [(one.text, one.pixels.size) for one in kept.about] == [(one.text, 3) for one in wanted]
    assert told(as_kept(tuple(wanted))) == told(wanted)
    kept[0].pixels[:] = 0  # it is a copy, which may be written to as that of a photo
    assert told(kept[1:]) == told(wanted[1:])


def test_stored_moments_get_the_nearest_frames() -> None:
    read = [Part(one, 1000 * at, 1000 * at + 1000, 1000 * at) for at, one in enumerate(pictures(2 * HELD))]
    decoded = Decoded(read[0].pixels, 8, 8, "mp4", exif=None, parts=tuple(read))  # type: ignore[arg-type]
    stored = [StoredPart(1, 1, 0, 0, 9000, 2400, ""), StoredPart(2, 2, 1, 9000, 30_000, 29_900, "")]
    found = as_stored(decoded, stored).parts
    assert [(one.start_ms, one.end_ms, one.at_ms) for one in found] == [(0, 9000, 2400), (9000, 30_000, 29_900)]
    assert [one.pixels.tobytes() for one in found] == [read[2].pixels.tobytes(), read[30].pixels.tobytes()]
