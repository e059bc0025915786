"""How far pages of documents that are saved again differ, and pages of which a word, a letter, a tick is another one.

    python -m benchmarks.document_duplicates

Pages are drawn in code: letters of 8 to 12 points, forms and a photo, black and grey, as drawn and as scanned (blurred,
noise).  Each is saved in several ways and read again as ``duplicates`` reads it.
"""

from __future__ import annotations

import io
import random
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mmsearch.media.document import upright_page
from mmsearch.media.page_match import SIDE, Difference, Page, difference

WORDS = [
    "the",
    "invoice",
    "of",
    "account",
    "payment",
    "within",
    "thirty",
    "days",
    "amount",
    "due",
    "please",
    "note",
    "that",
    "our",
    "office",
    "will",
    "be",
    "closed",
    "from",
    "monday",
    "until",
    "further",
    "letter",
    "contract",
    "client",
    "service",
    "number",
    "date",
    "city",
    "street",
    "house",
    "water",
    "energy",
    "garden",
    "paper",
    "window",
    "light",
    "report",
    "meeting",
    "annual",
    "member",
    "school",
]
DOTS = 200  # to an inch
SIZE = (1654, 2339)  # A4
FIELDS = 18
OTHER_DIGIT = dict(zip("0123456789", "8778168168", strict=True))
OTHER_LETTER = {"e": "c", "a": "e", "o": "e"}
PAGES = (  # kind, seed, points, tone of the ink
    ("letter", 1, 8, 0), ("form", 2, 10, 0), ("letter", 3, 10, 150), ("form", 4, 8, 130), ("photo", 6, 10, 0),
    ("letter", 5, 12, 0),
)  # fmt: skip
CHANGES = {"letter": ("word", "letter", "other"), "form": ("digit", "tick", "signature", "other"), "photo": ("other",)}
COPIES = (
    "pdf 200 85",
    "pdf 150 75",
    "pdf 150 40",
    "pdf 100 75",
    "tiff 150 jpeg",
    "tiff 150 tiff_lzw",
    "tiff 200 group4",
)


def drawn(kind: str, seed: int, points: int, ink: int, change: str = "") -> Image.Image:
    """A page under a head that all have."""
    made = random.Random(seed + 1000 * (change == "other"))
    image = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(points * DOTS / 72)
    pen.rectangle((150, 120, 400, 240), fill=(30, 60, 140))
    pen.text((430, 150), "Example & Sons Ltd", "black", ImageFont.load_default(18 * DOTS / 72))
    if kind == "letter":
        _write(pen, font, made, points, ink, change)
    elif kind == "form":
        _fill(pen, font, made, ink, change)
    else:
        cells = np.random.default_rng(made.randrange(10**6)).integers(0, 255, (12, 9, 3), np.uint8)
        image.paste(Image.fromarray(cells).resize((1300, 1700), Image.Resampling.BICUBIC), (170, 400))
    return image


def _write(pen: ImageDraw.ImageDraw, font: object, made: random.Random, points: int, ink: int, change: str) -> None:
    step = round(points * 1.45 * DOTS / 72)
    lines = [" ".join(made.choice(WORDS) for _ in range(round(110 / points))) for _ in range(1700 // step)]
    middle = len(lines) // 2
    if change == "word":
        lines[middle] = " ".join([*lines[middle].split()[:3], "north", *lines[middle].split()[4:]])
    if change == "letter":
        at = next(place for place, one in enumerate(lines[middle]) if one in OTHER_LETTER)
        lines[middle] = lines[middle][:at] + OTHER_LETTER[lines[middle][at]] + lines[middle][at + 1 :]
    for number, line in enumerate(lines):
        pen.text((150, 400 + number * step), line, (ink, ink, ink), font)  # type: ignore[arg-type]


def _fill(pen: ImageDraw.ImageDraw, font: object, made: random.Random, ink: int, change: str) -> None:
    for number in range(FIELDS):
        value, ticked, top = (
            f"{made.choice(WORDS)} {made.randrange(1000, 9999)}",
            made.random() < 0.5,
            400 + number * 90,
        )
        if number == 5 and change == "digit":
            value = value[:-1] + OTHER_DIGIT[value[-1]]
        pen.text((150, top), f"Field {number + 1}:", "black", font)  # type: ignore[arg-type]
        pen.rectangle((500, top - 5, 1200, top + 55), outline=(120, 120, 120), width=2)
        pen.text((515, top), value, (ink, ink, min(255, ink + 80)), font)  # type: ignore[arg-type]
        pen.rectangle((1300, top, 1340, top + 40), outline="black", width=2)
        if ticked != (number == 7 and change == "tick"):
            pen.line((1304, top + 20, 1318, top + 36, 1338, top + 2), (ink, ink, ink), 4)
    if change == "signature":
        curve = [(900 + 6 * place, 2100 + 20 * float(np.sin(0.9 * place + 0.01 * place**2))) for place in range(50)]
        pen.line(curve, (ink, ink, min(255, ink + 80)), 3)


def scanned(image: Image.Image, seed: int) -> Image.Image:
    """The same on grey paper, a little blurred, with noise."""
    values = np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), np.float32) * 0.93 + 8
    noise = np.random.default_rng(seed).normal(0, 4, values.shape)
    return Image.fromarray((values + noise).clip(0, 255).astype(np.uint8))


def saved(images: list[Image.Image], how: str) -> bytes:
    """A document of these pages: format, dots to an inch, and quality or compression."""
    kind, dots, rest = how.split()
    wide, high = (round(side * int(dots) / DOTS) for side in SIZE)
    pages = [one.resize((wide, high), Image.Resampling.LANCZOS) for one in images]
    if rest == "group4":
        pages = [one.convert("L").point(lambda value: 255 * (value > 150)).convert("1") for one in pages]
    file = io.BytesIO()
    options = {"resolution": int(dots), "quality": int(rest)} if kind == "pdf" else {"compression": rest}
    pages[0].save(file, kind.upper(), save_all=True, append_images=pages[1:], **options)
    return file.getvalue()


def page(content: bytes) -> Page:
    """The first page as ``duplicates`` compares it."""
    return Page(np.asarray(upright_page(io.BytesIO(content), "page", 0, SIDE)))


def measured() -> Iterator[tuple[str, Difference]]:
    """What was done to a page, and how much it differs then."""
    for kind, seed, points, ink in PAGES:
        for scan in (False, True):

            def made(change: str = "", again: int = 0) -> Image.Image:
                image = drawn(kind, seed, points, ink, change)  # noqa: B023 (it is called in this round)
                return scanned(image, seed + again) if scan else image  # noqa: B023

            whole = made()
            first = page(saved([whole, whole], COPIES[0]))
            for how in COPIES[1:]:
                copy = page(saved([whole, whole], how))
                yield f"copy {how}", difference(first, copy)
            for change in CHANGES[kind]:
                other = made(change)
                for how in COPIES[:2]:
                    copy = page(saved([other, other], how))
                    yield f"{kind} {change}, ink {ink}", difference(first, copy)


def main() -> None:
    found: dict[str, list[Difference]] = defaultdict(list)
    for name, apart in measured():
        found[name].append(apart)
        print(f"{name}: {apart}", flush=True)
    for name, all_of in sorted(found.items()):
        values = [
            " to ".join(f"{end([getattr(apart, field) for apart in all_of]):.2f}" for end in (min, max))
            for field in ("stroke", "weighed", "tone")
        ]
        print(f"{name:28} same {sum(apart.is_little for apart in all_of)} of {len(all_of)}  " + "  ".join(values))


if __name__ == "__main__":
    main()
