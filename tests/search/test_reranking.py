"""A reranked search, against the first stage and the reranker asked one after the other."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scores import score as score_of

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError
from mmsearch.library.library import Library
from mmsearch.library.models import Models
from mmsearch.library.opening import open_library
from mmsearch.rerank.card import RerankCard
from mmsearch.rerank.reranker import Reranker
from mmsearch.search.reranking import ANSWER_WEIGHT
from mmsearch.types import Hit

Scores = NDArray[np.float32]


@pytest.fixture(scope="module")
def reranker(small_reranker: Path) -> Reranker:
    return Reranker(small_reranker)


@pytest.fixture
def settings(settings: Settings, small_reranker: Path) -> Settings:
    return replace(settings, reranker=str(small_reranker))


@pytest.fixture
def library(settings: Settings, region_encoder: OnnxEncoder, photos: Path) -> Iterator[Library]:
    with open_library(settings.library, settings=settings, encoder=region_encoder) as opened:
        opened.index(photos)
        yield opened


@dataclass
class Parts:
    """What both stages say of all photos of a library."""

    library: Library
    encoder: OnnxEncoder
    reranker: Reranker

    def __post_init__(self) -> None:
        stored, card = self.library.store.model(), self.encoder.card.regions
        assert stored is not None
        assert card is not None
        ids = self.library.store.searchable(stored)
        names = self.library.store.photos(ids.tolist())
        self.paths = [names[number][0].path for number in ids.tolist()]
        self.vectors = self.library.store.vectors(ids, stored.dim)
        self.tokens, self.there = self.library.store.regions(ids, stored, card)

    def first(self, *terms: str | Path) -> Scores:
        """What the first stage alone says, which ``test_search.py`` checks."""
        scores = {hit.path: score_of(hit) for hit in self.library.search(list(terms), len(self.paths), rerank=False)}
        return np.array([scores.get(path, -9) for path in self.paths], np.float32)

    def cosines(self, text: str) -> Scores:
        found: Scores = self.vectors @ self.encoder.encode_texts([text])[0]
        return found

    def match(self, text: str) -> Scores:
        return self.reranker.look(text, self.tokens).match

    def shares(self, question: str) -> list[dict[str, float]]:
        rows = self.reranker.look(question, self.tokens).answers.tolist()
        return [dict(zip(self.reranker.card.answers, row, strict=True)) for row in rows]

    def assert_hits(self, hits: Sequence[Hit], final: NDArray[Any], text: str) -> None:
        """That hits are ranked by ``final``, and tell the cosines of ``text``."""
        order = np.argsort(-final)
        assert [hit.path for hit in hits] == [self.paths[place] for place in order]
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        np.testing.assert_allclose([score_of(hit) for hit in hits], final[order], atol=2e-3)
        cosines = np.array([hit.first_stage for hit in hits], float)
        np.testing.assert_allclose(cosines, self.cosines(text)[order], atol=2e-4)


@pytest.fixture
def parts(library: Library, region_encoder: OnnxEncoder, reranker: Reranker) -> Parts:
    return Parts(library, region_encoder, reranker)


def changed(library: Library, **settings: Any) -> None:
    """From now on the library has these settings."""
    library.settings = replace(library.settings, **settings)
    library.models = Models(library.store, library.folder, library.settings, library.models.override)


def with_card(folder: Path, place: Path, **facts: object) -> str:
    """A reranker's folder with other facts in its card."""
    shutil.copytree(folder, place)
    card = replace(RerankCard.read(folder), **facts)  # type: ignore[arg-type]
    (place / "reranker.json").write_text(card.to_json(), "utf-8")
    return str(place)


def standard(values: Scores) -> Scores:
    scaled: Scores = (values - values.mean()) / values.std()
    return scaled


def ranks(values: Scores) -> NDArray[np.int64]:
    return np.array([1 + int((values > value).sum()) for value in values])


