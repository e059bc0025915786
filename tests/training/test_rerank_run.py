"""From captioned photos and questions to what a reranker learns from and is judged by, against plain arithmetic."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from drawn import COLOURS, SHAPES, draw, write_captions
from PIL import Image

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.language import hard_negatives
from mmsearch.media.decode import decode
from mmsearch.rerank.fusion_rules import combine
from mmsearch.rerank.model import RerankModel
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.rerank.vocabulary import END, START, UNKNOWN
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.common.pairs import Pairs, read, split
from mmsearch.training.reranker import judging, run
from mmsearch.training.reranker import questions as question_rules
from mmsearch.training.reranker.answers import fit_yes
from mmsearch.training.reranker.data import EvalData, TrainData, encode_lines
from mmsearch.training.reranker.preparation import Sources, WrittenQuestions, prepare
from mmsearch.training.reranker.recipe import RerankRecipe
from mmsearch.training.reranker.trainer import configured

RECIPE = RerankRecipe(views=2, near=3, answers=20, caption_words=10, width=32, blocks=1)


class Prepared(NamedTuple):
    train: Pairs  # without the damaged photo
    dev: Pairs
    written: WrittenQuestions
    data: TrainData
    judged: EvalData
    answers: list[str]
    said: list[str]
    phases: set[str]


@pytest.fixture(scope="module")
def words() -> WordEncoder:
    return WordEncoder(EMBEDDED, SHIPPED / "words.onnx")


@pytest.fixture(scope="module")
def prepared(encoder: OnnxEncoder, words: WordEncoder, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """20 photos to learn from, one of them damaged, 4 to judge by, and 11 with written questions, one damaged."""
    folder = tmp_path_factory.mktemp("drawn")
    images = draw(folder / "images")
    train, dev = split(read(write_captions(folder / "pairs.tsv"), images), 0.17)
    (images / train.names[3]).write_bytes(b"no picture")
    (folder / "given").mkdir()
    rows = []
    for number in range(11):
        Image.new("RGB", (64, 64), (20 * number, 0, 0)).save(folder / "given" / f"{number:02}.png")
        rows += [(f"{number:02}.png", "what is on the table?", "books, cup"), (f"{number:02}.png", "how many?", "Two")]
    learned, _ = question_rules.split(rows, 0.1, RECIPE.seed)
    (folder / "given" / learned[0][0]).write_bytes(b"no picture")
    (folder / "cache").mkdir()
    phases: set[str] = set()
    written = WrittenQuestions(folder / "given", rows)
    data, judged, (answers, said) = prepare(
        encoder, words, Sources(train, dev, written), RECIPE, folder / "cache", lambda step: phases.add(step.phase)
    )
    kept = train.keep(row for row in range(len(train)) if row != 3)
    return Prepared(kept, dev, written, data, judged, answers, said, phases)


def texts(pairs: Pairs) -> list[str]:
    return [text for own in pairs.texts for text in own]


def owners(pairs: Pairs) -> list[int]:
    return [photo for photo, own in enumerate(pairs.texts) for _ in own]


def ids(words: WordEncoder, text: str) -> list[int]:
    found: list[int] = words.tokenize([text])[0].tolist()
    return found


def pictures(encoder: OnnxEncoder, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and region tokens of photos as they are."""
    pixels = []
    for name in pairs.names:
        with (pairs.folder / name).open("rb") as file:
            pixels.append(decode(file, name, encoder.card.preprocess).pixels)
    vectors, regions = encoder.encode_pictures(np.stack(pixels))
    assert regions is not None
    return vectors, regions


def test_each_change_of_what_a_run_stands_on_is_seen(prepared: Prepared, encoder: OnnxEncoder, tmp_path: Path) -> None:
    train, dev, written = prepared.train, prepared.dev, prepared.written
    rows, photos = written.rows, shutil.copytree(written.folder, tmp_path / "given")
    before = run.stands_on(encoder, Sources(train, dev, written))
    assert (before["photos"]["count"], before["captions"]["count"], before["questions"]["count"]) == (19, 38, 22)

    def changed(*now: Any) -> set[str]:
        found = run.stands_on(encoder, Sources(*now))
        return {name for name, value in found.items() if value != before[name]}

    assert changed(train, dev, WrittenQuestions(photos, rows)) == set()  # elsewhere, but the same
    assert changed(train, dev.keep(range(3)), written) == {"dev_photos", "dev_captions"}
    other = replace(train, texts=(("a lake",), *train.texts[1:]))
    assert changed(other, dev, written) == {"captions"}
    assert changed(train, dev, None) == {"question_photos", "questions", "answers"}
    (name, question, _), *others = rows
    assert changed(train, dev, WrittenQuestions(photos, [(name, "where is it?", rows[0][2]), *others])) == {"questions"}
    assert changed(train, dev, WrittenQuestions(photos, [(name, question, "pens"), *others])) == {"answers"}
    Image.new("RGB", (64, 64), "white").save(photos / name)
    assert changed(train, dev, WrittenQuestions(photos, rows)) == {"question_photos"}


