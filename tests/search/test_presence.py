"""Telling what pictures show: the form of a model, how it is learned, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vector_world import World, unit

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError
from mmsearch.search.presence import FILE, Presence
from mmsearch.training.common import presence


def test_classifier_is_the_bilinear_form_with_a_1_behind_both() -> None:
    rng = np.random.default_rng(0)
    form, text, pictures = rng.standard_normal((5, 5)).astype(np.float32), unit(rng.random(4)), unit(rng.random((7, 4)))
    wanted = np.append(text, 1) @ form.astype(np.float64) @ np.column_stack([pictures, np.ones(7)]).T
    np.testing.assert_allclose(Presence(form).classifier(text)(pictures), wanted, atol=1e-5)


def test_it_learns_what_photos_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "STEPS", 200)
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
    monkeypatch.setattr(presence, "STEPS", 20)
    one, again = (presence.fit(vectors[None], captions, world.encode) for _ in range(2))
    assert one is not None
    assert again is not None
    np.testing.assert_array_equal(one.form, again.form)


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
    np.testing.assert_allclose(read.form, made.form, atol=0.02)
    np.save(tmp_path / FILE, made.form.astype(np.float16))  # as versions before wrote it
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
    assert (EMBEDDED / FILE).stat().st_size < 300_000
