"""Background correction against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from mmsearch.encoders.onnx.encoder import unit_rows
from mmsearch.evaluation.metrics import ranks
from mmsearch.search.hubness import hubness_penalty
from mmsearch.types import Vectors


def unit(rng: np.random.Generator, rows: int) -> Vectors:
    return unit_rows(rng.standard_normal((rows, 16)).astype(np.float32))


@pytest.mark.parametrize(("bank_size", "nearest"), [(50, 20), (7, 20), (20, 20), (50, 1)])
def test_hubness_penalty_equals_a_plain_loop(bank_size: int, nearest: int) -> None:
    rng = np.random.default_rng(0)
    photos, bank = unit(rng, 30), unit(rng, bank_size)
    wanted = []
    for photo in photos:
        similarities = sorted((float(np.dot(photo, text)) for text in bank), reverse=True)[:nearest]
        wanted.append(0.4 * sum(similarities) / len(similarities))
    got = hubness_penalty(photos, bank, beta=0.4, nearest=nearest)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_many_photos_are_taken_in_blocks() -> None:
    rng = np.random.default_rng(1)
    photos, bank = unit(rng, 2500), unit(rng, 40)
    alone = np.concatenate([hubness_penalty(photos[place : place + 1], bank) for place in range(0, 2500, 500)])
    np.testing.assert_allclose(hubness_penalty(photos, bank)[::500], alone, atol=1e-6)


def test_half_of_the_hubness_orders_photos_as_csls_does() -> None:
    rng = np.random.default_rng(2)
    photos, texts = unit(rng, 15), unit(rng, 60)
    owner = np.arange(60) % 15
    cosines = texts @ photos.T
    near_text = np.sort(cosines, axis=1)[:, -3:].mean(axis=1)  # CSLS with 3 neighbours
    near_photo = np.sort(cosines, axis=0)[-3:].mean(axis=0)
    csls = 2 * cosines - near_text[:, None] - near_photo[None, :]
    wanted = [int((row >= row[own]).sum()) for row, own in zip(csls, owner, strict=True)]
    got = ranks(photos, texts, owner, hubness_penalty(photos, texts, nearest=3))
    assert got["text_to_image"].tolist() == wanted


def test_a_photo_near_to_everything_loses_its_lead() -> None:
    hub = np.array([0.8, 0.6], np.float32)
    photos = np.stack([np.array([1, 0], np.float32), np.array([0, 1], np.float32), hub])
    texts = np.array([[0.85, 0.52678], [0.0, 1.0]], np.float32)  # of photos 0 and 1; the hub is nearest to the first
    bank = np.tile(hub, (30, 1))
    assert ranks(photos, texts, np.array([0, 1]))["text_to_image"].tolist() == [2, 1]
    fair = ranks(photos, texts, np.array([0, 1]), hubness_penalty(photos, bank, beta=1.0))
    assert fair["text_to_image"].tolist() == [1, 1]