def test_captions_and_photos_are_in_their_places(prepared: Prepared, encoder: OnnxEncoder, words: WordEncoder) -> None:
    data, train = prepared.data, prepared.train
    assert len(train) == 19
    assert prepared.phases == {"photos", "views", "captions"}
    assert [own.tolist() for own in data.captions] == [[2 * photo, 2 * photo + 1] for photo in range(19)]
    assert [data.lines.ids[row].tolist() for row in range(38)] == [ids(words, text) for text in texts(train)]
    vectors, regions = pictures(encoder, train)
    found = data.photos.plain(np.arange(19)).numpy()
    assert len(data.photos) == 19 + 10  # those with questions come after
    assert data.photos.views == 2
    # A photo that is kept larger for crops and then made smaller is not the same to the last bit.
    cosines = (found * regions).sum(axis=2) / np.linalg.norm(found, axis=2) / np.linalg.norm(regions, axis=2)
    assert cosines.mean() > 0.98
    assert ((data.photos.vectors()[:19] @ vectors.T).argmax(axis=1) == np.arange(19)).all()


def test_false_captions_belong_to_their_captions(prepared: Prepared, words: WordEncoder) -> None:
    changed, own = prepared.data.changed, texts(prepared.train)
    wanted = dict(hard_negatives.build(own, RECIPE.seed))
    assert 0 < len(wanted) <= 38
    assert {row for row in range(38) if changed[row] >= 0} == set(wanted)
    for row, variant in wanted.items():
        assert variant.text != own[row]
        assert prepared.data.lines.ids[changed[row]].tolist() == ids(words, variant.text)


def test_hidden_words_are_the_classes_that_they_are(prepared: Prepared, words: WordEncoder) -> None:
    data, own = prepared.data, [ids(words, text) for text in texts(prepared.train)]
    classes = sorted({word for row in own for word in row})
    assert data.classes == len(classes)
    assert len(data.masked) == 38
    assert data.masked_photo.tolist() == owners(prepared.train)
    for row, (line, hidden) in enumerate(zip(data.masked, data.masked_words, strict=True)):
        seen = data.lines.ids[line].tolist()
        assert sum(place >= 0 for place in hidden) == max(1, round(RECIPE.masked_share * (len(own[row]) - 2)))
        told = [word if place < 0 else classes[place] for word, place in zip(seen, hidden.tolist(), strict=True)]
        assert told == own[row]
        assert all(word == words.mask_id for word, place in zip(seen, hidden, strict=True) if place >= 0)


def test_captions_in_the_caption_vocabulary(prepared: Prepared) -> None:
    said = prepared.said
    assert len(said) == 10
    assert said[4] == "a"  # the most frequent word comes first, of equals that which comes first in the alphabet
    assert said[5:] == sorted(["are", "dogs", "gray", "near", "on", "street", "there", "two"])[:5]
    for text, row in zip(texts(prepared.train), prepared.data.said, strict=True):
        wanted = [said.index(word) if word in said else UNKNOWN for word in text.split()]
        assert row.tolist() == [START, *wanted, END]


def test_questions_are_about_their_photos(prepared: Prepared, words: WordEncoder) -> None:
    data, answers = prepared.data, prepared.answers
    assert answers[:12] == ["yes", "no", *map(str, range(10))]
    assert {"book", "cup"} <= set(answers)  # the parts of a list; lists are no answers
    assert not any("," in answer for answer in answers)
    found = [
        (photo, tuple(data.lines.ids[line].tolist()), {answers[place] for place in right}, source)
        for photo, line, right, source in zip(
            data.question_photo, data.questions, data.answers, data.sources, strict=True
        )
    ]
    derived = question_rules.derive(prepared.train.texts, RECIPE.seed)
    wanted = [(one.photo, tuple(ids(words, one.question)), {one.answer}, 0) for one in derived if one.answer in answers]
    assert len(wanted) > 10
    learned, _ = question_rules.split(prepared.written.rows, 0.1, RECIPE.seed)
    names = sorted({name for name, _, _ in prepared.written.rows} - {learned[0][0]})
    for name, question, answer in learned:
        if name != learned[0][0]:
            right = {"book", "cup"} if answer == "books, cup" else {"2"}
            wanted.append((19 + names.index(name), tuple(ids(words, question)), right, 1))
    assert found == wanted


