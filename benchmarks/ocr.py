"""Text inside pictures: twenty drawn signs and receipts, each looked for by a word in it; then what was not found.

    python -m benchmarks.ocr [--keep DIR] [--photos DIR]

The pictures go through ``mmsearch index --ocr`` into a library of their own, words through ``Store.find_words``.  Fonts
come with matplotlib and Pillow; where fonts of the URW and Liberation families are on the machine, they take the place
of some.  ``--photos`` reads photos too that show next to no text, and counts those in which something was read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import findSystemFonts
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.common import report
from mmsearch.store.store import Store

PILLOW = "Aileron"  # the font inside Pillow


@dataclass(frozen=True)
class Sign:
    """A picture to draw, and the words that it is looked for by."""

    word: str
    lines: str
    font: str  # file name of a font
    size: int  # pixels
    angle: float = 0.0  # degrees against the clock
    ink: str = "black"
    paper: str = "white"
    blur: float = 0.0  # radius in pixels
    noise: float = 0.0  # standard deviation, of 255
    lean: float = 0.0  # how much narrower the far side is than the near one, seen from aside
    quality: int = 85  # of JPEG
    instead: str = "DejaVuSans.ttf"  # a font to take where the first is not on the machine


def receipt(shop: str, number: str, *items: str) -> str:
    prices = [f"{item:<22}{price:>8}" for item, price in zip(items, ("2.49", "11.90", "0.99", "7.25"), strict=False)]
    return "\n".join(
        [shop, "Receipt " + number, "-" * 30, *prices, "-" * 30, f"{'TOTAL EUR':<22}{'22.63':>8}", "Thank you"]
    )


SIGNS = [
    Sign("harbour", "HARBOUR\nFerry to the islands", "DejaVuSans-Bold.ttf", 90),
    Sign("pharmacy", "PHARMACY", "DejaVuSans-Bold.ttf", 120, ink="white", paper="#117a3a", noise=12),
    Sign("bakery", "Old Town Bakery\nfresh bread daily", "DejaVuSerif-Italic.ttf", 64, angle=6, paper="#f3e3c3"),
    Sign("trespassing", "NO TRESPASSING", "LiberationSansNarrow-Bold.ttf", 80, angle=-12, ink="#b00020"),
    Sign("platform", "Platform 9\nMind the gap", "DejaVuSans.ttf", 48, angle=90, ink="#ffd400", paper="#14213d"),
    Sign("library", "City Library\nopen until 8 pm", "STIXGeneral.ttf", 56, angle=180),
    Sign("emergency", "EMERGENCY EXIT", "NimbusSans-Bold.otf", 72, angle=270, ink="white", paper="#0a7d2c"),
    Sign("museum", "Museum of Modern Art", "C059-Roman.otf", 60, lean=0.45, instead="DejaVuSerif.ttf"),
    Sign("speed", "SPEED\nLIMIT\n50", "DejaVuSans-Bold.ttf", 110, blur=3, noise=20),
    Sign(
        "vineyard",
        "Vineyard tasting",
        "Z003-MediumItalic.otf",
        84,
        ink="#5a1030",
        paper="#fff8ee",
        instead="cmti10.ttf",
    ),
    Sign("caution", "CAUTION wet floor", "DejaVuSans-BoldOblique.ttf", 54, angle=33, paper="#ffd400"),
    Sign("reserved", "Reserved", "DejaVuSerif.ttf", 22, ink="#777777", paper="#dddddd"),
    Sign("kindergarten", "Kindergarten", PILLOW, 70, angle=-20, ink="#3355cc", paper="#fdfdf5"),
    Sign(
        "4711", receipt("GREEN GROCER", "4711", "Apples", "Coffee beans", "Milk", "Olive oil"), "DejaVuSansMono.ttf", 26
    ),
    Sign(
        "screwdriver", receipt("Hardware & Sons", "0815", "Screwdriver", "Hammer"), "cmtt10.ttf", 30, angle=4, noise=15
    ),
    Sign("cappuccino", receipt("Caffe Roma", "203", "Cappuccino", "Croissant"), "DejaVuSansMono.ttf", 16, noise=8),
    Sign("umbrella", receipt("STATION SHOP", "99", "Umbrella", "Newspaper"), "NimbusMonoPS-Regular.otf", 28, angle=90),
    Sign(
        "aspirin",
        receipt("Town Chemist", "7", "Aspirin", "Plaster"),
        "DejaVuSansMono.ttf",
        24,
        ink="#999999",
        quality=30,
    ),
    Sign("notebook", receipt("Paper Point", "12", "Notebook", "Pencil"), "DejaVuSansMono.ttf", 24, angle=180, blur=1),
    Sign(
        "firewood",
        receipt("Camp Store", "55", "Firewood", "Lantern"),
        "LiberationMono-Regular.ttf",
        26,
        lean=0.3,
        noise=10,
    ),
]


def font(sign: Sign) -> tuple[ImageFont.ImageFont | ImageFont.FreeTypeFont, str]:
    """The font, and the name of the one that was taken."""
    if sign.font == PILLOW:
        return ImageFont.load_default(sign.size), PILLOW
    files = {Path(file).name: file for file in findSystemFonts()}
    files |= {file.name: str(file) for file in Path(matplotlib.get_data_path(), "fonts", "ttf").iterdir()}
    name = sign.font if sign.font in files else sign.instead
    return ImageFont.truetype(files[name], sign.size), name


def draw(sign: Sign, rng: np.random.Generator) -> Image.Image:
    """The sign on a wall or table, somewhere in a picture of 1600 x 1200 pixels."""
    letters, _ = font(sign)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), sign.lines, letters)
    edge = sign.size
    board = Image.new("RGB", (round(right - left) + 2 * edge, round(bottom - top) + 2 * edge), sign.paper)
    ImageDraw.Draw(board).multiline_text((edge - left, edge - top), sign.lines, sign.ink, letters)
    if sign.lean:
        board = leaned(board, sign.lean)
    mask = Image.new("L", board.size, 255).rotate(sign.angle, Image.Resampling.BICUBIC, expand=True)
    board = board.rotate(sign.angle, Image.Resampling.BICUBIC, expand=True)
    wall = np.linspace(90, 150, 1200)[:, None, None] + rng.normal(0, 6, (1200, 1600, 3)) + [10, 0, -15]
    picture = Image.fromarray(wall.clip(0, 255).astype(np.uint8))
    at = [int(rng.integers(20, max(21, room - own - 20))) for room, own in zip((1600, 1200), board.size, strict=True)]
    picture.paste(board, (at[0], at[1]), mask)
    if sign.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(sign.blur))
    if sign.noise:
        grain = np.asarray(picture) + rng.normal(0, sign.noise, (1200, 1600, 3))
        picture = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
    return picture


def leaned(board: Image.Image, lean: float) -> Image.Image:
    """Seen from aside: the right edge is shorter by this share, and all is narrower."""
    width, height = board.size
    narrow, cut = round(width * (1 - lean / 2)), lean * height / 2
    corners = np.array([(0, 0), (narrow, cut), (narrow, height - cut), (0, height)])  # where those of the board go
    source = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    rows = []
    for (x, y), (u, v) in zip(corners, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    map_back = np.linalg.solve(np.array(rows), source.reshape(-1))
    return board.transform((narrow, height), Image.Transform.PERSPECTIVE, map_back.tolist(), Image.Resampling.BICUBIC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="write the pictures here, to look at them")
    parser.add_argument("--photos", type=Path, help="photos without text")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = given.keep or Path(place) / "signs"
        folder.mkdir(parents=True, exist_ok=True)
        for number, sign in enumerate(SIGNS):
            draw(sign, rng).save(folder / f"{number:02}.jpg", quality=sign.quality)
        read = [sys.executable, "-m", "mmsearch.cli", "index", "--ocr", "--library", f"{place}/library"]
        begun = time.perf_counter()
        subprocess.run([*read, str(folder)], check=True, capture_output=True)
        seconds = time.perf_counter() - begun
        if given.photos:
            subprocess.run([*read, str(given.photos)], check=True, capture_output=True)
        with Store(Path(place) / "library" / "library.sqlite") as store:
            model = store.model()
            assert model is not None
            photos = {
                photo.path: photo for some in store.photos(store.searchable(model).tolist()).values() for photo in some
            }
            missed = []
            for number, sign in enumerate(SIGNS):
                hits = store.find_words(sign.word, model)
                files = [photo.path for hit in hits[:1] for photo in store.photos([hit.number])[hit.number]]
                path = str((folder / f"{number:02}.jpg").absolute())
                if files != [path]:
                    missed.append(
                        {"word": sign.word, "font": font(sign)[1], "angle": sign.angle, "read": photos[path].text}
                    )
    others = [photo for path, photo in photos.items() if Path(path).parent != folder.absolute()]
    report(
        "ocr",
        {
            "pictures": len(SIGNS),
            "found": len(SIGNS) - len(missed),
            "not_found": missed,
            "fonts": sorted({font(sign)[1] for sign in SIGNS}),
            "seconds_a_picture": round(seconds / len(SIGNS), 2),
            "photos_without_text": len(others),
            "of_these_something_read": sum(photo.text is not None for photo in others),
        },
    )


if __name__ == "__main__":
    main()
