"""The heat of the reranker that ships: of two photos side by side it finds the one that a text is of."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import SAMPLES

from mmsearch.encoders.onnx_encoder import OnnxEncoder
from mmsearch.looking import Looker
from mmsearch.rerank.heat import Heat
from mmsearch.rerank.resolve import for_encoder

TEXTS = {
    "chelsea.png": "a cat",
    "motorcycle_left.png": "a red motorcycle",
    "coffee.png": "a cup of coffee on a table",
    "camera.png": "a man with a camera",
}


@pytest.fixture(scope="module")
def shipped(encoder: OnnxEncoder) -> Looker:
    return Looker(encoder, for_encoder(encoder))


def side_by_side(left: str, right: str, file: Path) -> str:
    sheet = Image.new("RGB", (400, 300))
    for place, name in enumerate((left, right)):
        with Image.open(SAMPLES / name) as photo:
            width = min(photo.width, photo.height * 2 // 3)
            start = (photo.width - width) // 2
            part = photo.convert("RGB").crop((start, 0, start + width, photo.height))
        sheet.paste(part.resize((200, 300)), (200 * place, 0))
    sheet.save(file)
    return str(file)


def left_share(heat: Heat) -> float:
    """Of the heat in the three columns on either side."""
    return float(heat[:, :3].sum() / (heat[:, :3].sum() + heat[:, 4:].sum()))


def test_heat_is_in_the_photo_that_the_text_is_of(shipped: Looker, tmp_path: Path) -> None:
    shares = []
    for left, right in itertools.permutations(TEXTS, 2):
        file = side_by_side(left, right, tmp_path / "both.png")
        shares.append(left_share(shipped.explain(file, TEXTS[left]).overall))
        shares.append(1 - left_share(shipped.explain(file, TEXTS[right]).overall))
    assert len(shares) == 24
    assert np.sum(np.array(shares) > 0.5) >= 22  # chance: 12
    assert np.mean(shares) > 0.75


def test_words_of_one_text_are_found_in_different_places(shipped: Looker, tmp_path: Path) -> None:
    file = side_by_side("chelsea.png", "motorcycle_left.png", tmp_path / "both.png")
    heats = {word.word: word.heat for word in shipped.explain(file, "a cat and a red motorcycle").words}
    assert list(heats) == ["cat", "red", "motorcycle"]
    assert left_share(heats["cat"]) > 0.6
    assert left_share(heats["red"]) < 0.4
    assert left_share(heats["motorcycle"]) < 0.4
