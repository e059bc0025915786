"""How well near-duplicates are told from other photos: by vectors, by hashes, by both, and by their pixels.

    python -m benchmarks.near_duplicates --images DIR [--photos 100] [--others 1000]

Real photos are changed as people and programs change them: compressed, scaled, cropped, made brighter, marked, turned,
converted.  A pair of a photo and its changed copy is to be found.  Not to be found are all pairs of different photos
(those that were changed with all their copies, and ``--others`` more), pairs of different pages of text (invoices of
one layout, letters and chats, drawn here), and pairs of a photo and another that differs in a part of it: something
else in its place, another colour, words, no colours.  Photos are drawn with seed 0.

``recall`` is the share of copies that were found and ``precision`` that of copies among what was found, both in per
cent; ``false`` the number of pairs of different photos taken for copies, ``false_pages`` that of different pages;
``altered`` the share of photos that differ in a part and were taken for copies, in per cent.
Rules:

    cosine C           vectors alone
    hash B             hashes that differ in at most B bits
    cosine C, hash B   both
    folded             mmsearch.search.diversity.near: what ``query --diverse`` takes for the same
    proposed           pairs whose pixels ``mmsearch duplicates`` compares
    duplicates         of these, the ones whose pixels are alike: what it shows

``correlations`` of pixels, which the limits of mmsearch.media.pixel_match lie between: the 5th percentile of copies,
and the largest of different pictures, of photos among the 500 pairs with the highest cosine.  ``plain`` are pictures of
mostly one tone; all pages are.  Of plain ones only the copies that show the whole picture count.  ``differences`` are
the largest of a part, pixel by pixel and of its mean tone, of photos that are not plain: the 95th percentile of
copies, and the 5th of those that differ in a part.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from benchmarks.common import report
from mmsearch.encoders import factory
from mmsearch.manage.duplicates import PROPOSED
from mmsearch.media.decode import decode
from mmsearch.media.dhash import as_numbers, dhash, distance
from mmsearch.media.pixel_match import ALIKE, Sketch, alike, differences, placed, sketch
from mmsearch.search import diversity
from mmsearch.types import Pixels

COSINES, BITS = (0.7, 0.8, 0.9, 0.95), (4, 6, 8, 10, 12, 16)
BOTH = ((0.4, 6), (0.7, 8), (0.8, 6), (0.8, 10), (0.8, 12), (0.9, 12))
PAGES = 40  # of each kind
PLACES = (0.1, 0.35, 0.65, 0.9)  # of altered parts, in shares of the way from one side to the other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=100, help="photos that are changed")
    parser.add_argument("--others", type=int, default=1000, help="more photos, as they are")
    given = parser.parse_args()
    files = sorted(path for path in given.images.iterdir() if path.is_file())
    order = np.random.default_rng(0).permutation(len(files))[: given.photos + given.others]
    pictures = _Pictures()
    for number, place in enumerate(order.tolist()):
        data = files[place].read_bytes()
        pictures.add(data, number, "photo")
        if number < given.photos:
            with Image.open(io.BytesIO(data)) as opened:
                image = opened.convert("RGB")
            for kind, change in (CHANGES | ALTERED).items():
                pictures.add(change(image), number, kind)
    for number, page in enumerate(_pages(np.random.default_rng(0)), len(order)):
        pictures.add(page, number, "page")
    pictures.finish()
    report(
        "near_duplicates",
        {
            "photos": given.photos,
            "others": len(order) - given.photos,
            "model": pictures.encoder.card.name,
            **_figures(pictures),
        },
    )


class _Pictures:
    """All pictures with vector, hash and sketch, in the way an index run makes the former two."""

    def __init__(self) -> None:
        self.encoder = factory.embedded()
        self.shown: list[int] = []  # what is shown: the same for copies
        self.kinds: list[str] = []
        self.hashes: list[bytes] = []
        self.sketches: list[Sketch] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._waiting: list[Pixels] = []

    def add(self, data: bytes, shown: int, kind: str) -> None:
        pixels = decode(io.BytesIO(data), kind, self.encoder.card.preprocess).pixels
        self.shown.append(shown)
        self.kinds.append(kind)
        self.hashes.append(dhash(pixels))
        self.sketches.append(sketch(io.BytesIO(data), kind))
        self._waiting.append(pixels)
        if len(self._waiting) == 32:
            self.finish()

    def finish(self) -> None:
        if self._waiting:
            self._vectors.append(self.encoder.encode_images(np.stack(self._waiting)))
            self._waiting = []

    @property
    def vectors(self) -> NDArray[np.float32]:
        """As they are stored: in half precision."""
        return np.concatenate(self._vectors).astype("<f2").astype(np.float32)


def _figures(pictures: _Pictures) -> dict[str, Any]:
    shown, kinds = np.array(pictures.shown), np.array(pictures.kinds)
    left, right = np.triu_indices(len(shown), 1)
    # A copy with its photo; not copies among each other, which are two changes apart.
    changed_one = (shown[left] == shown[right]) & (kinds[left] == "photo")
    altered = changed_one & np.isin(kinds[right], list(ALTERED))
    same = changed_one & ~altered
    page = (kinds[left] == "page") & (kinds[right] == "page")
    other = (shown[left] != shown[right]) & ~page
    vectors, (numbers, _) = pictures.vectors, as_numbers(pictures.hashes)
    cosines = np.concatenate([vectors[row + 1 :] @ vectors[row] for row in range(len(shown))])
    bits = np.concatenate([distance(numbers[row + 1 :], numbers[row]) for row in range(len(shown))])

    def by(least: float, most: int) -> NDArray[np.bool_]:
        return (cosines >= least) & (bits <= most)

    rules = {f"cosine {least}": by(least, 64) for least in COSINES}
    rules |= {f"hash {most}": by(-1, most) for most in BITS}
    rules |= {f"cosine {least}, hash {most}": by(least, most) for least, most in BOTH}
    rules["folded"] = diversity.near(cosines, bits, np.ones(len(bits), np.bool_))
    proposed = np.logical_or.reduce([by(least, most) for most, least in PROPOSED])
    rules["proposed"] = proposed
    begun, looked = time.perf_counter(), np.flatnonzero(proposed & (changed_one | other | page))
    alikes = np.zeros(len(proposed), np.bool_)
    alikes[looked] = [alike(pictures.sketches[left[pair]], pictures.sketches[right[pair]]) for pair in looked]
    seconds = time.perf_counter() - begun
    rules["duplicates"] = alikes
    changed = {kind: changed_one & (kinds[right] == kind) for kind in CHANGES | ALTERED}
    own_plain = np.array([one.plain for one in pictures.sketches])
    plain = own_plain[left] | own_plain[right]
    nearest = np.flatnonzero(other)[np.argsort(-cosines[other])[:500]]
    fits = np.full(len(plain), np.nan)
    for pair in (*np.flatnonzero(same), *np.flatnonzero(page), *nearest):
        fits[pair] = placed(pictures.sketches[left[pair]], pictures.sketches[right[pair]])[0].correlation
    different = fits[nearest]
    parts = np.full((len(plain), 2), np.nan)
    for pair in np.flatnonzero(changed_one & ~plain & proposed):
        fit, whole, part = placed(pictures.sketches[left[pair]], pictures.sketches[right[pair]], ALIKE)
        parts[pair] = min(differences(whole, part, fit))
    return {
        "plain_photos": round(100 * float(own_plain[kinds == "photo"].mean()), 1),
        "correlations": {
            "photos": {"copies": _fifth(fits[same & ~plain]), "different": _largest(different[~plain[nearest]])},
            "plain": {
                "copies": _fifth(fits[same & plain & np.isin(kinds[right], WHOLE)]),
                "different": _largest(np.concatenate([fits[page], different[plain[nearest]]])),
            },
        },
        "differences": {
            "copies": np.nanpercentile(parts[same], 95, axis=0).round(1).tolist(),
            "altered": np.nanpercentile(parts[altered & np.isfinite(parts[:, 0])], 5, axis=0).round(1).tolist(),
        },
        "pairs": {"copies": int(same.sum()), "different": int(other.sum()), "pages": int(page.sum())},
        "milliseconds_a_comparison": round(1e3 * seconds / len(looked), 2),
        "rules": {
            name: {
                "recall": round(100 * float(found[same].mean()), 1),
                "precision": round(100 * _precision(found, same, other | page), 2),
                "false": int(found[other].sum()),
                "false_pages": int(found[page].sum()),
                "altered": {kind: round(100 * float(found[changed[kind]].mean()), 1) for kind in ALTERED},
                "recall_by_kind": {kind: round(100 * float(found[changed[kind]].mean()), 1) for kind in CHANGES},
            }
            for name, found in rules.items()
        },
    }


def _fifth(values: NDArray[np.float64]) -> float | None:
    """Their 5th percentile."""
    return round(float(np.percentile(values, 5)), 3) if len(values) else None


def _largest(values: NDArray[np.float64]) -> float | None:
    return round(float(values.max()), 3) if len(values) else None


def _precision(found: NDArray[np.bool_], same: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> float:
    """The share of copies among the pairs that were found."""
    right = int(found[same].sum())
    return right / max(right + int(found[wrong].sum()), 1)


def _file(image: Image.Image, format: str = "JPEG", **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **({"quality": 90} if format == "JPEG" else {}) | options)
    return file.getvalue()


def _scaled(image: Image.Image, share: float) -> Image.Image:
    size = round(share * image.width), round(share * image.height)
    return image.resize(size, Image.Resampling.LANCZOS)


def _cut(image: Image.Image, share: float, centred: bool = True) -> Image.Image:
    """Without this share of width and height: half of it on each side, or all of it right and below."""
    across, down = round(share * image.width), round(share * image.height)
    left, top = (across // 2, down // 2) if centred else (0, 0)
    return image.crop((left, top, left + image.width - across, top + image.height - down))


def _marked(image: Image.Image) -> Image.Image:
    marked = image.copy()
    text = ImageFont.load_default(size=max(12, image.height // 8))
    place = image.width * 0.1, image.height * 0.42
    ImageDraw.Draw(marked, "RGBA").text(place, "© sample photo", (255, 255, 255, 150), text)
    return marked


def _pasted(image: Image.Image, share: float) -> Image.Image:
    """With an ellipse of this share of the sides, off the middle, that holds the whole picture upside down."""
    box = _spot(image, share)
    part = image.resize((box[2] - box[0], box[3] - box[1])).rotate(180)
    return _with(image, part, box)


def _recoloured(image: Image.Image, share: float) -> Image.Image:
    """With an ellipse of this share of the sides, in the most colourful place, of another hue."""
    box = _spot(image, share)
    hue, colour, bright = image.crop(box).convert("HSV").split()
    return _with(image, Image.merge("HSV", (hue.point(lambda value: (value + 85) % 256), colour, bright)), box)


def _spot(image: Image.Image, share: float) -> tuple[int, int, int, int]:
    """Of a few places for such a part, the most colourful."""
    width, height = round(share * image.width), round(share * image.height)
    places = [(round(x * (image.width - width)), round(y * (image.height - height))) for x in PLACES for y in PLACES]
    boxes = [(left, top, left + width, top + height) for left, top in places]
    return max(boxes, key=lambda box: float(np.asarray(image.crop(box).convert("HSV"))[..., 1].mean()))


def _with(image: Image.Image, part: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", part.size)
    ImageDraw.Draw(mask).ellipse((0, 0, part.width - 1, part.height - 1), fill=255)
    altered = image.copy()
    altered.paste(part.convert("RGB"), box[:2], mask)
    return altered


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    """Turned, and cut so that no corner is empty."""
    margin = math.ceil(max(image.size) * math.sin(math.radians(degrees)) / 2)
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, image.width - margin, image.height - margin))


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg 60": lambda image: _file(image, quality=60),
    "jpeg 30": lambda image: _file(image, quality=30),
    "half the size": lambda image: _file(_scaled(image, 0.5)),
    "a quarter of the size": lambda image: _file(_scaled(image, 0.25)),
    "2 % cropped": lambda image: _file(_cut(image, 0.02)),
    "5 % cropped": lambda image: _file(_cut(image, 0.05)),
    "10 % cropped": lambda image: _file(_cut(image, 0.1)),
    "5 % cropped at two sides": lambda image: _file(_cut(image, 0.05, centred=False)),
    "10 % cropped at two sides": lambda image: _file(_cut(image, 0.1, centred=False)),
    "darker": lambda image: _file(ImageEnhance.Brightness(image).enhance(0.7)),
    "brighter": lambda image: _file(ImageEnhance.Brightness(image).enhance(1.3)),
    "turned by 1 degree": lambda image: _file(_turned(image, 1)),
    "turned by 3 degrees": lambda image: _file(_turned(image, 3)),
    "png": lambda image: _file(image, "PNG", compress_level=1),
    "webp": lambda image: _file(image, "WEBP", quality=80),
}

ALTERED: dict[str, Callable[[Image.Image], bytes]] = {
    "another thing, 0.25": lambda image: _file(_pasted(image, 0.25)),
    "another thing, 0.1": lambda image: _file(_pasted(image, 0.1)),
    "another thing, 0.07": lambda image: _file(_pasted(image, 0.07)),
    "another colour, 0.25": lambda image: _file(_recoloured(image, 0.25)),
    "another colour, 0.1": lambda image: _file(_recoloured(image, 0.1)),
    "words over it": lambda image: _file(_marked(image)),
    "in grey": lambda image: _file(image.convert("L")),
}

WHOLE = ("jpeg 60", "jpeg 30", "half the size", "a quarter of the size", "darker", "brighter", "png", "webp")


def _pages(rng: np.random.Generator) -> Iterator[bytes]:
    """Different invoices of one layout, letters, and pages of a chat."""
    small, large = ImageFont.load_default(size=22), ImageFont.load_default(size=44)

    def text(most: int, least: int = 4) -> str:
        return "".join(map(chr, rng.integers(97, 123, rng.integers(least, most)).tolist()))

    for _ in range(PAGES):
        page = Image.new("RGB", (850, 1100), "white")
        pen = ImageDraw.Draw(page)
        pen.text((60, 50), "INVOICE", "black", large)
        for row in range(12):
            pen.text((60, 180 + 60 * row), f"Item {row}:", "black", small)
            pen.text((260, 180 + 60 * row), text(25), "black", small)
            pen.line((250, 210 + 60 * row, 800, 210 + 60 * row), "black")
        yield _file(page)
    for _ in range(PAGES):
        page = Image.new("RGB", (850, 1100), "white")
        pen = ImageDraw.Draw(page)
        for row in range(32):
            words = " ".join(text(10, 2) for _ in range(12))
            pen.text((60, 60 + 31 * row), words[:70] if rng.random() > 0.2 else words[:30], "black", small)
        yield _file(page)
    for _ in range(PAGES):
        page = Image.new("RGB", (720, 1280), (236, 229, 221))
        pen = ImageDraw.Draw(page)
        pen.rectangle((0, 0, 720, 110), (7, 94, 84))
        pen.text((90, 30), "Holiday group", "white", large)
        top = 130
        while top < 1150:
            width, lines = int(rng.integers(200, 520)), int(rng.integers(1, 5))
            left = 700 - width if rng.random() < 0.5 else 20
            pen.rounded_rectangle((left, top, left + width, top + 34 * lines + 20), 12, "white")
            for line in range(lines):
                pen.text((left + 12, top + 10 + 34 * line), text(width // 14 + 1, width // 14), "black", small)
            top += 34 * lines + 36
        yield _file(page)


if __name__ == "__main__":
    main()
