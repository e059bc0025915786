"""How well a text fits the parts of a film or a document, and the picture of that."""

from __future__ import annotations

import numpy as np
from skimage import data

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.media.decode import decode_content
from mmsearch.rerank.timeline import draw, timeline
from mmsearch.types import Decoded, Exif, Moment, Part

TIMES = ((0, 61_000, 0), (61_000, 90_000, 70_000), (90_000, 91_000, 90_000))


def film(encoder: OnnxEncoder, pages: bool = False) -> Decoded:
    shown = [data.rocket(), data.coffee(), data.chelsea()]
    pictures = [decode_content(one, "a picture", encoder.card.preprocess) for one in shown]
    if pages:
        parts = tuple(Part(picture) for picture in pictures)
    else:
        parts = tuple(Part(picture, *time) for picture, time in zip(pictures, TIMES, strict=True))
    return Decoded(pictures[0], 640, 360, "pdf" if pages else "mp4", Exif(), parts=parts)


def test_each_part_is_compared_with_the_text(encoder: OnnxEncoder) -> None:
    decoded = film(encoder)
    found = timeline(encoder, decoded, "/a.mp4", "a cup of coffee")
    rows = encoder.encode_images(np.stack([part.pixels for part in decoded.parts]))
    wanted = rows @ encoder.encode_texts(["a cup of coffee"])[0]
    np.testing.assert_allclose([part.score for part in found.parts], wanted, atol=1e-4)
    assert found.best == Moment(1, found.parts[1].score, 61_000, 90_000, 70_000)
    assert timeline(encoder, decoded, "/a.mp4", "a cat").best.part == 2


def test_it_is_drawn_with_its_best_parts(encoder: OnnxEncoder) -> None:
    for decoded in (film(encoder), film(encoder, pages=True)):
        drawn = np.asarray(draw(timeline(encoder, decoded, "/a", "a cup of coffee")))
        left = drawn[24 : 24 + 180, 24 : 24 + 180]  # the first of the best, in the order of the file: the rocket
        np.testing.assert_allclose(left.mean((0, 1)), decoded.parts[0].pixels.mean((0, 1)), atol=2)
        green = (drawn[24 + 180 + 36 : -60, 24:-24] == (0x1F, 0x6F, 0x4A)).all(axis=2)
        share = (61 / 91, 90 / 91) if decoded.format == "mp4" else (1 / 3, 2 / 3)
        coffee = slice(int(green.shape[1] * share[0]) + 8, int(green.shape[1] * share[1]) - 8)
        highest = np.flatnonzero(green.any(axis=1))[0]
        assert np.flatnonzero(green[:, coffee].any(axis=1))[0] == highest
