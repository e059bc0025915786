"""A library that one engine of a model indexed, searched with another: the same pictures, scores and relevance."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scores import score

from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder
from mmsearch.encoders.torch.multi_gpu import on_all
from mmsearch.library.opening import open_library
from mmsearch.search import querybank

QUERIES = ("a cat", "a cup of coffee", "a rocket", "the moon at night")


def engines() -> dict[str, Encoder]:
    torch_encoder = TorchEmbeddedEncoder(factory.EMBEDDED, "cpu")
    return {
        "onnx": factory.embedded(), "torch": torch_encoder, "on two": on_all(torch_encoder, ["cpu", "cpu"]),
    }  # fmt: skip


@pytest.mark.parametrize("first", ["onnx", "torch", "on two"])
def test_the_engine_that_indexed_first_decides_no_score(first: str, photos: Path, settings: Settings) -> None:
    every = engines()
    with open_library(settings.library, settings=settings, encoder=every[first]) as library:
        library.index(photos)
    found = []
    for name in ("onnx", "torch", "on two"):
        with open_library(settings.library, settings=settings, encoder=every[name]) as library:
            found.append([library.search(query) for query in QUERIES])
    for hits in found[1:]:
        for own, wanted in zip(hits, found[0], strict=True):
            assert [hit.path for hit in own] == [hit.path for hit in wanted]
            np.testing.assert_allclose([score(hit) for hit in own], [score(hit) for hit in wanted], atol=1e-3)
            relevance, wanted_relevance = (np.array([hit.relevance for hit in one], float) for one in (own, wanted))
            np.testing.assert_allclose(relevance, wanted_relevance, atol=0.02)  # of [0, 1]; nan where there is none
            assert np.isfinite(wanted_relevance).all()


def test_library_that_an_earlier_version_indexed_on_a_gpu(
    photos: Path, settings: Settings, encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bank is that of other models, and its index has their background: both are made anew."""
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        library.index(photos)
        wanted = [library.search(query) for query in QUERIES]
    (file,) = settings.library.glob("background-*.npy")
    file.unlink()
    shutil.rmtree(settings.library / "index")
    texts = querybank.texts()
    with monkeypatch.context() as before:
        before.setattr(querybank, "vectors", lambda encoder: encoder.encode_texts(texts))
        with open_library(settings.library, settings=settings, encoder=encoder) as library:
            library.index(photos)
            other = [library.search(query) for query in QUERIES]
    assert other != wanted
    querybank.version.cache_clear()
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        assert [library.search(query) for query in QUERIES] == wanted
        library.index(photos)
        assert library.verify() == []
        assert [library.search(query) for query in QUERIES] == wanted
