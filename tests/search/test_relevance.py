"""Relevance of models that bring no calibration, and words that a model does not know."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import SAMPLES

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import QueryError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.search import querybank
from mmsearch.search.relevance import OF_CAPTIONS, OF_THINGS, above_querybank, is_short, logistic
from mmsearch.search.unknown_words import unknown_words

NAMES = ("chelsea.png", "camera.png", "grass.png", "rocket.jpg", "coffee.png")


@pytest.fixture
def uncalibrated(settings: Settings, region_encoder: OnnxEncoder, tmp_path: Path) -> Library:
    (tmp_path / "shots").mkdir()
    for number, name in enumerate(NAMES):
        shutil.copy(SAMPLES / name, tmp_path / "shots" / f"{number}{Path(name).suffix}")
    library = open_library(tmp_path / "other", settings=settings, encoder=region_encoder)
    library.index(tmp_path / "shots")
    return library


def odds(text: str, cosine: float, picture: list[float], bank: list[list[float]]) -> float:
    """By plain Python."""
    cosines = sorted(sum(a * b for a, b in zip(row, picture, strict=True)) for row in bank)
    mean = sum(cosines) / len(cosines)
    spread = math.sqrt(sum((one - mean) ** 2 for one in cosines) / len(cosines))
    nearest = sum(cosines[-10:]) / len(cosines[-10:])
    fitted = OF_THINGS if len(text.split()) <= 2 else OF_CAPTIONS
    return fitted.spreads * (cosine - mean) / spread + fitted.margin * (cosine - nearest) / spread + fitted.offset


@pytest.mark.parametrize("text", ["dog", "a dog", "a dog on a beach"])
@pytest.mark.parametrize("size", [1, 5, 200])
def test_how_a_text_stands_to_the_querybank(text: str, size: int) -> None:
    rng = np.random.default_rng(size)
    bank = rng.standard_normal((size, 8)).astype(np.float32)
    picture = rng.standard_normal(8).astype(np.float32)
    if size == 1:  # without a spread nothing is divided by 0
        assert all(math.isfinite(value) for value in above_querybank(0.3, picture, bank))
        return
    found = logistic(text, 0.4, 0.3, picture, bank)
    wanted = odds(text, 0.3, picture.tolist(), bank.tolist())
    [share] = found(np.array([0.4]), 0.0, 0.0)
    assert math.log(share / (1 - share)) == pytest.approx(wanted, abs=1e-3)
    lower = found(np.array([0.4, 0.35, 0.1]), 0.0, 0.0)
    assert lower[0] > lower[1] > lower[2]


def test_a_scale_of_the_cosines_changes_nothing() -> None:
    """A model whose cosines lie close together, as those of SigLIP, has the same relevances."""
    rng = np.random.default_rng(0)
    bank, picture = rng.standard_normal((50, 8)).astype(np.float32), rng.standard_normal(8).astype(np.float32)
    wide = logistic("a dog", 3.0, 3.0, picture, bank)
    narrow = logistic("a dog", 0.03, 0.03, picture / np.float32(100), bank)
    assert wide(np.array([3.0, 2.0]), 0, 0) == pytest.approx(narrow(np.array([0.03, 0.02]), 0, 0), rel=1e-4)


def test_short_texts_have_two_words_at_most() -> None:
    assert [is_short(text) for text in ("dog", "brown dog", "a brown dog")] == [True, True, False]


def test_relevance_of_a_model_without_a_calibration(uncalibrated: Library, region_encoder: OnnxEncoder) -> None:
    text = "an orange cat"
    hits = uncalibrated.search(text, rerank=False)
    stored = uncalibrated.store.model()
    assert stored is not None
    number = uncalibrated.store.vector_of(hits[0].path, stored)
    assert number is not None
    row = uncalibrated.store.vectors(np.array([number], np.int64), stored.dim)[0]
    bank = querybank.vectors(region_encoder)
    wanted = odds(text, float(row @ region_encoder.encode_texts([text])[0]), row.tolist(), bank.tolist())
    best = hits[0].relevance
    assert best == pytest.approx(1 / (1 + math.exp(-wanted)), abs=0.01)
    shares = [hit.relevance for hit in hits if hit.relevance is not None]
    assert len(shares) == len(hits)
    assert shares == sorted(shares, reverse=True)
    assert uncalibrated.search(text, rerank=False, min_relevance=0) == hits
    assert uncalibrated.search(text, rerank=False, min_relevance=1) == []
    assert uncalibrated.search("type:gif an orange cat", rerank=False, min_relevance=0.5) == []


def test_reranked_scores_of_such_a_model_are_not_judged(uncalibrated: Library, small_reranker: Path) -> None:
    settings = replace(uncalibrated.settings, reranker=str(small_reranker))
    with open_library(uncalibrated.folder, settings=settings, encoder=uncalibrated.encoder()) as library:
        assert {hit.relevance for hit in library.search("an orange cat", rerank=True)} == {None}
        with pytest.raises(QueryError, match="only where it is known"):
            library.search("an orange cat", rerank=True, min_relevance=0.5)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a dog on a beach", []),
        ("a giraffe eats yoghurt", []),  # in parts, but a known noun, and in captions
        ("xyzzy", ["xyzzy"]),
        ("ein Hund im Fahrrad", ["Hund", "Fahrrad"]),
        ("собака", ["собака"]),
        ("狗", ["狗"]),
        ("IMG_0420 4711", []),
        ("", []),
    ],
)
def test_words_that_the_embedded_model_does_not_know(encoder: OnnxEncoder, text: str, unknown: list[str]) -> None:
    assert unknown_words(text, encoder) == unknown


def test_unknown_words_are_said_where_no_picture_has_them_written(library: Library, photos: Path) -> None:
    library.index(photos)
    [note] = library.search("a Hund").notes
    assert (note.code, note.fields) == ("unknown-words", {"words": ["Hund"]})
    assert str(note) == 'the model most likely does not know "Hund": it reads common English words'
    (photos / "cat.txt").write_text("unser Hund")
    library.index()
    assert library.search("a Hund").notes == ()
    assert library.search("a dog").notes == ()