def test_near_photos_are_those_that_the_captions_find(prepared: Prepared, encoder: OnnxEncoder) -> None:
    vectors = prepared.data.photos.vectors()
    for photo, own in enumerate(prepared.train.texts):
        scores = encoder.encode_texts(list(own)).sum(axis=0) @ vectors[:19].T
        order = [other for other in np.argsort(-scores) if other != photo]
        kept = prepared.data.near[photo].tolist()
        assert len(set(kept)) == 3
        assert min(scores[kept]) >= scores[order[2]] - 1e-4
        assert photo not in kept


def test_dev_is_the_first_stage_with_background_correction(prepared: Prepared, encoder: OnnxEncoder) -> None:
    judged, dev = prepared.judged, prepared.dev
    assert len(dev) == 4
    vectors, _ = pictures(encoder, dev)
    bank = encoder.encode_texts(texts(prepared.train))
    for query, text in enumerate(texts(dev)):
        (asked,) = encoder.encode_texts([text])
        scores = [asked @ photo - 0.5 * np.mean(np.sort(bank @ photo)[-20:]) for photo in vectors]
        assert judged.first[query] == pytest.approx(sorted(scores, reverse=True), abs=3e-3)
        assert [scores[photo] for photo in judged.candidates[query]] == pytest.approx(
            sorted(scores, reverse=True), abs=3e-3
        )
        own = dict(hard_negatives.build(texts(dev), 0)).get(query)
        photo = vectors[owners(dev)[query]]
        assert judged.near[query, 0] == pytest.approx(asked @ photo, abs=3e-3)
        assert (judged.changed[query] >= 0) == (own is not None)
        if own is not None:
            assert judged.kinds[query] == own.kind
            assert judged.near[query, 1] == pytest.approx(encoder.encode_texts([own.text])[0] @ photo, abs=3e-3)
    assert judged.owner.tolist() == owners(dev)
    written = [row for row in range(len(judged.asked)) if judged.sources[row] == 1]
    names = sorted({name for name, _, _ in prepared.written.rows})
    _, wanted = question_rules.split(prepared.written.rows, 0.1, RECIPE.seed)
    assert [(judged.asked[row], judged.answers[row]) for row in written] == [
        (question, {"books, cup": "book, cup", "Two": "2"}[answer]) for _, question, answer in wanted
    ]
    assert {int(judged.question_photo[row]) for row in written} <= set(range(4, 4 + len(names) - 1))
    assert len(judged.tokens) == 4 + 10


def random_model(prepared: Prepared) -> RerankModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = configured(RECIPE, prepared.data.photos.dim, 7, 384, len(prepared.answers), 10)
        model = RerankModel(shape).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.1)
    return model


def test_yes_or_no_is_fitted_on_one_half_and_tried_on_the_other(prepared: Prepared, words: WordEncoder) -> None:
    model, answers = random_model(prepared), prepared.answers
    things = [f"a {colour} {shape}" for colour in COLOURS[:5] for shape in SHAPES[:2]]
    asked = [(photo, thing) for thing in things for photo in range(14)]
    with torch.no_grad():
        tokens = prepared.judged.tokens[[photo for photo, _ in asked]]
        lines = encode_lines(words, [*(f"is there {thing}?" for _, thing in asked), *(thing for _, thing in asked)])
        rows = np.arange(len(asked))
        _, logits, _ = model(*lines.batch(rows), tokens)
        match, _, _ = model(*lines.batch(rows + len(asked)), tokens)
    odds = (logits[:, answers.index("yes")] - logits[:, answers.index("no")]).numpy()
    right = match.numpy() + 0.3 * odds > np.median(match.numpy())  # so the match tells more than the head
    even = np.array([photo % 2 == 0 for photo, _ in asked])
    judged = replace(
        prepared.judged, lines=lines, questions=rows, things=rows + len(asked), sources=np.zeros(len(asked), np.int64),
        question_photo=np.array([photo for photo, _ in asked]), asked=[f"is there {thing}?" for _, thing in asked],
        answers=["yes" if one else "no" for one in right],
    )  # fmt: skip
    found = judging.yes_or_no(model, judged, answers)
    fit = fit_yes(odds[even], match.numpy()[even], right[even])
    head, fitted = (
        round(100 * float(np.mean((a * odds + b * match.numpy() + c > 0)[~even] == right[~even])), 2)
        for a, b, c in ((1, 0, 0), fit)
    )
    assert fitted > head
    assert found == {"fit": pytest.approx(fit, abs=1e-2), "head": head, "fitted": fitted, "questions": 70}
    one_answer = replace(judged, answers=["yes"] * len(asked), question_photo=2 * judged.question_photo)
    assert judging.yes_or_no(model, one_answer, answers)["fit"] == (1.0, 0.0, 0.0)  # no other half


