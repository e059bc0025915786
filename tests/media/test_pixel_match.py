"""Pictures compared closely: against plain loops, and on real photos that were changed."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont
from samples import SAMPLES

from mmsearch.errors import ImageError
from mmsearch.media.pixel_match import Sketch, alike, crop, sketch

PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


def _of(image: Image.Image, format: str = "JPEG", **options: int) -> Sketch:
    file = io.BytesIO()
    image.save(file, format, **options)
    return sketch(file, "a picture")


def _photo(name: str) -> Image.Image:
    with Image.open(SAMPLES / name) as image:
        return image.convert("RGB")


def _cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    across, down = image.size
    return image.crop((int(left * across), int(top * down), int(right * across), int(bottom * down)))


def _marked(image: Image.Image) -> Image.Image:
    marked = image.copy()
    text = ImageFont.load_default(size=image.height // 12)
    ImageDraw.Draw(marked, "RGBA").text((20, image.height * 0.8), "A. Photographer", (255, 255, 255, 150), text)
    return marked


def _warmer(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    return Image.merge("RGB", (red.point(lambda v: min(255, v * 1.08)), green, blue.point(lambda v: v * 0.9)))


CHANGES: dict[str, Callable[[Image.Image], Sketch]] = {
    "compressed": lambda image: _of(image, quality=10),
    "a quarter": lambda image: _of(image.resize((image.width // 4, image.height // 4))),
    "another format": lambda image: _of(image, "PNG"),
    "cropped": lambda image: _of(_cut(image, 0.05, 0.05, 0.95, 0.95)),
    "cropped at two sides": lambda image: _of(_cut(image, 0, 0, 0.9, 0.9)),
    "darker": lambda image: _of(ImageEnhance.Brightness(image).enhance(0.6)),
    "more contrast": lambda image: _of(ImageEnhance.Contrast(image).enhance(1.4)),
    "more colourful": lambda image: _of(ImageEnhance.Color(image).enhance(1.3)),
    "warmer": lambda image: _of(_warmer(image)),
    "turned by a degree": lambda image: _of(_cut(image.rotate(1, Image.Resampling.BICUBIC), 0.03, 0.03, 0.97, 0.97)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PHOTOS)
def test_a_changed_photo_is_the_same(name: str, change: str) -> None:
    photo = _photo(name)
    assert alike(_of(photo), CHANGES[change](photo))
    assert alike(CHANGES[change](photo), _of(photo))


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_in_grey_or_with_words_over_it_is_another(name: str) -> None:
    photo = _photo(name)
    assert not alike(_of(photo), _of(_marked(photo)))
    if name != "rocket.jpg":  # nearly without colours itself
        assert not alike(_of(photo), _of(photo.convert("L")))


def _scene() -> Image.Image:
    """A wall with some texture, a floor, a door and a window."""
    rng = np.random.default_rng(5)
    wall = Image.fromarray(rng.integers(60, 200, (12, 16), np.uint8)).resize((640, 480), Image.Resampling.BICUBIC)
    scene = Image.merge("RGB", [wall.point(lambda v, more=more: v // 2 + more) for more in (60, 75, 70)])
    pen = ImageDraw.Draw(scene)
    pen.rectangle((0, 340, 640, 480), (120, 105, 95))
    pen.rectangle((400, 80, 550, 340), (70, 45, 30))
    pen.rectangle((70, 70, 230, 210), (165, 195, 225))
    return scene


def _somebody(image: Image.Image, left: int, coat: str) -> Image.Image:
    with_one = image.copy()
    pen = ImageDraw.Draw(with_one)
    pen.ellipse((left, 180, left + 36, 222), (220, 180, 150))
    pen.rectangle((left - 8, 222, left + 44, 400), coat)
    return with_one


def _face(upwards: bool) -> Image.Image:
    face = _scene()
    pen = ImageDraw.Draw(face)
    pen.ellipse((190, 70, 450, 400), (222, 182, 152))
    for left in (255, 360):
        pen.ellipse((left, 180, left + 28, 208), (35, 30, 30))
    pen.arc((262, 250, 378, 335), *((0, 180) if upwards else (180, 360)), (150, 25, 25), 8)
    return face


def _shirt(colour: tuple[int, int, int]) -> Image.Image:
    shirt = _scene()
    outline = (
        230,
        90,
        290,
        70,
        350,
        70,
        410,
        90,
        520,
        190,
        470,
        250,
        425,
        205,
        425,
        430,
        215,
        430,
        215,
        205,
        170,
        250,
        120,
        190,
    )
    ImageDraw.Draw(shirt).polygon(outline, colour)
    return shirt


def _recoloured() -> Image.Image:
    """The motorcycle's tank in another colour."""
    photo = _photo("motorcycle_left.png")
    width, height = photo.size
    box = int(0.4 * width), int(0.3 * height), int(0.6 * width), int(0.5 * height)
    hue, colour, bright = photo.crop(box).convert("HSV").split()
    photo.paste(Image.merge("HSV", (hue.point(lambda v: (v + 90) % 256), colour, bright)).convert("RGB"), box[:2])
    return photo


