"""Text inside pictures: twenty drawn signs and receipts, each looked for by a word in it; then what was not found.

    python -m benchmarks.ocr [--more N] [--keep DIR] [--photos DIR]

The pictures go through ``mmsearch index --ocr`` into a library of their own, words through ``mmsearch query``.  Fonts
come with matplotlib and Pillow; where fonts of the URW and Liberation families are on the machine, they take the place
of some.  ``--more`` draws N other signs at random, a word each, and counts those whose word was read, by kind: what
stands in the way is counted under each of its kinds.  ``--photos`` reads photos too that show next to no text, and
counts those in which something was read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import findSystemFonts
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.common import report
from mmsearch.store.sqlite.store import SqliteStore

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


WORDS = ["harvest", "station", "window", "mountain", "discount", "tomorrow", "invoice", "garden", "kitchen", "parking"]
WORDS += ["welcome", "birthday", "chocolate", "village", "hospital", "ticket", "bicycle", "lantern", "bridge", "museum"]
FONTS = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Italic.ttf", "DejaVuSansMono.ttf"]
FONTS += ["STIXGeneral.ttf", "cmr10.ttf", "cmti10.ttf", PILLOW]


def any_sign(rng: np.random.Generator) -> Sign:
    """Some word, somehow."""
    word = str(rng.choice(WORDS))
    way = rng.random()
    angle = 0.0 if way < 0.4 else float(rng.uniform(-45, 45)) if way < 0.8 else float(rng.choice([90, 180, 270]))
    ink, paper = rng.choice(
        [("black", "white"), ("#b00020", "#f3e3c3"), ("white", "#14213d"), ("#999999", "white"), ("#333333", "#ffd400")]
    ).tolist()
    lines = rng.choice([word.upper(), word.title(), f"{word.title()}\nopen {rng.choice(WORDS)}"])
    return Sign(
        word,
        str(lines),
        str(rng.choice(FONTS)),
        round(8 * 20 ** rng.random()),  # 8 to 160
        angle,
        ink,
        paper,
        blur=float(rng.choice([0, 0, 1, 3])),
        noise=float(rng.choice([0, 0, 10, 25])),
        lean=float(rng.choice([0, 0, 0, 0.4])),
    )


def kinds(sign: Sign) -> list[str]:
    """What a sign is like."""
    size = next(name for name, most in SIZES.items() if sign.size <= most)
    turned = "upright" if not sign.angle else "turned by quarters" if sign.angle % 90 == 0 else "askew"
    return [
        size,
        turned,
        *(["pale"] if sign.ink == "#999999" else []),
        *(["blurred by 3 pixels"] if sign.blur == 3 else []),
        *(["grainy"] if sign.noise == 25 else []),
        *(["seen from aside"] if sign.lean else []),
    ]


SIZES = {"8 to 12 pixels": 12, "13 to 20 pixels": 20, "21 to 60 pixels": 60, "61 to 160 pixels": 160}


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


def indexed(folder: Path, library: str) -> float:
    """Seconds that ``mmsearch index --ocr`` took."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "mmsearch.cli", "index", "--ocr", "--library", library, str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def first(word: str, library: str) -> str:
    """The name of the file that ``mmsearch query`` finds first."""
    command = [sys.executable, "-m", "mmsearch.cli", "query", word, "--library", library, "-k", "1", "--json"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Path(json.loads(answer)["path"]).name if answer else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--more", type=int, default=0, help="so many signs at random")
    parser.add_argument("--keep", type=Path, help="write the pictures here, to look at them")
    parser.add_argument("--photos", type=Path, help="photos without text")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        signs, more = Path(given.keep or place) / "signs", Path(given.keep or place) / "more"
        drawn = {more / f"{number:03}.jpg": any_sign(rng) for number in range(given.more)}
        planned = {signs / f"{number:02}.jpg": sign for number, sign in enumerate(SIGNS)}
        for path, sign in {**planned, **drawn}.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(sign, np.random.default_rng(int(path.stem))).save(path, quality=sign.quality)
        seconds = indexed(signs, f"{place}/library")
        missed = [
            {**asdict(sign), "font": font(sign)[1], "kinds": kinds(sign)}
            for path, sign in planned.items()
            if first(sign.word, f"{place}/library") != path.name
        ]
        if more.exists():
            indexed(more, f"{place}/library")
        photo_seconds = indexed(given.photos, f"{place}/library") if given.photos else 0.0
        with SqliteStore(Path(place) / "library" / "library.sqlite") as store:
            model = store.model()
            assert model is not None
            found = store.photos(store.searchable(model).tolist())
            texts = {Path(photo.path): photo.text for photos in found.values() for photo in photos}
    counts: dict[str, list[int]] = {}
    for path, sign in drawn.items():
        for kind in ("all", *kinds(sign)):
            own = counts.setdefault(kind, [0, 0])
            own[0] += sign.word in (texts[path.absolute()] or "").lower()
            own[1] += 1
    others = [text for path, text in texts.items() if path.parent not in (signs.absolute(), more.absolute())]
    report(
        "ocr",
        {
            "pictures": len(SIGNS),
            "found": len(SIGNS) - len(missed),
            "not_found": missed,
            "fonts": sorted({font(sign)[1] for sign in SIGNS}),
            "seconds_a_picture": round(seconds / len(SIGNS), 2),
            "more_read_of": dict(sorted(counts.items())),
            "seconds_a_photo": round(photo_seconds / len(others), 2) if others else None,
            "photos_without_text": len(others),
            "of_these_something_read": sum(text is not None for text in others),
        },
    )


if __name__ == "__main__":
    main()
