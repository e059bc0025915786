"""The embedded model: the same vectors from ONNX Runtime and torch, and what a person expects of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES

from mmsearch.encoders import factory
from mmsearch.encoders.export.graphs import quantize
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import ModelCard
from mmsearch.media.decode import decode

TEXTS = ["a dog", "A man with a camera.", "x" * 400, "", "two children on a swing, one laughing", "🐕 on the beach"]


def pixels(*names: str) -> np.ndarray:
    stacked = []
    for name in names:
        with (SAMPLES / name).open("rb") as file:
            stacked.append(decode(file, name, factory.embedded().card.preprocess).pixels)
    return np.stack(stacked)


def test_torch_and_onnx_runtime_agree(encoder: OnnxEncoder) -> None:
    from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder

    other = TorchEmbeddedEncoder(factory.EMBEDDED, "cpu")
    assert other.card == encoder.card
    images = pixels("chelsea.png", "coffee.png", "rocket.jpg")
    assert (other.encode_images(images) * encoder.encode_images(images)).sum(1).min() > 0.9999
    assert (other.encode_texts(TEXTS) * encoder.encode_texts(TEXTS)).sum(1).min() > 0.9999


def test_batches_do_not_change_vectors(encoder: OnnxEncoder) -> None:
    images = pixels("chelsea.png", "coffee.png", "rocket.jpg")
    one_by_one = np.concatenate([encoder.encode_images(image[None]) for image in images])
    np.testing.assert_allclose(encoder.encode_images(images), one_by_one, atol=1e-4)
    one_by_one = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), one_by_one, atol=1e-4)
    assert encoder.encode_texts([]).shape == (0, encoder.card.dim)


def test_case_does_not_change_a_text(encoder: OnnxEncoder) -> None:
    np.testing.assert_array_equal(encoder.encode_texts(["A Dog"]), encoder.encode_texts(["a dog"]))


@pytest.mark.parametrize(
    ("text", "right"), [("a man with a camera", "camera.png"), ("a motorcycle", "motorcycle_left.png")]
)
def test_plain_words_find_plain_things(encoder: OnnxEncoder, text: str, right: str) -> None:
    names = ["brick.png", "camera.png", "coffee.png", "grass.png", "moon.png", "motorcycle_left.png", "rocket.jpg"]
    scores = encoder.encode_images(pixels(*names)) @ encoder.encode_texts([text])[0]
    assert names[int(scores.argmax())] == right


def test_fingerprint_covers_all_that_changes_a_vector(encoder: OnnxEncoder) -> None:
    from dataclasses import replace

    card = encoder.card
    assert ModelCard.from_json(card.to_json()) == card
    assert replace(card, name="another name").fingerprint == card.fingerprint
    others = [
        replace(card, dim=1),
        replace(card, weights="0"),
        replace(card, precision="float32"),
        replace(card, preprocess=replace(card.preprocess, resize_mode="shortest")),
        replace(card, tokens=replace(card.tokens, context=8)),
    ]
    assert len({card.fingerprint, *(other.fingerprint for other in others)}) == 6


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20), st.integers(1, 50), st.floats(1e-6, 1e6))
def test_quantised_rows_are_within_half_a_step(seed: int, rows: int, columns: int, size: float) -> None:
    values = (np.random.default_rng(seed).standard_normal((rows, columns)) * size).astype(np.float32)
    small, scales = quantize(values)
    assert small.dtype == np.int8
    assert scales.shape == (rows, 1)
    assert (np.abs(small * scales - values) <= scales * 0.501).all()
