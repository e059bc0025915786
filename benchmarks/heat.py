"""How often heat finds the right one of two photos side by side: each kind, for a whole caption and for single words.

    python -m benchmarks.heat --captions captions.tsv --images DIR [--only dev.txt] [--pairs 100] [--drawn 20]

Two photos, cut to 2:3, make one of 4:3.  "whole": a caption of one of them is asked for.  "words": captions of both,
joined by "and"; of their words those count that no caption of the other photo has.  Right is a map with more than half
of its heat in the right half, the column in the middle left out; chance is 50 %.

"drawn": pictures of two plain shapes of different kinds and colours on white, grey and black, each picture once
mirrored, match heat only.  Asked for are both, as "red square"; "mirrored" counts those that are found in the picture
and in its mirror image, of which chance is 25 %.
"""

from __future__ import annotations

import argparse
import itertools
import math
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.common import report
from mmsearch.encoders import factory
from mmsearch.evaluation.evaluate import read_captions
from mmsearch.rerank.heat import STOP_WORDS, Heat
from mmsearch.rerank.inspect import By, Looker
from mmsearch.rerank.resolve import for_encoder

KINDS: tuple[By, ...] = ("match", "attention")

COLOURS = {
    "red": (220, 30, 30), "blue": (30, 60, 220), "green": (20, 160, 60), "yellow": (240, 210, 30),
    "orange": (240, 130, 20),
}  # fmt: skip
SHAPES = ("square", "circle", "triangle", "star")
BACKGROUNDS = ("white", "gray", "black")
Thing = tuple[str, str]  # colour and shape


def drawn(left: Thing, right: Thing, background: str) -> Image.Image:
    """Two shapes of 120 pixels in a picture of 400 x 300."""
    picture = Image.new("RGB", (400, 300), background)
    pen = ImageDraw.Draw(picture)
    for middle, (colour, shape) in ((100, left), (300, right)):
        box = (middle - 60, 90, middle + 60, 210)
        if shape == "square":
            pen.rectangle(box, COLOURS[colour])
        elif shape == "circle":
            pen.ellipse(box, COLOURS[colour])
        elif shape == "triangle":
            pen.polygon([(middle, 90), (middle + 60, 210), (middle - 60, 210)], COLOURS[colour])
        else:
            turns = [(math.pi * corner / 5, 60 if corner % 2 == 0 else 27) for corner in range(10)]
            points = [(middle + size * math.sin(turn), 150 - size * math.cos(turn)) for turn, size in turns]
            pen.polygon(points, COLOURS[colour])
    return picture


def shapes_found(looker: Looker, file: Path, background: str, count: int) -> list[tuple[bool, bool]]:
    """Of each thing in ``count`` pictures: whether it is found, and whether it is in the mirrored picture too."""
    rng = np.random.default_rng(0)
    things = list(itertools.product(COLOURS, SHAPES))
    found = []
    for _ in range(count):
        one, other = next(
            pair
            for pair in ([things[place] for place in rng.choice(len(things), 2, replace=False)] for _ in range(1000))
            if pair[0][0] != pair[1][0] and pair[0][1] != pair[1][1]
        )
        seen: dict[Thing, list[bool]] = {one: [], other: []}
        for left, right in ((one, other), (other, one)):
            drawn(left, right, background).save(file)
            for thing, own in seen.items():
                own.append(right_side(looker.explain(str(file), " ".join(thing)).overall, thing == left))
        found += [(plain, mirrored) for plain, mirrored in seen.values()]
    return found


def side_by_side(left: Path, right: Path) -> Image.Image:
    """The middle of both photos, 200 x 300 each."""
    sheet = Image.new("RGB", (400, 300))
    for place, file in enumerate((left, right)):
        with Image.open(file) as photo:
            width = min(photo.width, photo.height * 2 // 3)
            start = (photo.width - width) // 2
            part = photo.convert("RGB").crop((start, 0, start + width, photo.height))
        sheet.paste(part.resize((200, 300)), (200 * place, 0))
    return sheet


def right_side(heat: Heat, left: bool) -> bool:
    """Whether more than half of the heat is where it should be."""
    middle = heat.shape[1] // 2
    one, other = heat[:, :middle].sum(), heat[:, -middle:].sum()
    return bool(one > other if left else other > one)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--only", type=Path)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--drawn", type=int, default=20)
    given = parser.parse_args()
    captions = read_captions(given.captions, given.only)
    encoder = factory.embedded()
    looker = Looker(encoder, for_encoder(encoder))
    rng = np.random.default_rng(0)
    found: dict[str, list[bool]] = {f"{kind}, {what}": [] for kind in KINDS for what in ("whole", "words")}
    names = list(captions)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "both.png"
        for _ in range(given.pairs):
            pair = [names[place] for place in rng.choice(len(names), 2, replace=False)]
            side_by_side(*(given.images / name for name in pair)).save(file)
            texts = [str(rng.choice(captions[name])).rstrip(" .") for name in pair]
            said = [set(" ".join(captions[name]).lower().split()) for name in pair]
            for kind in KINDS:
                for left, text in zip((True, False), texts, strict=True):
                    found[f"{kind}, whole"].append(right_side(looker.explain(str(file), text, kind).overall, left))
                for word in looker.explain(str(file), " and ".join(texts), kind).words:
                    owners = [word.word in own for own in said]
                    if sum(owners) == 1 and word.word not in STOP_WORDS:
                        found[f"{kind}, words"].append(right_side(word.heat, left=owners[0]))
        for background in BACKGROUNDS if given.drawn else ():
            both = shapes_found(looker, file, background, given.drawn)
            found[f"drawn on {background}"] = [found_once for pair in both for found_once in pair]
            found[f"drawn on {background}, mirrored"] = [all(pair) for pair in both]
    figures = {f"{name}, %": round(100 * float(np.mean(rows)), 1) for name, rows in found.items()}
    report("heat", {**figures, "maps": {name: len(rows) for name, rows in found.items()}, "pairs": given.pairs})


if __name__ == "__main__":
    main()
