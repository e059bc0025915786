"""Where in a photo the words of a text are found, as maps of heat and as a picture.  Imports no torch.

There are two kinds of heat.  ``match_heat`` asks the reranker: a place is worth to the match what is lost when it is
hidden and gained when only it is shown (occlusion, Zeiler and Fergus 2014).  ``attention_heat`` is where the words
looked in the reranker's attention, which need not be what decided the match (Jain and Wallace 2019).
``benchmarks/heat.py`` puts two photos side by side and counts how often each kind finds the one that a text is of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mmsearch.language.nouns import word_set
from mmsearch.types import Regions

Heat = NDArray[np.float32]  # (side, side), in [0, 1]; rows from the top
Box = tuple[float, float, float, float]  # left, top, right, bottom, in shares of the photo's width and height

STOP_WORDS = word_set(
    "a an the this that these those there here it its he she they them his her their him we our you your i my me and "
    "or but not no of in on at by for from to into onto with without as is are was were be been being am do does did "
    "has have had having some any each who whose which what where when while than then so very"
)
NOISE = 0.25  # a word whose heat stays below this share of the hottest word's is shown less hot
LARGEST = 2000  # pixels a side of a picture of heat
PANEL = 420  # pixels a side of a panel, at most

_GAP, _LINE, _LABEL = 12, 22, 90  # pixels between panels, of a label's line, and its width under a narrow photo
# "Inferno" of matplotlib at 0, 1/8, … 1 (van der Walt and Smith 2015; CC0): each step looks equally large.
_INFERNO = np.array(
    [
        (0, 0, 4), (33, 12, 74), (87, 16, 110), (138, 34, 106), (188, 55, 84), (228, 90, 49), (249, 142, 9),
        (249, 203, 53), (252, 255, 164),
    ],
    np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class WordHeat:
    """Where a word is found."""

    word: str
    heat: Heat

    @property
    def content(self) -> bool:
        """Whether it says something of a picture: it is none of ``STOP_WORDS``."""
        return _says_something(self.word)


def match_heat(
    match: Callable[[str, Regions], NDArray[np.float32]], text: str, pieces: Sequence[str], tokens: Regions
) -> tuple[list[WordHeat], Heat]:
    """What each place is worth to the match with each content word, and with the whole text.

    ``match`` gives the match of a text with n photos, (n,); ``pieces`` (t,) are the text's as the tokenizer made them,
    ``tokens`` (1, side * side, dim) the photo's.  A word is asked for together with its neighbours: "red" of "a red
    motorcycle" says which red.  Words of ``STOP_WORDS`` have no heat of their own, unless there are no others.
    """
    side = round(tokens.shape[1] ** 0.5)
    photos = _partly_hidden(tokens)
    words = [word for word, _ in _joined(pieces)]
    content = [at for at, word in enumerate(words) if _says_something(word)] or list(range(len(words)))
    worth = [_worth(match(" ".join(words[max(at - 1, 0) : at + 2]), photos)).reshape(side, side) for at in content]
    top = NOISE * max((float(one.max()) for one in worth), default=0.0)
    heats = [WordHeat(words[at], _scaled(one, top)) for at, one in zip(content, worth, strict=True)]
    return heats, _scaled(_worth(match(text, photos)).reshape(side, side))


def attention_heat(words: Sequence[str], attention: NDArray[np.float32], contrast: bool = True) -> list[WordHeat]:
    """How much each word of a text looked at each place.

    ``words`` are its t pieces and ``attention`` (t, side * side) how much each looked at each region, rows sum to 1;
    pieces of a word are joined as their mean.  Some places draw every look: with ``contrast`` a word's heat is what it
    looks at more than all pieces do on average, the special ones at both ends included.
    """
    side = round(attention.shape[1] ** 0.5)
    base = attention.mean(axis=0) if contrast else np.zeros(attention.shape[1], np.float32)
    heats = []
    for word, pieces in _joined(words):
        above = np.maximum(attention[pieces].mean(axis=0) - base, 0)
        heats.append(WordHeat(word, _scaled(above.reshape(side, side))))
    return heats


def overall(heats: Sequence[WordHeat]) -> Heat:
    """The attention of the whole text: the mean of its content words, of all words where it has none.

    Raises ValueError where ``heats`` is empty.
    """
    maps = [one.heat for one in heats if one.content] or [one.heat for one in heats]
    return _scaled(np.mean(maps, axis=0))


def draw(photo: Image.Image, heats: Sequence[WordHeat], whole: Heat, seen: Box = (0, 0, 1, 1)) -> Image.Image:
    """``photo`` (RGB, upright) under ``whole`` and under the heat of each word: panels side by side with labels below.

    ``seen`` is the part of the photo that the maps cover; what lies outside is dimmed, and what of it lies outside the
    photo is cut off.  No side is longer than ``LARGEST``.
    """
    maps = [("whole text", whole), *((one.word, one.heat) for one in heats)]
    columns, scale = _layout(len(maps), photo.width, photo.height)
    width, height = max(1, int(photo.width * scale)), max(1, int(photo.height * scale))
    small = photo.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    cell = max(width, _LABEL), height + _LINE + _GAP
    rows = -(-len(maps) // columns)
    sheet = Image.new("RGB", (columns * (cell[0] + _GAP) + _GAP, rows * (cell[1] + _GAP) + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_LINE - 4)
    for number, (word, heat) in enumerate(maps):
        left, top = _GAP + number % columns * (cell[0] + _GAP), _GAP + number // columns * (cell[1] + _GAP)
        sheet.paste(_panel(small, heat, seen), (left, top))
        pen.text((left, top + height + _GAP // 3), _shortened(word, font, cell[0]), "black", font)
    return sheet


def _says_something(word: str) -> bool:
    return word.lower() not in STOP_WORDS


def _joined(words: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Whole words, each with the positions of its pieces."""
    found: list[tuple[str, list[int]]] = []
    glue = False  # whether the next piece belongs to the last word
    for at, piece in enumerate(words):
        if piece in ("[CLS]", "[SEP]", "[PAD]"):
            glue = False
        elif found and piece.startswith("##") and len(piece) > 2:
            found[-1] = (found[-1][0] + piece[2:], [*found[-1][1], at])
        elif found and piece in ("'", "’"):
            glue = found[-1][1][-1] == at - 1
        elif not any(char.isalnum() for char in piece):
            glue = False
        elif glue:
            found[-1] = (f"{found[-1][0]}'{piece}", [*found[-1][1], at])
            glue = False
        else:
            found.append((piece, [at]))
    return found


