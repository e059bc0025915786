"""A frame as it is shown: turned, mirrored, with square dots, of one field, in the right colours, also out of HDR."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from films import Making, encoded, film, photos

from mmsearch.media.decode import decode
from mmsearch.media.video import upright_frame
from mmsearch.types import Pixels, Preprocess

av = pytest.importorskip("av")
PHOTO = photos()[0]


def frame(content: bytes, side: int = 160) -> Pixels:
    return np.asarray(upright_frame(io.BytesIO(content), "a", 0, side))


def away(found: Pixels, wanted: Pixels) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found.astype(int) - wanted).mean())


@pytest.mark.parametrize("codec", ["h264 mp4", "hevc mp4", "h264 mov"])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_film_is_turned_as_its_display_matrix_says(degrees: int, codec: str) -> None:
    content = film([PHOTO], Making(codec, rotation=degrees))
    wanted = np.rot90(PHOTO, degrees // 90)  # both against the clock
    assert away(frame(content), wanted) < 6
    found = decode(io.BytesIO(content), "a.mp4", Preprocess(64))
    assert (found.width, found.height) == ((160, 120) if degrees == 180 else (120, 160))


MIRRORED: dict[
    str, tuple[tuple[int, int, int, int], Callable[[Pixels], Pixels]]
] = {  # a, b, c, d of the matrix, in units of 1: what is shown of a picture
    "left for right": ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
    "top for bottom": ((1, 0, 0, -1), lambda pixels: pixels[::-1]),
    "along the diagonal": ((0, 1, 1, 0), lambda pixels: pixels.transpose(1, 0, 2)),
    "along the other": ((0, -1, -1, 0), lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2)),
}


@pytest.mark.parametrize("how", MIRRORED)
def test_a_film_is_mirrored_as_its_display_matrix_says(how: str) -> None:
    (a, b, c, d), mirror = MIRRORED[how]
    content = bytearray(film([PHOTO]))
    track = content.index(b"tkhd")  # version 0: its matrix comes after 40 bytes
    one = 0x10000
    matrix = np.array([a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30], ">i4")
    content[track + 44 : track + 80] = matrix.tobytes()
    assert away(frame(bytes(content)), mirror(PHOTO)) < 6


def test_dots_that_are_wide_are_made_square() -> None:
    content = film([PHOTO], Making(aspect=(4, 3)))
    found = decode(io.BytesIO(content), "a.mp4", Preprocess(64))
    assert (found.width, found.height) == (213, 120)
    assert frame(content, 213).shape == (120, 213, 3)


@pytest.mark.parametrize(("height", "matrix"), [(480, "ITU601"), (1080, "ITU709")])
def test_a_film_that_does_not_say_has_the_colours_of_its_size(height: int, matrix: str) -> None:
    pixels = np.zeros((height, 320, 3), np.uint8)
    pixels[:, :160], pixels[:, 160:] = (200, 40, 40), (40, 180, 60)
    content = encoded([pixels] * 2, Making(matrix=matrix))
    assert away(frame(content, height), pixels) < 4


def test_of_two_fields_one_is_shown() -> None:
    frames = []
    for _ in range(6):  # a bar that moves by 40 dots from field to field
        pixels = np.zeros((240, 320, 3), np.uint8)
        pixels[::2, 40:80] = 255
        pixels[1::2, 200:240] = 255
        frames.append(pixels)
    content = encoded(frames, Making(options={"x264-params": "interlaced=1:qp=1"}))
    found = decode(io.BytesIO(content), "a.mp4", Preprocess(40, resize_mode="squash")).parts[0].pixels[:, :, 1]
    assert found[:, 6:9].min() > 200
    assert found[:, 26:29].max() < 60


# --- HDR -------------------------------------------------------------------------------------------------------------


NITS = (0.5, 20.0, 60.0, 101.5, 203.0, 600.0, 1000.0)  # cd/m² of grey bars


def pq(nits: float) -> float:
    """SMPTE ST 2084, from light to the signal; written out from the standard's other direction."""
    y = (nits / 10_000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)


def hlg(nits: float) -> float:
    """ARIB STD-B67: to the signal of grey light on a screen of 1,000 cd/m², whose system gamma is 1.2."""
    scene = (nits / 1000) ** (1 / 1.2)
    return float(np.sqrt(3 * scene) if scene <= 1 / 12 else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073)


def on_screen(nits: float) -> float:
    """What docs/video.md says becomes of it: white paper is 203; above half of that light is compressed."""
    light = nits / 203
    light = light if light <= 0.5 else 0.5 + 0.5 * (1 - np.exp(-(light - 0.5) / 0.5))
    return float(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize(("transfer", "signal"), [(16, pq), (18, hlg)], ids=["PQ", "HLG"])
@pytest.mark.parametrize("codec", ["hevc mp4", "prores mov"])
def test_hdr_is_brought_to_what_a_screen_shows(transfer: int, signal: Callable[[float], float], codec: str) -> None:
    bars = np.concatenate([np.full((120, 32, 3), round(65535 * signal(nits)), np.uint16) for nits in NITS], axis=1)
    pix_fmt = "yuv420p10le" if codec == "hevc mp4" else "yuv422p10le"
    options = {"x265-params": "log-level=none:pools=none:frame-threads=1:qp=1"} if codec == "hevc mp4" else {}
    making = Making(codec, colour=(9, transfer, 9), pix_fmt=pix_fmt, options=options)
    found = frame(encoded([bars] * 3, making), bars.shape[1])
    middles = [found[60, 32 * number + 16].mean() for number in range(len(NITS))]
    assert middles == pytest.approx([on_screen(nits) for nits in NITS], abs=4)


def test_colours_of_hdr_are_those_of_the_screen() -> None:
    """White paper through a red filter of BT.709, in BT.2020: red again, and nothing else."""
    light = np.array([0.6274, 0.0691, 0.0164]) * 0.4  # of BT.709's red (ITU-R BT.2087), below the knee
    bars = np.broadcast_to(np.array([round(65535 * pq(203 * one)) for one in light], np.uint16), (120, 160, 3))
    making = Making(
        "hevc mp4",
        colour=(9, 16, 9),
        pix_fmt="yuv420p10le",
        options={"x265-params": "log-level=none:pools=none:frame-threads=1:qp=1"},
    )
    red, green, blue = frame(encoded([bars] * 3, making))[60, 80]
    assert red == pytest.approx(on_screen(203 * 0.4), abs=8)  # PyAV 17 does not write this matrix itself
    assert max(green, blue) < 25
