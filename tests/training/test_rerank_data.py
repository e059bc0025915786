"""What a reranker learns from: hidden words, padded texts, states of words, views of photos."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import captions, states
from samples import model_without_regions

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.rerank.vocabulary import END, SPECIAL, START, UNKNOWN
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.reranker.data import Photos, RegionTrainee, encode_lines, hide
from mmsearch.training.reranker.preparation import nearest, sayings, things
from mmsearch.training.reranker.recipe import RerankRecipe
from mmsearch.types import Vectors

MASK = 103


@pytest.fixture(scope="module")
def words() -> WordEncoder:
    return WordEncoder(EMBEDDED, SHIPPED / "words.onnx")


def test_share_of_the_words_is_hidden_and_the_ends_stay() -> None:
    ids = [np.arange(1, length + 1) for length in (12, 7, 3, 2, 1)]
    rng = np.random.default_rng(0)
    places = set()
    for _ in range(50):
        rows, hidden = hide(ids, 0.2, MASK, rng)
        assert [int(own.sum()) for own in hidden] == [2, 1, 1, 0, 0]  # a fifth of 10, 5, 1 and no words
        for before, row, own in zip(ids, rows, hidden, strict=True):
            assert row.tolist() == [MASK if h else b for b, h in zip(before.tolist(), own.tolist(), strict=True)]
            assert len(own) < 2 or not own[[0, -1]].any()
        places.update(np.flatnonzero(hidden[0]).tolist())
    assert places == set(range(1, 11))  # every word has its turn
    assert ids[0].tolist() == [*range(1, 13)]  # what was given is as it was


def test_nearly_all_words_can_be_hidden() -> None:
    (row,), _ = hide([np.array([101, 5, 6, 7, 102])], 0.9, MASK, np.random.default_rng(0))
    assert row.tolist() == [101, MASK, MASK, MASK, 102]


def test_texts_are_padded_to_the_longest() -> None:
    lines = states([3, 5, 1], 8, np.random.default_rng(0))
    found, mask = lines.batch(np.array([2, 0, 2]))
    assert mask.tolist() == [[True, False, False], [True, True, True], [True, False, False]]
    packed = lines.states.states.astype(np.float32)
    assert np.array_equal(found[1], packed[:3])
    assert np.array_equal(found[0], np.stack([packed[8], np.zeros(8), np.zeros(8)]))
    assert np.array_equal(found[0], found[2])


def test_states_are_those_of_single_texts(words: WordEncoder) -> None:
    texts = [*(own[0] for own in list(captions().values())[:3]), "dog", "a much longer text about a man and his dog"]
    told: list[tuple[int, int]] = []
    lines = encode_lines(words, texts, lambda done, total: told.append((done, total)))
    assert told == [(5, 5)]
    found, mask = lines.batch(np.arange(5))
    for row, text in enumerate(texts):
        alone, counts = words([text])
        assert counts.all()
        assert lines.ids[row].tolist() == words.tokenize([text])[0].tolist()
        assert mask[row].sum() == alone.shape[1]
        assert np.allclose(found[row, : alone.shape[1]], alone[0], atol=2e-2)
        assert np.allclose(found[row, : alone.shape[1]].mean(), alone[0].mean(), atol=1e-3)


def test_states_of_given_ids(words: WordEncoder) -> None:
    (ids,) = words.tokenize(["a dog runs"])
    hidden = ids.copy()
    hidden[2] = words.mask_id
    lines = encode_lines(words, [], None, [hidden, ids])
    found, mask = lines.batch(np.arange(2))
    assert mask.all()
    assert np.allclose(found[0], words.run(hidden[None])[0], atol=2e-2)
    assert np.allclose(found[1], words.run(ids[None])[0], atol=2e-2)
    assert not np.allclose(found[0], found[1], atol=0.1)


def test_no_texts(words: WordEncoder) -> None:
    assert len(encode_lines(words, [])) == 0


def test_views_of_photos() -> None:
    rng = np.random.default_rng(0)
    stored = rng.standard_normal((3, 2, 4 * 5 + 6)).astype(np.float16)
    photos = Photos(stored, regions=4, dim=5)
    assert (len(photos), photos.views) == (3, 2)
    rows = np.array([2, 0, 0])
    plain = photos.plain(rows)
    assert plain.shape == (3, 4, 5)
    for place, row in enumerate(rows):
        assert np.array_equal(plain[place].flatten(), stored[row, 0, :20].astype(np.float32))
    seen = set()
    for _ in range(20):
        drawn = photos.draw(rows, rng)
        for place, row in enumerate(rows):
            (view,) = (v for v in (0, 1) if np.array_equal(drawn[place].flatten(), stored[row, v, :20].astype("f4")))
            seen.add((place, view))
    assert len(seen) == 6  # each in both of its views
    vectors: Vectors = photos.vectors()
    own = stored[:, 0, 20:].astype(np.float64)
    assert np.allclose(vectors, own / np.sqrt((own**2).sum(axis=1))[:, None], atol=1e-6)


def test_things_are_said_as_people_search_for_them() -> None:
    asked = [
        (0, "is there a dog?", "yes"),
        (1, "are there any dogs in the photo?", "yes"),
        (2, "is there a dog in the photo?", "no"),
        (3, "is there a dog?", "yes"),
        (2, "are there dogs?", "no"),
        (4, "is there an umbrella?", "no"),  # nobody shows one
        (4, "is the dog running?", "yes"),
        (4, "what color is the dog?", "black"),
    ]
    found = {thing: [rows.tolist() for rows in photos] for thing, photos in things(asked).items()}
    assert found == {"dog": [[0, 3], [2]], "dogs": [[1], [2]]}


def test_only_sentences_describe_a_photo() -> None:
    texts = ["A dog runs on the wet sand.", "a skirt", "Two red, red, red bikes lean here", "photo of a skirt"]
    said, rows, describes = sayings(texts, RerankRecipe(caption_words=8, caption_least=6))
    assert describes.tolist() == [True, False, True, False]
    assert said[len(SPECIAL) :] == ["red", "a", "bikes", "dog"]  # "skirt" is in two of the texts, but in no sentence
    assert [said[number] for number in rows[2][1:-1]] == ["<unknown>", "red", "red", "red", "bikes", *["<unknown>"] * 2]
    assert rows[1].tolist() == [START, said.index("a"), UNKNOWN, END]


def test_texts_describe_where_there_is_no_sentence() -> None:
    said, _, describes = sayings(["a skirt", "a red skirt"], RerankRecipe())
    assert describes.all()
    assert said[len(SPECIAL) :] == ["a", "skirt", "red"]


def test_nearest_photos_are_of_other_captions_while_there_are_some() -> None:
    rng = np.random.default_rng(0)
    photos = rng.standard_normal((12, 8)).astype(np.float32)
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    alike = np.arange(12)
    alike[:6] = 0
    found = nearest(photos, photos, 6, alike)
    assert all(set(row) == {6, 7, 8, 9, 10, 11} for row in found[:6].tolist())
    others = photos @ photos.T
    np.fill_diagonal(others, -np.inf)
    assert [set(row) for row in found[6:].tolist()] == [set(np.argsort(-row)[:6].tolist()) for row in others[6:]]
    assert all(
        len(set(row)) == 11 and at not in row for at, row in enumerate(nearest(photos, photos, 50, alike).tolist())
    )


def test_model_without_region_tokens(tmp_path_factory: pytest.TempPathFactory) -> None:
    encoder = OnnxEncoder(model_without_regions(tmp_path_factory.mktemp("model") / "plain"))
    with pytest.raises(ModelError, match="gives no region tokens, which a reranker needs"):
        RegionTrainee(encoder)