def test_examined_model_has_figures_of_all_kinds(prepared: Prepared) -> None:
    judged, model = prepared.judged, random_model(prepared)
    figures = judging.examine(model, judged, prepared.answers)
    assert (figures["candidates"], figures["queries"]) == (4, 8)
    right = {0: 0, 1: 0}
    for row, (line, photo) in enumerate(zip(judged.questions, judged.question_photo, strict=True)):
        states, mask = judged.lines.batch(np.array([line]))
        with torch.no_grad():
            _, logits, _ = model(states, mask, judged.tokens[[photo]])
        right[int(judged.sources[row])] += prepared.answers[int(logits[0].argmax())] == judged.answers[row]
    asked = {source: int((judged.sources == source).sum()) for source in (0, 1)}
    wanted = {name: round(100 * right[s] / asked[s], 2) for s, name in ((0, "captions"), (1, "given")) if asked[s]}
    assert figures["answers"] == wanted
    assert figures["yes"] == {"fit": (1.0, 0.0, 0.0), "head": 0.0, "fitted": 0.0, "questions": 0}  # too few were asked
    look = judging.few(judged, RECIPE, prepared.answers)(model)
    rows = [judged.candidates[q].tolist().index(judged.owner[q]) for q in range(8)]
    assert look["first"] == 100 * sum(row == 0 for row in rows) / 8
    assert look["match"] == figures["rules"]["match"]["all"][0]
    assert look["changed"] == figures["changed"]["all"]["reranker"]
    assert look["merit"] == max(value["all"][0] for name, value in figures["rules"].items() if "weighted" in name)


@pytest.mark.parametrize("rule", ["match", "sum", "weighted", "ranks"])
def test_ranks_and_recalls_are_those_of_plain_sorting(rule: str) -> None:
    rng = np.random.default_rng(0)
    first, match = rng.standard_normal((2, 40, 12)).astype(np.float32)
    match[:5] = first[:5] = 1.0  # ties count against the right one
    right = np.arange(12)[None, :] == rng.integers(0, 15, 40)[:, None]  # some are not among the candidates
    found = judging.ranked(first, match, right, rule, 0.3)
    wanted = []
    for query in range(40):
        if not right[query].any():
            wanted.append(13)
            continue
        scores = combine(first[query], match[query], rule, 0.3).tolist()  # type: ignore[arg-type]
        own = scores[right[query].tolist().index(True)]
        others = sorted(scores, reverse=True)
        wanted.append(max(place for place, score in enumerate(others, 1) if score == own))
    assert found.tolist() == wanted
    assert 13 in wanted
    percent = tuple(round(100 * sum(rank <= k for rank in wanted) / 40, 2) for k in (1, 5, 10))
    assert judging.recall(first, match, right, rule, 0.3) == percent
    assert judging.recall(first[:0], match[:0], right[:0], rule, 0.3) == (0.0, 0.0, 0.0)


def test_rule_is_chosen_on_one_half_and_judged_on_the_other() -> None:
    first = np.tile(np.array([0.30, 0.295, 0.25, 0.25], np.float32), (8, 1))
    match = np.tile(np.array([0, 1, 3, -40], np.float32), (8, 1))  # only small weights bring the second one ahead
    half = np.arange(8) < 4
    second = np.tile(np.array([False, True, False, False]), (8, 1))
    rule, table = judging.choose(first, match, second, half)
    assert rule == {"rule": "weighted", "weight": 0.006, "helps": True}
    assert table["weighted 0.0"] == {"all": (0.0, 100.0, 100.0), "half": 0.0, "other": 0.0}
    assert table["weighted 0.006"] == {"all": (100.0, 100.0, 100.0), "half": 100.0, "other": 100.0}
    assert table["match"]["half"] == 0.0
    elsewhere = second.copy()
    elsewhere[~half] = [True, False, False, False]  # the other half is better off without
    rule, table = judging.choose(first, match, elsewhere, half)
    assert rule == {"rule": "weighted", "weight": 0.006, "helps": False}
    assert (table["weighted 0.0"]["other"], table["weighted 0.006"]["other"]) == (100.0, 0.0)
    rule, _ = judging.choose(first, match, second, np.ones(8, bool))  # dev is a single photo
    assert not rule["helps"]