@pytest.mark.parametrize("rule", ["weighted", "match", "sum", "ranks"])
def test_both_stages_make_the_order(parts: Parts, small_reranker: Path, tmp_path: Path, rule: str) -> None:
    library = parts.library
    folder = with_card(small_reranker, tmp_path / rule, rule=rule, weight=0.05)
    changed(library, reranker=folder)
    first, match = parts.first("a dog that runs"), parts.match("a dog that runs")
    final = {
        "weighted": first + 0.05 * match,
        "match": match,
        "sum": standard(first) + standard(match),
        "ranks": 1 / (60 + ranks(first)) + 1 / (60 + ranks(match)),
    }[rule]
    assert np.diff(np.sort(first)).min() > 1e-3  # no ties
    hits = library.search("a dog that runs")
    parts.assert_hits(hits, final, "a dog that runs")
    assert {(hit.answer, hit.answer_confidence) for hit in hits} == {(None, None)}  # nothing was asked
    assert [hit.path for hit in hits] != [hit.path for hit in library.search("a dog that runs", rerank=False)]


@pytest.mark.parametrize("weight", [0.01, 5, -5])  # scores near cosines, and far above or below them
def test_pictures_beyond_the_candidates_follow_as_they_were(
    parts: Parts, small_reranker: Path, tmp_path: Path, weight: float
) -> None:
    library = parts.library
    folder = with_card(small_reranker, tmp_path / "copy", weight=weight)
    changed(library, reranker=folder, rerank_candidates=3)
    first, match = parts.first("a rocket"), parts.match("a rocket")
    order = np.argsort(-first)
    final = first + weight * match
    best, rest = sorted(order[:3], key=lambda place: -final[place]), order[3:]
    hits = library.search("a rocket")
    assert [hit.path for hit in hits] == [parts.paths[place] for place in [*best, *rest]]
    assert [hit.first_stage is None for hit in hits] == [False, False, False, True, True]
    below = final[best[-1]] - (first[order[2]] - first[rest])  # as far below the last one as they were
    wanted = [*final[best], *below]
    assert wanted == sorted(wanted, reverse=True)
    np.testing.assert_allclose([score_of(hit) for hit in hits], wanted, atol=2e-3 * max(1, abs(weight)))
    assert library.search("a rocket", k=2) == hits[:2]  # k changes nothing but how many there are
    assert library.search("a rocket", k=4) == hits[:4]


def test_a_reranker_that_helps_is_used_unless_told_not_to(parts: Parts, small_reranker: Path, tmp_path: Path) -> None:
    library = parts.library
    helping, not_helping = library.settings, with_card(small_reranker, tmp_path / "copy", helps=False)
    plain = library.search("a cat", rerank=False)
    assert {hit.first_stage for hit in plain} == {None}
    reranked = library.search("a cat", rerank=True)
    assert None not in {hit.first_stage for hit in reranked}
    assert library.search("a cat") == reranked
    library.settings = replace(helping, reranker=not_helping)
    with open_library(library.folder, settings=library.settings, encoder=parts.encoder) as other:
        assert other.search("a cat") == plain
        assert other.search("a cat", rerank=True) == reranked
    with open_library(library.folder, settings=replace(helping, reranker="none"), encoder=parts.encoder) as other:
        assert other.search("a cat") == plain
        with pytest.raises(ModelError, match="the setting reranker is none"):
            other.search("a cat", rerank=True)
    with open_library(library.folder, settings=replace(helping, reranker="auto"), encoder=parts.encoder) as other:
        assert other.search("a cat") == plain  # the one that ships reads other tokens, which the library lacks so far
        assert other.search("a cat", rerank=True).notes == ("nothing was reranked: no region tokens are stored",)


def test_a_single_word_is_looked_at_again_only_where_somebody_asks_for_it(parts: Parts, small_reranker: Path) -> None:
    library = parts.library
    assert library.search("cat") == library.search("cat", rerank=False)
    assert None not in {hit.first_stage for hit in library.search("cat", rerank=True)}
    for text in ("orange cat", "cat?"):  # two words; a question
        assert None not in {hit.first_stage for hit in library.search(text)}


