"""Of an animation that begins with nothing, the first frame that shows something is taken."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from mmsearch.media.decode import decode, prepare, upright
from mmsearch.types import Decoded, Preprocess

SQUASH = Preprocess(size=32, resize_mode="squash")
FORMATS = ["GIF", "WEBP", "PNG", "AVIF"]
PHOTO = Image.fromarray(data.astronaut()).resize((120, 90))
OTHER = Image.fromarray(data.coffee()).resize((120, 90))
BLACK, WHITE = Image.new("RGB", (120, 90)), Image.new("RGB", (120, 90), "white")


def animated(format: str, *frames: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:], duration=40, **options)
    return buffer.getvalue()


def read(content: bytes) -> Decoded:
    return decode(io.BytesIO(content), "x", SQUASH)


def away(content: bytes, wanted: Image.Image) -> float:
    return float(np.abs(read(content).pixels.astype(int) - prepare(wanted, SQUASH)).mean())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("empty", [BLACK, WHITE], ids=["black", "white"])
def test_an_empty_first_frame_is_passed_over(format: str, empty: Image.Image) -> None:
    assert away(animated(format, empty, PHOTO, OTHER), PHOTO) < 8


@pytest.mark.parametrize("format", FORMATS)
def test_a_fade_is_gone_through_until_something_shows(format: str) -> None:
    fade = [Image.blend(BLACK, PHOTO, share) for share in (0, 0.02, 0.04, 0.4, 0.7, 1)]
    assert away(animated(format, *fade), fade[3]) < 6


@pytest.mark.parametrize("format", FORMATS)
def test_a_first_frame_that_shows_something_is_taken(format: str) -> None:
    assert away(animated(format, PHOTO, OTHER), PHOTO) < 6


@pytest.mark.parametrize("format", FORMATS)
def test_where_no_frame_shows_anything_the_one_that_shows_most_is_taken(format: str) -> None:
    faint = Image.blend(BLACK, PHOTO, 0.1)
    found = read(animated(format, BLACK, WHITE, faint, BLACK))
    assert found.pixels.std() > 2
    assert read(animated(format, BLACK, WHITE)).pixels.std() == 0


def test_no_more_frames_are_read_than_a_fade_has() -> None:
    shades = [Image.new("L", (40, 30), number % 2) for number in range(400)]
    photo = PHOTO.convert("L").resize((40, 30))
    assert read(animated("GIF", *shades[:100], photo)).pixels.std() > 20
    assert read(animated("GIF", *shades, photo)).pixels.std() < 1


def test_what_cannot_be_read_of_the_later_frames_costs_nothing() -> None:
    content = animated("GIF", BLACK, PHOTO, OTHER)
    for share in (30, 50, 80):
        found = read(content[: len(content) * share // 100])
        assert (found.width, found.height) == (120, 90)


def test_what_an_animation_says_and_how_it_stands_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Abc", 6
    found = read(animated("WEBP", BLACK, PHOTO, exif=exif.tobytes()))
    assert (found.exif.camera, found.width, found.height, found.format) == ("Abc", 90, 120, "webp")
    turned = prepare(PHOTO.transpose(Image.Transpose.ROTATE_270), SQUASH)
    assert np.abs(found.pixels.astype(int) - turned).mean() < 8


def test_thumbnails_show_the_same_frame() -> None:
    shown = upright(io.BytesIO(animated("GIF", WHITE, PHOTO)), "x", 60)
    assert np.asarray(shown).std() > 20