def _partly_hidden(tokens: Regions) -> Regions:
    """A photo (1, r, dim) in 2 r + 2 states: as it is, all hidden, then each place hidden, then each alone shown.

    A place is a region with its neighbours; what is hidden has the mean of all regions in its stead.
    """
    side = round(tokens.shape[1] ** 0.5)
    rows, columns = np.divmod(np.arange(side * side), side)
    near = (abs(rows[:, None] - rows) <= 1) & (abs(columns[:, None] - columns) <= 1)  # (r, r)
    shown = np.concatenate([np.ones((1, side**2), bool), np.zeros((1, side**2), bool), ~near, near])
    photos: Regions = np.where(shown[:, :, None], tokens, tokens.mean(axis=1, keepdims=True)).astype(np.float32)
    return photos


def _worth(match: NDArray[np.float32]) -> NDArray[np.float32]:
    """Matches (2 r + 2,) of a photo that is partly hidden -> what each place is worth to it, (r,), 0 at least."""
    hidden, alone = np.split(match[2:], 2)
    worth: NDArray[np.float32] = (match[0] - hidden) + (alone - match[1])
    return np.maximum(worth, 0)


def _scaled(heat: NDArray[np.float32], top: float = 0.0) -> Heat:
    """The largest value at 1, or ``top`` where that is larger; zeros stay zeros."""
    scaled: Heat = (heat / max(float(heat.max()), top, 1e-9)).astype(np.float32)
    return scaled


def _layout(panels: int, width: int, height: int) -> tuple[int, float]:
    """How many columns, and how much the photo is scaled: as large as ``PANEL`` and ``LARGEST`` allow."""
    best = (1, 0.0)
    for columns in range(panels, 0, -1):
        rows = -(-panels // columns)
        across = (LARGEST - _GAP) / columns - _GAP
        if across < _LABEL:
            continue
        down = (LARGEST - _GAP) / rows - 2 * _GAP - _LINE
        scale = min(across / width, down / height, PANEL / max(width, height))
        if scale > best[1] * 1.001:
            best = (columns, scale)
    return best


def _panel(photo: Image.Image, heat: Heat, seen: Box) -> Image.Image:
    """``photo`` with the heat over it: the hotter, the less of the photo shows."""
    width, height = photo.size
    left, top = round(seen[0] * width), round(seen[1] * height)
    right, bottom = max(round(seen[2] * width), left + 1), max(round(seen[3] * height), top + 1)
    size = (right - left, bottom - top)
    smooth = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)  # mode F
    covered = Image.new("F", photo.size, -1.0)
    covered.paste(smooth, (left, top))
    inside = Image.new("L", photo.size, 0)
    inside.paste(255, (left, top, right, bottom))
    values = np.asarray(covered).clip(0, 1)[:, :, None]  # (h, w, 1)
    looked = np.asarray(inside)[:, :, None] > 0
    grey = np.asarray(photo.convert("L"), np.float32)[:, :, None]
    pixels = 0.5 * np.asarray(photo, np.float32) + 0.5 * grey
    share = np.where(looked, 0.25 + 0.5 * values, 0.7)  # of the colour; what was not seen is nearly black
    steps = values[:, :, 0] * (len(_INFERNO) - 1)
    colour = np.stack([np.interp(steps, np.arange(len(_INFERNO)), channel) for channel in _INFERNO.T], axis=2)
    return Image.fromarray((pixels * (1 - share) + colour * share).round().astype(np.uint8))


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """``text``, its end cut off where it is wider than ``width`` pixels."""
    length = font.getlength(text)
    if length <= width:
        return text
    text = text[: int(len(text) * min(1, 3 * width / length))]  # no letter is a third as wide as the mean
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