def test_fewer_candidates_are_looked_at_where_nobody_asks_for_it(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are looked for in all of them, and so is what somebody asked for; a smaller setting holds always."""
    library = parts.library
    monkeypatch.setattr("mmsearch.search.reranking.FEW", 2)

    def looked_at(text: str, rerank: bool | None = None) -> int:
        return sum(hit.first_stage is not None for hit in library.search(text, rerank=rerank))

    assert looked_at("an orange cat") == 2
    assert looked_at("an orange cat", rerank=True) == len(parts.paths)
    assert looked_at("is there a cat?") == len(parts.paths)
    changed(library, rerank_candidates=1)
    assert looked_at("an orange cat") == 1
    assert looked_at("an orange cat", rerank=True) == 1


def test_pictures_alone_are_not_reranked(parts: Parts, photos: Path) -> None:
    library = parts.library
    assert library.search(photos / "cat.png", rerank=True) == library.search(photos / "cat.png", rerank=False)


def test_words_beside_a_picture_are_matched(parts: Parts, photos: Path) -> None:
    cat = parts.paths.index(str(photos / "cat.png"))
    final = parts.first(photos / "cat.png", "at night") + 0.01 * parts.match("at night")
    hits = parts.library.search([photos / "cat.png", "at night"])
    others = [place for place in np.argsort(-final) if place != cat]
    assert [hit.path for hit in hits] == [parts.paths[place] for place in others]
    np.testing.assert_allclose([score_of(hit) for hit in hits], final[others], atol=2e-3)


def test_several_texts_are_matched_on_average(parts: Parts) -> None:
    texts = ["a red rocket", "grass and trees"]
    final = parts.first(*texts) + 0.01 * np.mean([parts.match(text) for text in texts], axis=0)
    parts.assert_hits(parts.library.search(texts), final, "a red rocket and grass and trees")


@pytest.mark.parametrize(
    ("question", "thing"), [("Is there a cat?", "a cat"), ("is someone wearing a red hat", "someone wearing a red hat")]
)
def test_photos_answered_yes_come_first_and_it_is_said(
    parts: Parts, small_reranker: Path, tmp_path: Path, question: str, thing: str
) -> None:
    library, first, match = parts.library, parts.first(thing), parts.match(thing)
    odds = np.array([np.log(row["yes"] / row["no"]) for row in parts.shares(question)], np.float32)
    scores = first + 0.01 * (match + ANSWER_WEIGHT * odds)
    assert np.ptp(odds) > 0.1
    told = 0.5 * odds - match  # nearly the other way round than scores
    between = float(np.median(told)) + 0.01  # two photos are answered yes, and three no
    folder = with_card(small_reranker, tmp_path / "copy", yes=(0.5, -1.0, -between))
    changed(library, reranker=folder)
    sure = 1 / (1 + np.exp(between - told))
    yes = sure > 0.5
    assert yes.sum() == 2
    assert np.argsort(-scores)[:2].tolist() != np.argsort(-np.where(yes, scores, -9))[:2].tolist()
    hits = library.search(question)
    lowered = scores - (scores[~yes].max() - scores[yes].min())  # the best of them as far down as the worst yes
    parts.assert_hits(hits, np.where(yes, scores + 1e-5, lowered), thing)
    for hit in hits:
        place = parts.paths.index(hit.path)
        assert hit.answer == ("yes" if yes[place] else "no")
        assert hit.answer_confidence == pytest.approx(max(sure[place], 1 - sure[place]), abs=2e-3)


def test_where_all_are_answered_alike_scores_stay(parts: Parts, small_reranker: Path, tmp_path: Path) -> None:
    first = parts.first("a cat")
    odds = np.array([np.log(row["yes"] / row["no"]) for row in parts.shares("is there a cat?")], np.float32)
    for answer, constant in (("yes", 99), ("no", -99)):
        folder = with_card(small_reranker, tmp_path / answer, yes=(1, 0, constant))
        changed(parts.library, reranker=folder)
        hits = parts.library.search("is there a cat?")
        parts.assert_hits(hits, first + 0.01 * (parts.match("a cat") + ANSWER_WEIGHT * odds), "a cat")
        assert {(hit.answer, hit.answer_confidence) for hit in hits} == {(answer, 1.0)}


@pytest.mark.parametrize(
    ("question", "thing", "possible"),
    [
        ("how many dogs are there?", "dogs", ("0", "1", "2")),
        ("what color is the car?", "car", ("red", "blue", "cat", "dog")),
    ],
)
def test_other_questions_find_their_thing_and_are_answered(
    parts: Parts, question: str, thing: str, possible: tuple[str, ...]
) -> None:
    first, shares = parts.first(thing), parts.shares(question)
    hits = parts.library.search(question)
    parts.assert_hits(hits, first + 0.01 * parts.match(thing), thing)
    for hit in hits:
        row = shares[parts.paths.index(hit.path)]
        assert hit.answer == max(possible, key=lambda name: row[name])
        assert hit.answer_confidence == pytest.approx(row[hit.answer], abs=2e-3)


def test_the_first_stage_alone_looks_for_the_thing_of_a_question(parts: Parts) -> None:
    hits = parts.library.search("is there a cat?", rerank=False)
    assert hits == parts.library.search("a cat", rerank=False)
    assert {hit.answer for hit in hits} == {None}


def forget_tokens(library: Library, path: str | None = None) -> None:
    """As if pictures (of one path, or all) had been indexed before there were region tokens."""
    connection = sqlite3.connect(library.folder / "library.sqlite")
    of_path = "WHERE item_id IN (SELECT items.id FROM items JOIN photos USING (content_id) WHERE path = ?)"
    where = "" if path is None else of_path
    gone = connection.execute(f"DELETE FROM regions {where}", [] if path is None else [path.encode()]).rowcount
    connection.commit()
    connection.close()
    assert gone == (5 if path is None else 1)


def test_photos_without_tokens_are_judged_as_the_average_one(parts: Parts, photos: Path) -> None:
    library, lacking = parts.library, parts.paths.index(str(photos / "grass.png"))
    forget_tokens(library, parts.paths[lacking])
    first, match = parts.first("a cat"), parts.match("a cat")
    match[lacking] = np.delete(match, lacking).mean()
    parts.assert_hits(library.search("a cat"), first + 0.01 * match, "a cat")
    answers = {hit.path: hit.answer for hit in library.search("is there a cat?")}
    assert [path for path, answer in answers.items() if answer is None] == [parts.paths[lacking]]
    assert len(answers) == 5


def test_a_query_without_words_is_not_reranked_and_it_is_said(parts: Parts, photos: Path) -> None:
    unasked, asked = (parts.library.search(photos / "cat.png", rerank=rerank) for rerank in (None, True))
    assert (unasked, unasked.notes) == (asked, ())
    assert [(note.code, note) for note in asked.notes] == [
        ("nothing-to-rerank", "nothing was reranked: the query has no words")
    ]


def test_without_any_tokens_the_first_stage_stays_and_it_is_said(parts: Parts) -> None:
    library = parts.library
    forget_tokens(library)
    plain = library.search("a cat", rerank=False)
    unasked, asked = library.search("a cat"), library.search("a cat", rerank=True)
    assert (unasked, asked) == (plain, plain)
    assert (unasked.notes, asked.notes) == ((), ("nothing was reranked: no region tokens are stored",))
    assert asked.notes[0].code == "no-region-tokens"
    library.index()
    assert None not in {hit.first_stage for hit in library.search("a cat")}


def test_photos_need_not_be_there(parts: Parts, photos: Path, tmp_path: Path) -> None:
    before = {text: parts.library.search(text) for text in ("a cat", "what color is the cat?")}
    photos.rename(tmp_path / "unplugged")
    with open_library(parts.library.folder, settings=parts.library.settings, encoder=parts.encoder) as library:
        assert {text: library.search(text) for text in before} == before


def test_copies_and_folders(parts: Parts, photos: Path) -> None:
    library = parts.library
    shutil.copy(photos / "trips" / "rocket.jpg", photos / "copy.jpg")
    library.index()
    hits = {hit.path: hit for hit in library.search("is there a rocket?")}
    one, other = hits[str(photos / "copy.jpg")], hits[str(photos / "trips" / "rocket.jpg")]
    assert len(hits) == 6
    assert one.answer is not None
    assert (one.score, one.first_stage, one.answer, one.answer_confidence) == (
        other.score, other.first_stage, other.answer, other.answer_confidence,
    )  # fmt: skip
    inside = library.search("a rocket", within=photos / "trips")
    assert {hit.path for hit in inside} == {str(photos / "trips" / name) for name in ("rocket.jpg", "motorcycle.png")}
    assert None not in {hit.first_stage for hit in inside}


def test_an_empty_result_is_no_failure(settings: Settings, region_encoder: OnnxEncoder, photos: Path) -> None:
    with open_library(settings.library, settings=settings, encoder=region_encoder) as library:
        library.index(photos)
        library.remove(photos)
        assert library.search("is there a cat?", rerank=True) == []


def test_a_score_is_no_cosine_and_the_first_stage_is(library: Library, photos: Path) -> None:
    for number in range(40):  # so that a word in one of the names is rare
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"noise{number}.png")
    library.index(photos)
    best = library.search("cameraman", rerank=True)[0]
    assert best.reasons == ("name: cameraman",)
    assert best.first_stage is not None
    assert -1 <= best.first_stage <= 1 < score_of(best)
