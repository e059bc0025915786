"""Questions that captions answer, DAQUAR's file, and answers: against examples worked out by hand."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmsearch.errors import SourceError
from mmsearch.language.nouns import find
from mmsearch.language.questions import parse
from mmsearch.training.reranker.answers import ALWAYS, Prior, fit_yes, normalize, question_type, vocabulary
from mmsearch.training.reranker.questions import Search, derive, read_daquar, searches, split


def _about(captions: list[str]) -> dict[str, str]:
    """The questions about one photo, but those that ask whether something is there."""
    return {one.question: one.answer for one in derive([captions])}


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (["a man in a red shirt"], {"what color is the shirt?": "red"}),
        (["two red balls", "2 balls"], {"what color are the balls?": "red"}),
        (["a black and white dog", "a white and black dog"], {"what color is the dog?": "black and white"}),
        (["a red hat", "a blue hat"], {}),  # which of them?
        (["a red car door"], {}),  # the door, or the car?
        (["a golden retriever"], {}),
        (["a blond boy in grey"], {}),
        (["a man rides a horse ."], {"what is the man riding?": "horse"}),
        (["two women are holding umbrellas"], {"what are the women holding?": "umbrella"}),
        (["a man eats a plate of corn"], {}),
        (["a man holding a bag", "a man holds a cup"], {}),  # not the same man, or not all that he holds
        (["a dog stands on a beach"], {"where is the dog?": "beach", "what is the dog doing?": "standing"}),
        (["the dogs are in a field"], {"where are the dogs?": "field"}),
        (["a dog in a red coat"], {"what color is the coat?": "red"}),
    ],
)
def test_what_and_where(captions: list[str], expected: dict[str, str]) -> None:
    found = _about(captions)
    assert {question: found[question] for question in found if re.match("wh", question)} == expected


def _counts(captions: list[list[str]]) -> set[tuple[int, str, str]]:
    found = derive(captions)
    return {(one.photo, one.question, one.answer) for one in found if one.question.startswith("how many")}


def test_how_many() -> None:
    assert _counts([["three dogs run", "some dogs"], ["a cat sleeps", "the cat"]]) == {
        (0, "how many dogs are there?", "3"),
        (1, "how many cats are there?", "1"),
    }
    assert _counts([["three dogs", "two dogs"]]) == set()  # they do not agree
    assert _counts([["two dogs chase two dogs"]]) == set()  # four?
    assert _counts([["two dogs", "a dog"]]) == set()  # the captions speak of different things
    assert _counts([["two dogs"], ["a cat", "an animal", "it"]]) == {(0, "how many dogs are there?", "2")}
    assert _counts([["two people swim in the water"]]) == set()  # not "how many peoples"


def test_ones_are_no_more_than_other_numbers() -> None:
    found = _counts([["a cat"]] * 9 + [["two dogs"]] * 3)
    assert Counter(answer for _, _, answer in found) == {"1": 3, "2": 3}


def test_what_somebody_does_is_asked_with_both_answers() -> None:
    for seed in range(10):
        found = derive([["the dog is running", "a dog on grass"]], seed)
        answers = {one.question: one.answer for one in found if one.question.startswith("is the dog")}
        assert answers.pop("is the dog running?") == "yes"
        ((question, answer),) = answers.items()
        assert answer == "no"
        assert question in {"is the dog sitting?", "is the dog sleeping?", "is the dog standing?"}


def test_what_one_caption_says_is_never_denied() -> None:
    for seed in range(10):
        found = derive([["a dog runs", "a dog sits down", "a dog stands"]], seed)
        assert {one.question for one in found if one.answer == "no"} <= {"is the dog sleeping?"} | {
            f"is the dog {doing}?" for doing in ("jumping", "swimming")
        }
        assert not any(one.question.endswith("doing?") for one in found)  # which of the three?


PHOTOS = [
    *([f"a dog on a path {number}", "an animal outside"] for number in range(6)),
    *([f"a cat under a tree {number}"] for number in range(6)),
    *([f"a puppy in a basket {number}"] for number in range(6)),
    *([f"a horse {number}", "the animals"] for number in range(2)),
    *([f"a man {number} reads"] for number in range(6)),
    *([f"a woman {number} reads"] for number in range(6)),
    *([f"a doctor {number} reads"] for number in range(6)),
]
THINGS = re.compile(r"(?:is there|are there|can you see) (?:an? |any )?(\w+)")


def test_no_is_asked_only_of_what_no_caption_may_mean() -> None:
    """The groups of ``PHOTOS`` that lack a thing for certain."""
    asked: dict[str, set[str]] = {}
    for seed in range(20):
        for one in derive(PHOTOS, seed):
            thing = THINGS.match(one.question)
            if thing is None:
                continue
            known = find(thing[1])
            assert known is not None
            words = " ".join(PHOTOS[one.photo]).split()
            if one.answer == "yes":
                assert known[0].word in words
            else:
                asked.setdefault(known[0].word, set()).update(
                    {"dog", "cat", "puppy", "horse", "man", "woman", "doctor"} & set(words)
                )
    assert asked == {
        # Not of the first group, nor of the horses: "animal" may be any of them.
        "dog": {"cat", "man", "woman", "doctor"},
        "puppy": {"cat", "man", "woman", "doctor"},
        "cat": {"puppy", "man", "woman", "doctor"},
        "man": {"dog", "cat", "puppy", "horse", "woman"},
        "woman": {"dog", "cat", "puppy", "horse", "man"},
        "doctor": {"dog", "cat", "puppy", "horse"},
    }


def test_answers_are_even_for_each_thing() -> None:
    found = derive(PHOTOS)
    counts = Counter((thing[1], one.answer) for one in found if (thing := THINGS.match(one.question)) is not None)
    assert counts == {
        (thing, answer): 6 for thing in ("dog", "cat", "puppy", "man", "woman", "doctor") for answer in ("yes", "no")
    }


def test_answers_are_even_for_each_form() -> None:
    found = derive([*PHOTOS, *(["a dog runs", "a horse sits down"] for _ in range(5)), ["the cat climbs", "it sits"]])
    doing = Counter(one.answer for one in found if re.match("(is|are) the ", one.question))
    assert doing["yes"] == doing["no"] >= 5
    there = Counter(one.answer for one in found if THINGS.match(one.question))
    assert there["yes"] == there["no"] >= 30


def test_searches_know_who_says_yes_who_surely_no_and_who_nothing() -> None:
    captions = [
        ["a dog is running", "a brown dog on grass"],
        ["a dog runs", "the hound runs"],
        ["a puppy in the snow"],  # may be the dog
        ["a cat sleeps"],
        ["a dog is sitting on a couch"],
        ["a dog"],
    ]
    found = {parse(one.question): one for one in searches(captions, least=2)}
    things = {question.thing: one for question, one in found.items() if question is not None}
    assert set(things) == {"a dog", "dog running"}
    dog, running = things["a dog"], things["dog running"]
    assert (dog.yes, dog.no) == (frozenset({0, 1, 4, 5}), frozenset({3}))
    assert running == Search("is the dog running?", frozenset({0, 1}), frozenset({3, 4}))  # photo 5 does not tell
    assert searches(captions, least=2) == list(found.values())
    assert [one.question for one in searches(captions, least=5)] == []


def test_every_question_is_one_and_comes_once() -> None:
    found = derive([*PHOTOS, ["two dogs run on a beach", "three men in red hats", "a man is holding a red ball"]] * 2)
    assert len({(one.photo, one.question) for one in found}) == len(found)
    kinds = {one.answer: question.kind for one in found if (question := parse(one.question)) is not None}
    assert {kinds["yes"], kinds["no"], kinds["2"], kinds["red"]} == {"yes/no", "number", "other"}
    assert [one for one in found if parse(one.question) is None] == []
    assert [one.photo for one in found] == sorted(one.photo for one in found)


def test_questions_are_the_same_for_a_seed() -> None:
    assert derive(PHOTOS, 1) == derive(PHOTOS, 1)
    assert derive(PHOTOS, 1) != derive(PHOTOS, 2)
    assert derive([]) == []


@pytest.fixture
def daquar(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number in range(10):
        (tmp_path / "images" / f"image{number}.jpg").touch()
    lines = [f"image{number % 10}.jpg\twhat is on the table {number}\tbook, tissue_roll\n" for number in range(20)]
    (tmp_path / "qa.tsv").write_text("".join(lines) + "\n", "utf-8")
    return tmp_path


def test_daquar_is_read(daquar: Path) -> None:
    found = read_daquar(daquar)
    assert len(found) == 20
    assert found[11] == ("image1.jpg", "what is on the table 11", "book, tissue_roll")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "image1.jpg\twhat is this",
            r"line 22: wanted 'file<TAB>question<TAB>answer', got 'image1.jpg\\twhat is this'",
        ),
        ("image1.jpg\ta\tb\tc", "line 22: wanted"),
        ("\twhat\tbook", "line 22: wanted"),
        ("image1.jpg\t \tbook", "line 22: the question is empty"),
        ("image1.jpg\twhat\t", "line 22: the answer is empty"),
        ("image99.jpg\twhat\tbook", "line 22: there is no photo 'image99.jpg' in .*images"),
    ],
)
def test_fault_of_a_line_is_named(daquar: Path, line: str, message: str) -> None:
    with (daquar / "qa.tsv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(SourceError, match=message):
        read_daquar(daquar)


def test_fault_of_the_folder_is_named(daquar: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        read_daquar(tmp_path / "nowhere")
    (daquar / "qa.tsv").write_bytes("image1.jpg\twas\tKätzchen".encode("latin-1"))
    with pytest.raises(SourceError, match="no UTF-8"):
        read_daquar(daquar)
    (daquar / "qa.tsv").write_text("\n", "utf-8")
    with pytest.raises(SourceError, match="no questions"):
        read_daquar(daquar)
    (daquar / "qa.tsv").unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        read_daquar(daquar)


def test_no_photo_is_on_both_sides(daquar: Path) -> None:
    rows = read_daquar(daquar)
    train, dev = split(rows, 0.2)
    assert len({name for name, _, _ in dev}) == 2
    assert len(dev) == 4
    assert {name for name, _, _ in train}.isdisjoint(name for name, _, _ in dev)
    assert sorted(train + dev) == sorted(rows)
    assert split(rows[::-1], 0.2)[1] == dev[::-1]
    assert split(rows, 0.0) == (rows, [])
    assert len({frozenset(split(rows, 0.2, seed)[1]) for seed in range(10)}) > 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes.", "yes"),
        ("two", "2"),
        ("the Table", "table"),
        ("tissue_boxes", "tissue box"),
        ("Books, a scissor", "book, scissor"),
        ("glasses", "glasses"),
        ("black and white", "black and white"),
        ("a", "a"),
        (" , ", ""),
    ],
)
def test_answers_have_one_form(answer: str, expected: str) -> None:
    assert normalize(answer) == expected
    assert normalize(expected) == expected


def test_vocabulary_has_the_frequent_answers_after_those_that_are_always_there() -> None:
    answers = ["table", "Tables", "lamp", "bed", "two", "the bed", "a bed", "chair", "12"]
    assert ALWAYS == ("yes", "no", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert vocabulary(answers, 100) == [*ALWAYS, "bed", "table", "12", "chair", "lamp"]
    assert vocabulary(answers, 14) == [*ALWAYS, "bed", "table"]
    with pytest.raises(ValueError, match="11 answers"):
        vocabulary(answers, 11)


def test_type_of_a_question() -> None:
    assert question_type("How many dogs are there?") == "number how many"
    assert question_type("what color is the car") == "other what color"
    assert question_type("Is there a dog?") == "yes/no is there"
    assert question_type("what's on the table") == "other what's on"
    assert question_type("name things") == "other name things"


def test_prior_is_the_most_frequent_answer_of_the_type() -> None:
    prior = Prior.fit(
        [
            ("how many dogs are there", "2"),
            ("how many chairs are there", "Two"),
            ("how many beds are there", "1"),
            ("what color is the car", "red"),
            ("what is on the table", "book"),
            ("what is on the bed", "books"),
            ("what is on the chair", "cup"),
            ("is there a dog", "yes"),
        ]
    )
    assert prior.answer("How many lamps are there?") == "2"
    assert prior.answer("what color is it") == "red"
    assert prior.answer("what is behind the door") == "book"
    assert prior.answer("where is the dog") == "book"  # of its kind
    assert prior.answer("are there dogs") == "yes"  # of its kind
    only = Prior.fit([("what color is the car", "red")])
    assert only.answer("how many dogs are there") == "red"  # of all
    with pytest.raises(ValueError, match="no questions"):
        Prior.fit([])


def test_yes_is_fitted_as_it_was_made() -> None:
    rng = np.random.default_rng(0)
    odds, match = rng.normal(0.5, 1, 40000), rng.normal(-2, 3, 40000)
    right = rng.random(40000) < 1 / (1 + np.exp(-(0.9 * odds + 0.4 * match - 1.5)))
    made = fit_yes(odds.astype(np.float32), match.astype(np.float32), right)
    assert made == pytest.approx((0.9, 0.4, -1.5), abs=0.06)


def test_yes_is_fitted_where_all_are_told_apart_or_all_are_alike() -> None:
    odds = np.array([-2, -1, 1, 2], np.float32)
    of_head, of_match, constant = fit_yes(odds, np.zeros(4, np.float32), odds > 0)
    assert of_head > 0.5
    assert (of_match, constant) == pytest.approx((0, 0), abs=1e-3)
    assert np.isfinite(fit_yes(odds, odds, np.ones(4, bool))).all()
