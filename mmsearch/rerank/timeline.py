"""How well a text fits each part of a film or a document, and a picture of that over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmsearch.encoders.protocol import Encoder
from mmsearch.media.film_time import clock
from mmsearch.media.kept_frames import about_of
from mmsearch.types import Decoded, Moment, Part

AT_ONCE = 64  # parts that are encoded together
SHOWN = 5  # best parts whose pictures are drawn

_WIDTH, _MARGIN, _LINE = 1000, 24, 18  # pixels
_CHART, _PICTURE = 220, 180
_INK, _SOFT, _CURVE, _AREA = "#1c1c1a", "#77776f", "#1f6f4a", "#cfe6da"


@dataclass(frozen=True)
class Timeline:
    """How well a text fits the parts of a file, in their order."""

    path: str
    text: str
    parts: tuple[Moment, ...]  # ``score`` is the cosine similarity of the part with the text, in [-1, 1]
    pictures: Sequence[Part] = field(default=(), repr=False, compare=False)  # the parts, as the encoder saw them

    @property
    def best(self) -> Moment:
        """The part that the text fits best."""
        return max(self.parts, key=lambda part: part.score)


def timeline(encoder: Encoder, decoded: Decoded, path: str, text: str) -> Timeline:
    """How well a text fits each part of a file that was decoded for this encoder, and has parts."""
    query = encoder.encode_texts([text])[0]
    scores: list[float] = []
    for start in range(0, len(decoded.parts), AT_ONCE):
        some = [part.pixels for part in decoded.parts[start : start + AT_ONCE]]
        rows = encoder.encode_images(np.stack(some))  # (n, dim)
        scores += (rows @ query).tolist()
    parts = tuple(
        Moment(number, round(score, 4), part.start_ms, part.end_ms, part.at_ms, part.text)
        for number, (part, score) in enumerate(zip(about_of(decoded.parts), scores, strict=True))
    )
    return Timeline(path, text, parts, decoded.parts)


def draw(found: Timeline) -> Image.Image:
    """The curve of the scores over the time or the pages of the file, with the pictures of the best parts above it."""
    best = sorted(sorted(found.parts, key=lambda part: -part.score)[:SHOWN], key=lambda part: part.part)
    top = _MARGIN + _PICTURE + 2 * _LINE
    sheet = Image.new("RGB", (_WIDTH, top + _CHART + 2 * _LINE + _MARGIN), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    slot = (_WIDTH - 2 * _MARGIN) // SHOWN
    for number, part in enumerate(best):
        picture = Image.fromarray(found.pictures[part.part].pixels).resize(
            (_PICTURE, _PICTURE), Image.Resampling.LANCZOS
        )
        left = _MARGIN + number * slot
        sheet.paste(picture, (left, _MARGIN))
        pen.text((left, _MARGIN + _PICTURE + 2), f"{_place(part)}  {part.score:.2f}", _INK, font)
    _curve(pen, found.parts, top)
    first, last = _span(found.parts)
    bottom = top + _CHART
    pen.line((_MARGIN, bottom, _WIDTH - _MARGIN, bottom), _SOFT)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        place = first + share * (last - first)
        label = clock(place) if found.parts[0].start_ms is not None else f"p. {int(place) + (share < 1)}"
        width = pen.textlength(label, font)
        x = _MARGIN + share * (_WIDTH - 2 * _MARGIN)
        pen.text((min(max(x - width / 2, _MARGIN), _WIDTH - _MARGIN - width), bottom + 4), label, _SOFT, font)
    return sheet


def _curve(pen: ImageDraw.ImageDraw, parts: Sequence[Moment], top: int) -> None:
    """Steps, one a part; the best one is marked."""
    first, last = _span(parts)
    lowest = min(0.0, *(part.score for part in parts))
    highest = max(lowest + 0.05, *(part.score for part in parts))

    def x(place: float) -> float:
        return _MARGIN + (place - first) / (last - first) * (_WIDTH - 2 * _MARGIN)

    def y(score: float) -> float:
        return top + _CHART - (score - lowest) / (highest - lowest) * (_CHART - 10)

    steps = [(x(place), y(part.score)) for part in parts for place in _ends(part)]
    pen.polygon([(steps[0][0], top + _CHART), *steps, (steps[-1][0], top + _CHART)], _AREA)
    pen.line(steps, _CURVE, 2)
    best = max(parts, key=lambda part: part.score)
    middle = x(sum(_ends(best)) / 2)
    pen.ellipse((middle - 5, y(best.score) - 5, middle + 5, y(best.score) + 5), _CURVE)


def _ends(part: Moment) -> tuple[float, float]:
    """Where a part begins and ends: milliseconds, or pages from 0."""
    if part.start_ms is None or part.end_ms is None:
        return float(part.part), float(part.part + 1)
    return float(part.start_ms), float(max(part.end_ms, part.start_ms + 1))


def _span(parts: Sequence[Moment]) -> tuple[float, float]:
    return _ends(parts[0])[0], _ends(parts[-1])[1]


def _place(part: Moment) -> str:
    return f"p. {part.page}" if part.start_ms is None else clock(part.start_ms)