DIFFERENT: dict[str, list[Image.Image]] = {
    "one article in four colours": [_shirt(c) for c in ((200, 40, 40), (50, 90, 210), (30, 120, 50), (230, 200, 40))],
    "a fixed camera": [
        _scene(),
        _somebody(_scene(), 260, "firebrick"),
        _somebody(_scene(), 580, "navy"),
        _somebody(_scene(), 262, "darkgreen"),
    ],
    "two faces": [_face(True), _face(False)],
    "a part in another colour": [_photo("motorcycle_left.png"), _recoloured()],
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_pictures_that_differ_in_a_part_are_different(what: str) -> None:
    sketches = [_of(one, quality=92) for one in DIFFERENT[what]]
    again = [_of(one.resize((one.width // 2, one.height // 2)), quality=60) for one in DIFFERENT[what]]
    same = [[alike(one, copy) for copy in again] for one in sketches]
    assert same == np.eye(len(sketches), dtype=bool).tolist()  # and copies of each are found


def test_other_photos_are_not_the_same() -> None:
    sketches = [_of(_photo(name)) for name in (*PHOTOS, "grass.png", "gravel.png", "brick.png", "astronaut.png")]
    same = [(i, j) for i in range(len(sketches)) for j in range(i) if alike(sketches[i], sketches[j])]
    assert same == []


def _page(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    page = Image.new("RGB", (850, 1100), "white")
    pen, text = ImageDraw.Draw(page), ImageFont.load_default(size=22)
    pen.text((60, 50), "INVOICE", "black", ImageFont.load_default(size=48))
    for row in range(14):
        letters = rng.integers(97, 123, rng.integers(8, 40)).tolist()
        pen.text((60, 180 + 60 * row), "Item: " + "".join(map(chr, letters)), "black", text)
    return page


def test_pages_of_one_layout_are_not_the_same_and_their_copies_are() -> None:
    pages = [_page(seed) for seed in range(4)]
    originals = [_of(page, "PNG") for page in pages]
    copies = [_of(page.resize((425, 550)), quality=50) for page in pages]
    same = [[alike(original, copy) for copy in copies] for original in originals]
    assert same == np.eye(4, dtype=bool).tolist()
    assert [one.plain for one in originals] == [True] * 4
    assert not _of(_photo("chelsea.png")).plain


def _crop_by_loops(whole: NDArray[np.float32], part: NDArray[np.float32]) -> float:
    """Pearson's correlation at every place, by NumPy's ``corrcoef``."""
    best = -1.0
    for side in (62, 60, 58, 56, 54):
        small = np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BILINEAR))
        for top in range(65 - side):
            for left in range(65 - side):
                square = whole[top : top + side, left : left + side]
                best = max(best, float(np.corrcoef(square.ravel(), small.ravel())[0, 1]))
    return best


def test_the_best_place_of_a_crop_agrees_with_loops() -> None:
    photo = _photo("coffee.png")
    whole, part, other = _of(photo), _of(_cut(photo, 0.08, 0.02, 0.98, 0.92)), _of(_photo("chelsea.png"))
    for left, right in ((whole, part), (part, whole), (whole, other)):
        assert crop(left.grey, right.grey).correlation == pytest.approx(_crop_by_loops(left.grey, right.grey), abs=1e-4)


def test_the_orientation_of_the_camera_does_not_matter() -> None:
    photo = _photo("chelsea.png")
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6  # shown after a quarter turn clockwise
    photo.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif)
    assert alike(_of(photo), sketch(file, "lying.jpg"))


def test_pictures_of_one_tone_are_like_none() -> None:
    grey = _of(Image.new("RGB", (100, 100), "gray"))
    assert not alike(grey, _of(Image.new("RGB", (100, 100), "white")))
    assert not alike(grey, _of(_photo("chelsea.png")))


def test_a_damaged_file_is_said_to_be_one() -> None:
    with pytest.raises(ImageError, match=r"broken\.jpg: not a picture that can be read"):
        sketch(io.BytesIO(b"nothing of the kind"), "broken.jpg")
