"""A close look at one photo, against the reranker asked directly."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import SAMPLES

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ImageError, ModelError, NoModelError, QueryError
from mmsearch.library.opening import open_library
from mmsearch.media.decode import prepare
from mmsearch.rerank import heat
from mmsearch.rerank.inspect import Looker
from mmsearch.rerank.reranker import Reranker
from mmsearch.types import Regions


def tokens(encoder: OnnxEncoder, file: Path) -> Regions:
    with Image.open(file) as image:
        found = encoder.encode_pictures(prepare(image.convert("RGB"), encoder.card.preprocess)[None])[1]
    assert found is not None
    return found


@pytest.fixture
def looker(region_encoder: OnnxEncoder, small_reranker: Path) -> Looker:
    return Looker(region_encoder, Reranker(small_reranker, region_encoder))


def test_captions_and_answers_are_those_of_the_reranker(looker: Looker, region_encoder: OnnxEncoder) -> None:
    cat = tokens(region_encoder, SAMPLES / "chelsea.png")
    path = str(SAMPLES / "chelsea.png")
    assert looker.caption(path) == looker.reranker.caption(cat)[0]
    three = looker.caption(path, alternatives=2)
    assert three == looker.reranker.caption(cat, alternatives=3)[0]
    assert len(three) == 3
    answers = looker.ask(path, "what is it?", k=2)
    assert answers == looker.reranker.answer("what is it?", cat, 2)[0]
    assert [answer.confidence for answer in answers] == sorted((a.confidence for a in answers), reverse=True)


@pytest.mark.parametrize(
    ("question", "possible"),
    [
        ("is there a cat?", {"yes", "no"}),
        ("How many cats are there", {"0", "1", "2"}),
        ("what colour is the cat?", {"red", "blue", "cat", "dog"}),
        ("cat", {"yes", "no", "0", "1", "2", "red", "blue", "cat", "dog"}),  # no question
    ],
)
def test_answers_are_of_the_kind_that_the_question_asks_for(looker: Looker, question: str, possible: set[str]) -> None:
    path = str(SAMPLES / "chelsea.png")
    answers = looker.ask(path, question, k=100)
    assert {answer.text for answer in answers} == possible
    assert len(answers) == len(possible)
    assert looker.ask(path, question, k=1) == answers[:1]
    look = looker.reranker.look(question, looker.tokens(path))
    shares = dict(zip(looker.reranker.card.answers, look.answers[0].tolist(), strict=True))
    # "yes" or "no" is told among these two, others among all answers.
    whole = shares["yes"] + shares["no"] if possible == {"yes", "no"} else 1.0
    assert [answer.confidence for answer in answers] == pytest.approx(
        [shares[answer.text] / whole for answer in answers], abs=2e-4
    )


def test_an_explanation_has_the_heat_of_each_word(looker: Looker, region_encoder: OnnxEncoder) -> None:
    path = str(SAMPLES / "chelsea.png")
    found = looker.explain(path, "A cat on grass.")
    look = looker.reranker.look("A cat on grass.", tokens(region_encoder, SAMPLES / "chelsea.png"))
    assert (found.photo, found.text, found.score) == (path, "A cat on grass.", round(float(look.match[0]), 4))
    assert found.by == "match"
    assert [word.word for word in found.words] == ["cat", "grass"]
    assert all(
        (word.heat.shape, word.heat.min() >= 0, word.heat.max() <= 1) == ((7, 7), True, True) for word in found.words
    )
    assert found.overall.max() == max(word.heat.max() for word in found.words) == 1
    assert [word.word for word in looker.explain(path, "on a").words] == ["on", "a"]  # nothing else to look for

    found = looker.explain(path, "A cat on grass.", by="attention")
    words = heat.attention_heat(look.words, look.attention[0])
    for mine, wanted in zip(found.words, words, strict=True):
        assert mine.word == wanted.word
        np.testing.assert_array_equal(mine.heat, wanted.heat)
    np.testing.assert_array_equal(found.overall, heat.overall([words[1], words[3]]))


def test_a_word_is_found_where_a_place_is_worth_most(looker: Looker) -> None:
    """By hand, a photo at a time: what is lost when a place is hidden, and gained when only it is shown."""
    path = str(SAMPLES / "chelsea.png")
    regions = looker.tokens(path)
    blank = np.repeat(regions.mean(axis=1, keepdims=True), 49, axis=1)

    def match(text: str, photo: Regions) -> float:
        return float(looker.reranker.look(text, photo).match[0])

    def worth(text: str, row: int, column: int) -> float:
        near = [(y, x) for y in range(7) for x in range(7) if abs(y - row) <= 1 and abs(x - column) <= 1]
        place = [7 * y + x for y, x in near]
        without, alone = regions.copy(), blank.copy()
        without[0, place], alone[0, place] = blank[0, place], regions[0, place]
        lost = match(text, regions) - match(text, without)
        return max(lost + match(text, alone) - match(text, blank), 0)

    found = looker.explain(path, "a cat on grass")
    by_hand = {"cat": "a cat on", "grass": "on grass"}
    texts = {
        **{word.word: (by_hand[word.word], word.heat) for word in found.words},
        "": ("a cat on grass", found.overall),
    }
    for text, heat_of in texts.values():
        own = np.array([worth(text, row, column) for row in range(7) for column in range(7)]).reshape(7, 7)
        assert own.max() > 0
        np.testing.assert_allclose(heat_of / heat_of.max(), own / own.max(), atol=1e-3)


def test_the_picture_has_a_panel_for_each_word(looker: Looker) -> None:
    path = str(SAMPLES / "chelsea.png")
    with Image.open(path) as photo:
        height = round(photo.height * heat.PANEL / photo.width)
    sheet = looker.draw(looker.explain(path, "a cat on grass"))
    assert sheet.size == (12 + 3 * (heat.PANEL + 12), 12 + height + 22 + 2 * 12)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("bad.jpg", "not a picture"), ("nothing.jpg", "No such file"), (".", "Is a directory"), ("cut.jpg", "truncated")],
)
def test_photos_that_cannot_be_read(looker: Looker, tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "cut.jpg").write_bytes((SAMPLES / "rocket.jpg").read_bytes()[:20_000])
    path = str(tmp_path / name)
    for look in (lambda: looker.caption(path), lambda: looker.ask(path, "what?"), lambda: looker.explain(path, "cat")):
        with pytest.raises(ImageError, match=reason):
            look()


def test_a_text_without_words_is_refused(looker: Looker) -> None:
    path = str(SAMPLES / "chelsea.png")
    with pytest.raises(QueryError, match="no words"):
        looker.explain(path, " ?! ")
    with pytest.raises(QueryError, match="empty"):
        looker.ask(path, " ")


def test_a_photo_whose_file_is_gone_is_known_by_its_tokens(
    settings: Settings, region_encoder: OnnxEncoder, small_reranker: Path, photos: Path
) -> None:
    settings = replace(settings, reranker=str(small_reranker))
    with open_library(settings.library, settings=settings, encoder=region_encoder) as library:
        library.index(photos)
        cat, copy = photos / "cat.png", photos / "trips" / "copy.png"
        before = library.explain(cat, "a cat")
        stored = library.store.model()
        assert stored is not None
        assert region_encoder.card.regions is not None
        shutil.move(cat, photos.parent / "away.png")
        ids = library.store.searchable(stored)
        names = {number: found[0].path for number, found in library.store.photos(ids.tolist()).items()}
        own = np.array([number for number, path in names.items() if path == str(cat)])
        small = library.store.regions(own, stored, region_encoder.card.regions)[0]
        assert library.caption(cat) == library.reranker().caption(small)[0]
        library.index()  # now it is known to be missing
        assert library.ask(cat, "what is it?") == library.reranker().answer("what is it?", small)[0]
        after = library.explain(cat, "a cat")
        np.testing.assert_allclose(after.score, before.score, atol=0.2)  # int8 tokens
        assert after.score == round(float(library.reranker().look("a cat", small).match[0]), 4)
        with pytest.raises(ImageError, match=r"nothing can be drawn over it"):
            library.looker().draw(after)
        with pytest.raises(ImageError, match="No such file"):
            library.caption(copy)


def test_without_a_reranker_it_is_said_what_to_do(
    settings: Settings, region_encoder: OnnxEncoder, photos: Path
) -> None:
    settings = replace(settings, reranker="none")  # else the embedded model's reads its own tokens
    with open_library(settings.library, settings=settings, encoder=region_encoder) as library:
        with pytest.raises(NoModelError, match="is empty"):
            library.caption(photos / "cat.png")
        with pytest.raises(ModelError, match="the setting reranker is none"):
            library.index(photos, captions=True)
        assert library.status().photos == 0  # said before any work
        library.index(photos)
        with pytest.raises(ModelError, match="the setting reranker is none"):
            library.ask(photos / "cat.png", "what is it?")
