"""Short texts are moved to where the pictures are: the map, how it is learned, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vector_world import DIM, World, unit

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError
from mmsearch.search import int8_rows
from mmsearch.search.text_adapter import FILE, TextAdapter, moved
from mmsearch.training.common import text_adapter
from mmsearch.training.common.phrases import Phrases, phrases_in
from mmsearch.types import Vectors


def test_a_text_is_moved_by_its_number_of_words() -> None:
    rng = np.random.default_rng(0)
    adapter = TextAdapter(
        rng.standard_normal((5, 4)).astype(np.float32), frozenset(["dog", "grass", "green", "6", "7"])
    )
    vector = np.array([0.6, 0, 0.8, 0], np.float32)
    for text, part in (
        ("Dog", 1), ("a dog on grass", 1), ("a dog on green grass", 0.5), ("6 " * 6, 0.25), ("7 " * 7, 0),
        ("dogs", 0), ("a dog and a canyon", 0),  # words that it does not know
    ):  # fmt: skip
        assert adapter.part(text) == part
        wanted = vector + part * (np.append(vector, 1) @ adapter.map)
        np.testing.assert_allclose(adapter.moved(vector, text), wanted, atol=1e-6)


def test_phrases_begin_and_end_with_words_that_say_something() -> None:
    assert phrases_in("A dog on the green grass.") == {
        "dog", "green", "grass", "green grass", "dog on the green",
    }  # fmt: skip


def test_photos_that_have_a_word_of_a_phrase_are_near_it() -> None:
    captions = [["a red dog"], ["a dog runs", "it is red"], ["a red cat"], ["nothing"], ["a red dog sleeps"]]
    phrases = Phrases.of(captions, least=2)
    assert phrases.texts == ("dog", "red", "red dog")
    np.testing.assert_array_equal(phrases.shown[2], [True, False, False, False, True])
    near = phrases.near(np.array([2, 0]), np.array([0, 1, 2, 3]))
    np.testing.assert_array_equal(near, [[True, True, True, False], [True, True, False, False]])


def test_it_brings_texts_to_the_photos_that_show_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_adapter, "STEPS", 100)
    world = World()
    vectors, captions = world.photos(1500, 2)
    turn = np.linalg.qr(np.random.default_rng(4).standard_normal((DIM, DIM)))[0].astype(np.float32)

    def encode(texts: list[str]) -> Vectors:  # more than half of a text's vector is about something else
        rows = world.encode(texts)
        return unit(rows + 1.5 * rows @ turn)

    made = text_adapter.fit(vectors[None], captions, encode, needed=50)
    assert made is not None
    others, said = world.photos(500, 3)
    right = np.array([[own == [f"a {thing}"] for own in said] for thing in world.things])
    plain = encode(world.things)
    after = np.stack([made.moved(row, thing) for row, thing in zip(plain, world.things, strict=True)])

    def precision(rows: Vectors) -> float:
        """Of the first as many photos as show a thing, the share that do."""
        ranked = np.take_along_axis(right, np.argsort(-(rows @ others.T), axis=1), axis=1)
        return float(np.mean([row[: row.sum()].mean() for row in ranked if row.any()]))

    assert precision(plain) < 0.8
    assert precision(after) > precision(plain) + 0.1
    spreads = [(rows @ others.T).std(axis=1).mean() for rows in (plain, after)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.1)  # scores stay on the scale of cosines
    monkeypatch.setattr(text_adapter, "STEPS", 20)
    one, again = (text_adapter.fit(vectors[None], captions, encode, needed=50) for _ in range(2))
    assert one is not None
    assert again is not None
    np.testing.assert_array_equal(one.map, again.map)


def test_few_phrases_teach_nothing() -> None:
    world = World()
    vectors, captions = world.photos(300, 2)
    assert text_adapter.fit(vectors[None], captions, world.encode) is None


def test_file(tmp_path: Path) -> None:
    assert TextAdapter.read(tmp_path, 4) is None
    rng = np.random.default_rng(0)
    made = TextAdapter(rng.standard_normal((5, 4)).astype(np.float32), frozenset(["dog", "grass"]))
    made.write(tmp_path)
    TextAdapter.read.cache_clear()
    read = TextAdapter.read(tmp_path, 4)
    assert read is not None
    np.testing.assert_allclose(read.map, made.map, atol=0.02)
    assert read.words == made.words
    with pytest.raises(ModelError, match=r"text_adapter\.npy cannot be used.*install mmsearch again"):
        TextAdapter.read(tmp_path, 6)
    for content in (b"no array", (tmp_path / FILE).read_bytes()[:-8]):
        (tmp_path / FILE).write_bytes(content)
        TextAdapter.read.cache_clear()
        with pytest.raises(ModelError, match=r"text_adapter\.npy cannot be used"):
            TextAdapter.read(tmp_path, 4)


@pytest.mark.parametrize("shape", [(5, 5), (5, 4), (4, 5)])
def test_rows_come_back_with_their_diagonal(tmp_path: Path, shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    own = np.arange(min(shape))
    rows[own, own] += 100
    int8_rows.write(tmp_path / "rows.npy", rows)
    read = int8_rows.read(tmp_path / "rows.npy", shape)
    np.testing.assert_allclose(read[own, own], rows[own, own], rtol=1e-3)
    np.testing.assert_allclose(read, rows, rtol=1e-3, atol=0.02)
    np.save(tmp_path / "rows.npy", np.zeros(shape, np.int64))
    with pytest.raises(ValueError, match="int64 where"):
        int8_rows.read(tmp_path / "rows.npy", shape)


def test_the_shipped_one_fits_its_model(encoder: OnnxEncoder) -> None:
    found = TextAdapter.of(encoder)
    assert found is not None
    assert (EMBEDDED / FILE).stat().st_size < 300_000
    vector = encoder.encode_texts(["dog"])[0]
    after = moved(encoder, vector, "dog")
    assert 0.7 < float(after @ vector) / float(np.linalg.norm(after)) < 0.99
    for other in ("a dog that runs over a wide meadow", "a triceratops"):
        np.testing.assert_array_equal(moved(encoder, vector, other), vector)
