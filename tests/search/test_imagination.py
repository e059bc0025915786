"""Pictures imagined from words, in a search: against NumPy over the same vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from samples import CLI

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError, QueryError
from mmsearch.library.library import Library
from mmsearch.search import retrieval
from mmsearch.search.imagination import Imagination, joined
from mmsearch.search.retrieval import ParsedQuery, QueryVector
from mmsearch.types import Note


@pytest.fixture(scope="module")
def imagination(encoder: OnnxEncoder) -> Imagination:
    return Imagination.load(encoder)


def test_a_text_always_gets_the_same_pictures(imagination: Imagination, encoder: OnnxEncoder) -> None:
    cat, again, rocket = imagination("a cat"), Imagination.load(encoder)("a cat"), imagination("a rocket launch")
    assert cat.shape == (imagination.card.pictures, encoder.card.dim)
    assert np.array_equal(cat, again)
    assert np.allclose(np.linalg.norm(cat, axis=1), 1, atol=1e-5)
    assert len(np.unique(cat.round(4), axis=0)) == len(cat)  # they differ
    assert (cat @ cat.T).min() > (cat @ rocket.T).max()  # less than those of another text


def test_only_the_embedded_model_has_imagined_pictures(region_encoder: OnnxEncoder, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"can be imagined for the embedded model only: .* has vectors of another kind"
    ):
        Imagination.load(region_encoder)
    with pytest.raises(ModelError, match=r"imagination.json cannot be used"):
        Imagination.load(region_encoder, tmp_path)


def test_pictures_join_a_query_as_their_mean_or_each_by_itself() -> None:
    asked = ParsedQuery((QueryVector(np.array([0, 0, 1], np.float32), weight=2.0),), text="a cat")
    imagined = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    first, mean = joined(asked, imagined, 0.5, each=False).wanted
    assert first is asked.wanted[0]
    assert mean.weight == 1.0
    assert np.allclose(mean.vector, [0.5**0.5, 0.5**0.5, 0])
    _, *each = joined(asked, imagined, 0.5, each=True).wanted
    assert [(one.weight, one.vector.tolist()) for one in each] == [(0.5, [1, 0, 0]), (0.5, [0, 1, 0])]


def test_a_search_adds_spreads_of_words_and_of_imagined_pictures(
    library: Library, photos: Path, imagination: Imagination
) -> None:
    library.index(photos)
    text = "a small furry animal on a sofa"  # no file has a word of it in its name
    rows = library.vectors.searched(library.vectors.snapshot())
    ids = rows.ids()
    vectors = rows.vectors(ids).astype(np.float64)
    words = np.append(library.encoder().encode_texts([text])[0], -retrieval.beta(text))
    mean = imagination(text).mean(axis=0)
    calibration = library.models.calibration(library.encoder(), library.models.active())
    assert calibration is not None
    assert calibration.typical is not None
    typical, share = calibration.typical, retrieval.PRIOR / (retrieval.PRIOR + len(ids))

    spoken, imagined = vectors @ words, vectors[:, :-1] @ (mean / np.linalg.norm(mean))
    middle = (1 - share) * spoken.mean() + share * typical[0]
    square = (1 - share) * (spoken**2).mean() + share * (typical[0] ** 2 + typical[1] ** 2)
    spread, weight = (square - middle**2) ** 0.5, imagination.card.weight
    total = ((spoken - middle) / spread + weight * (imagined - imagined.mean()) / imagined.std()) / (1 + weight)
    hits = library.search(text, imagine=True)
    assert [hit.score for hit in hits] == pytest.approx(sorted(middle + spread * total, reverse=True), abs=1e-3)
    assert [hit.relevance for hit in hits] == [None] * 5  # the calibration is of words alone
    assert [hit.relevance is None for hit in library.search(text)] == [False] * 5


def test_what_has_no_words_is_not_imagined(library: Library, photos: Path) -> None:
    library.index(photos)
    note = Note("nothing was imagined: the query has no words", "nothing-to-imagine")
    for query in (photos / "cat.png", "type:png"):
        plain, imagined = library.search(query), library.search(query, imagine=True)
        assert (imagined.hits, imagined.notes) == (plain.hits, (*plain.notes, note))
    with pytest.raises(QueryError, match="only where it is known"):
        library.search("a cat", imagine=True, min_relevance=0.5)


def test_hits_that_differ_with_imagined_pictures(library: Library, photos: Path) -> None:
    library.index(photos)
    hits = library.search("a motorcycle", imagine=True, diverse=True)
    assert hits[0].path == str(photos / "trips" / "motorcycle.png")
    assert sorted(hit.path for hit in hits) == sorted(hit.path for hit in library.search("a motorcycle"))


def test_the_command_imagines_where_it_is_asked_to(mmsearch: CLI, photos: Path) -> None:
    mmsearch("index", photos)
    plain, imagined = (
        [json.loads(line) for line in mmsearch("query", "a rocket launch", "--json", *more).stdout.splitlines()]
        for more in ((), ("--imagine",))
    )
    assert plain[0]["path"] == imagined[0]["path"] == str(photos / "trips" / "rocket.jpg")
    assert "relevance" in plain[0]
    assert "relevance" not in imagined[0]
    assert imagined[0]["score"] != plain[0]["score"]
    assert "measured to find no more" in " ".join(mmsearch("query", "--help").stdout.split())
