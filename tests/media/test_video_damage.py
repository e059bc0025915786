"""Films that are cut off or damaged: what can be read is read, what cannot is said, and nothing hangs or crashes."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from films import TESTED, Making, film, photos
from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode, prepare
from mmsearch.media.filesystem import open_regular
from mmsearch.media.video import upright_frame
from mmsearch.media.worker_pool import Decoders, FilmsApart
from mmsearch.types import Decoded, Part, Preprocess

pytest.importorskip("av")
SMALL = Preprocess(size=64)
PHOTOS = photos()
FAST_START = {"movflags": "faststart"}


def making(codec: str) -> Making:
    return Making(codec, muxer=FAST_START if codec.endswith(("mp4", "mov")) else {})


def read(content: bytes, path: str = "a.mp4") -> Decoded:
    return decode(io.BytesIO(content), path, SMALL)


def damaged(content: bytes, start: float, end: float, seed: int = 0) -> bytes:
    """The file with noise from one share of it to another."""
    first, last = int(len(content) * start), int(len(content) * end)
    noise = np.random.default_rng(seed).integers(0, 256, last - first, np.uint8)
    return content[:first] + noise.tobytes() + content[last:]


def right(part: Part) -> bool:
    """Whether a moment shows the photo that is shown then."""
    wanted = prepare(Image.fromarray(PHOTOS[min(5, (part.at_ms or 0) // 2000)]), SMALL)
    return float(np.abs(part.pixels.astype(int) - wanted).mean()) < 10


# --- cut off ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264 mp4", "h264 mov", "h264 mkv", "hevc mp4", "av1 mp4"])
def test_a_film_that_is_cut_off_is_read_as_far_as_it_goes(codec: str) -> None:
    content = film(PHOTOS, making(codec))
    found = read(content[: len(content) * 2 // 3])
    assert all(right(part) for part in found.parts)
    assert found.film is not None
    assert 4000 <= found.film.duration_ms <= 10_000
    lacking = round((12_000 - (found.parts[-1].end_ms or 0)) / 1000)
    assert found.damage == f"the last {lacking} s could not be read"


def test_a_film_in_fragments_that_is_cut_off_between_two_of_them() -> None:
    content = film(PHOTOS, Making(muxer={"movflags": "frag_keyframe+empty_moov"}))
    place = content.index(b"moof", len(content) // 2)
    found = read(content[: place + 100])
    assert all(right(part) for part in found.parts)
    assert found.damage == "the end of the file is missing"


def test_a_transport_stream_that_begins_anywhere_is_read() -> None:
    content = film(PHOTOS, Making("h264 mts"))
    found = read(content[188 * (len(content) // 188 // 4) :], "a.mts")
    assert len(found.parts) >= 4
    assert found.format == "mpegts"


# --- damaged in the middle -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [one for one in TESTED if one != "mpeg4 avi"])  # AVI counts frames: see below
def test_a_film_that_is_damaged_in_the_middle_is_read_before_and_behind(codec: str) -> None:
    found = read(damaged(film(PHOTOS, making(codec)), 0.40, 0.45))
    assert right(found.parts[0])
    assert right(found.parts[-1])
    assert found.parts[0].start_ms == 0
    assert found.parts[-1].end_ms == 12_000
    good = [part for part in found.parts if right(part)]
    assert len({(part.at_ms or 0) // 2000 for part in good}) >= 4
    assert sum((part.end_ms or 0) - (part.start_ms or 0) for part in good) >= 5000


def test_what_could_not_be_read_is_said_and_belongs_to_no_moment() -> None:
    found = read(damaged(film(PHOTOS, making("h264 mp4")), 0.40, 0.45))
    assert found.damage == "2 s from 0:04 on could not be read"
    spans = [(part.start_ms, part.end_ms) for part in found.parts]
    assert spans == [(0, 2000), (2000, 4000), (6000, 8000), (8000, 10000), (10000, 12000)]


def test_where_bytes_are_lost_between_two_packets_the_time_between_them_is_lost() -> None:
    found = read(damaged(film(PHOTOS, Making("vp9 webm")), 0.40, 0.45), "a.webm")
    assert found.damage is not None
    assert found.damage.endswith("from 0:04 on could not be read")


def test_an_avi_that_is_damaged_in_the_middle_is_read() -> None:
    found = read(damaged(film(PHOTOS, Making("mpeg4 avi")), 0.40, 0.45), "a.avi")
    assert len(found.parts) >= 4


def test_the_frame_of_a_time_that_was_lost_is_the_last_one_before() -> None:
    content = damaged(film(PHOTOS, making("h264 mp4")), 0.40, 0.45)
    frame = upright_frame(io.BytesIO(content), "a.mp4", 5000, 160)
    assert right(Part(prepare(frame, SMALL), at_ms=2000))


@pytest.mark.parametrize("codec", TESTED)
def test_noise_anywhere_is_a_film_or_an_error_in_words(codec: str) -> None:
    content = film(PHOTOS[:3], making(codec))
    for seed, start in enumerate(np.linspace(0, 0.97, 12)):
        outcome(damaged(content, start, start + 0.03, seed))
        outcome(content[: int(len(content) * start)])


@pytest.mark.slow
@pytest.mark.parametrize("codec", TESTED)
def test_a_few_wrong_bytes_anywhere_end_no_process(codec: str) -> None:
    content = film(PHOTOS[:3], making(codec))
    chance = np.random.default_rng(1)
    with Decoders(1) as decoders:
        for _ in range(150):
            changed = bytearray(content)
            for place in chance.integers(0, len(changed), int(chance.integers(1, 30))):
                changed[place] = chance.integers(0, 256)
            said = ""
            try:
                decoders.decode(io.BytesIO(changed), "a.mp4", SMALL)
            except ImageError as error:
                said = error.reason
            assert "crashed" not in said
            assert "longer" not in said


def outcome(content: bytes) -> None:
    """Reads it, and one frame of it: that goes well or is told, by an ImageError and nothing else."""
    with contextlib.suppress(ImageError):
        upright_frame(io.BytesIO(content), "a", 3000, 80)
    try:
        found = read(content)
    except ImageError:
        return
    assert found.pixels.shape == (64, 64, 3)
    spans = [(part.start_ms or 0, part.end_ms or 0) for part in found.parts]
    assert all(start <= end for start, end in spans)
    assert spans == sorted(spans)


# --- in processes of their own ---------------------------------------------------------------------------------------


def test_films_are_read_apart_and_photos_here(tmp_path: Path) -> None:
    content = film(PHOTOS[:2])
    (tmp_path / "a.mp4").write_bytes(content)
    here: list[str] = []

    def photos_here(file: object, path: str, *_: object) -> Decoded:
        here.append(path)
        raise ImageError(path, "here")

    with FilmsApart(1, photos_here) as decoder:
        with open_regular(tmp_path / "a.mp4") as file:  # by its name, as large ones are
            by_name = decoder.decode(file, str(tmp_path / "a.mp4"), SMALL)
        in_memory = decoder.decode(io.BytesIO(content), "a.mp4", SMALL)
        with pytest.raises(ImageError, match="not a video"):
            decoder.decode(io.BytesIO(bytes(100)), "b.mp4", SMALL)
        with pytest.raises(ImageError, match="here"):
            decoder.decode(io.BytesIO(b"x"), "c.jpg", SMALL)
    assert here == ["c.jpg"]
    wanted = read(content)
    for found in (by_name, in_memory):
        assert (found.film, found.format, found.damage) == (wanted.film, wanted.format, wanted.damage)
        assert len(found.parts) == len(wanted.parts) == 2
        for one, other in zip(found.parts, wanted.parts, strict=True):
            assert (one.start_ms, one.end_ms, one.at_ms, one.text) == (other.start_ms, other.end_ms, other.at_ms, "")
            np.testing.assert_array_equal(one.pixels, other.pixels)
