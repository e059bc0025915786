"""Telling what pictures show: the form of a model, how it is learned, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError
from mmsearch.language.nouns import nouns
from mmsearch.search.presence import FILE, Presence
from mmsearch.training.common import presence
from mmsearch.types import Vectors

DIM = 24


def unit(rows: NDArray[np.floating]) -> Vectors:
    found: Vectors = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return found


def test_classifier_is_the_bilinear_form_with_a_1_behind_both() -> None:
    rng = np.random.default_rng(0)
    form, text, pictures = rng.standard_normal((5, 5)).astype(np.float32), unit(rng.random(4)), unit(rng.random((7, 4)))
    wanted = np.append(text, 1) @ form.astype(np.float64) @ np.column_stack([pictures, np.ones(7)]).T
    np.testing.assert_allclose(Presence(form).classifier(text)(pictures), wanted, atol=1e-5)


class World:
    """Photos that show one of many things, each in a colour; cosines alone tell things of all photos badly."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.things = [word for word, noun in nouns().items() if noun.kind in ("animal", "vehicle") and noun.plural][
            :70
        ]
        self.directions = rng.standard_normal((len(self.things), DIM))
        self.common = 3 * rng.standard_normal(DIM)  # the modality gap: all pictures have it

    def photos(self, count: int, seed: int) -> tuple[Vectors, list[list[str]]]:
        rng = np.random.default_rng(seed)
        shown = rng.integers(0, len(self.things), count)
        rows = self.directions[shown] + self.common + 0.2 * rng.standard_normal((count, DIM))
        return unit(rows), [[f"a {self.things[one]}"] for one in shown]

    def encode(self, texts: list[str]) -> Vectors:
        plain = [text.removeprefix("a ") for text in texts]
        of = {form: number for number, thing in enumerate(self.things) for form in (thing, nouns()[thing].plural)}
        rng = np.random.default_rng(1)
        other = rng.standard_normal((len(texts), DIM))
        return unit(np.stack([self.directions[of[t]] if t in of else other[i] for i, t in enumerate(plain)]))


def test_it_learns_what_photos_show() -> None:
    world = World()
    vectors, captions = world.photos(1500, 2)
    made = presence.fit(vectors[None], captions, world.encode)
    assert made is not None
    others, said = world.photos(500, 3)
    texts = world.encode(world.things)
    right = np.array([[own == [f"a {thing}"] for own in said] for thing in world.things])
    odds = np.stack([made.classifier(text)(others) for text in texts])
    assert (odds[right] > 0).mean() > 0.9
    assert (odds[~right] > 0).mean() < 0.1
    again = presence.fit(vectors[None], captions, world.encode)
    assert again is not None
    np.testing.assert_array_equal(made.form, again.form)


def test_few_things_teach_nothing() -> None:
    world = World()
    vectors, _ = world.photos(30, 2)
    assert presence.fit(vectors[None], [["a dog"]] * 30, world.encode) is None


def test_file(tmp_path: Path) -> None:
    assert Presence.read(tmp_path, 4) is None
    rng = np.random.default_rng(0)
    made = Presence(rng.standard_normal((5, 5)).astype(np.float32))
    made.write(tmp_path)
    Presence.read.cache_clear()
    read = Presence.read(tmp_path, 4)
    assert read is not None
    np.testing.assert_allclose(read.form, made.form, atol=2e-3)
    with pytest.raises(ModelError, match=r"presence\.npy cannot be used.*install mmsearch again"):
        Presence.read(tmp_path, 6)
    (tmp_path / FILE).write_bytes(b"no array")
    Presence.read.cache_clear()
    with pytest.raises(ModelError, match=r"presence\.npy cannot be used"):
        Presence.read(tmp_path, 4)


def test_the_shipped_one_fits_its_model(encoder: OnnxEncoder) -> None:
    found = Presence.of(encoder)
    assert found is not None
    assert found.form.shape == (encoder.card.dim + 1, encoder.card.dim + 1)
    assert (EMBEDDED / FILE).stat().st_size < 600_000
