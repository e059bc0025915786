"""False captions, each worked out by hand."""

from __future__ import annotations

import random

import pytest

from mmsearch.language.hard_negatives import EVALUATED, FURS, Variant, article, build, variants


def _made(caption: str, kind: str) -> list[str]:
    return [variant.text for variant in variants(caption, random.Random(0)) if variant.kind == kind]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog chases a cat.", ["A cat chases a dog."]),
        ("a big dog chases an old cat", ["a old cat".replace("a", "an", 1) + " chases a big dog"]),
        ("An owl looks at a man", ["A man looks at an owl"]),
        ("Two dogs watch three cats .", ["Two cats watch three dogs ."]),
        ("A boy on his skateboard", ["A skateboard on his boy"]),
        ("A tennis player holds up a tennis racket", []),  # "hold" is said of both sides alike in other captions
        ("a man in front of a house", ["a house in front of a man"]),
        ("A dog , a cat in a car", ["A car , a cat in a dog", "A dog , a car in a cat"]),
    ],
)
def test_two_things_change_places(caption: str, expected: list[str]) -> None:
    assert sorted(_made(caption, "swap")) == sorted(expected)


@pytest.mark.parametrize(
    "caption",
    [
        "a man and a woman",
        "a man , a woman",
        "a man or a woman and a dog",
        "a dog stands next to a horse",
        "a man with a dog",
        "a boy sits by a table",
        "a man kisses a woman",  # both do
        "a dog chases a dog",  # the same word
        "a puppy watches a dog",  # may be said of the same one
        "a man tackles a player",
        "a person on a man's back sees a boy",
        "two dogs chase a cat",  # "two cat chase a dogs"
        "a bowl of apples",
        "a dog with a ball in its mouth",
        "a man in the snow",  # "a snow in the man"
        "a crowd in a street",
    ],
)
def test_what_would_say_the_same_or_nothing_is_not_swapped(caption: str) -> None:
    assert _made(caption, "swap") == []


def test_colours_of_two_things_change_places() -> None:
    assert _made("A red hat and a blue shirt .", "swap") == ["A blue hat and a red shirt ."]
    assert _made("a white cup and an orange plate", "swap") == ["an orange cup and a white plate"]
    assert _made("a red hat and a red shirt", "swap") == []
    assert _made("a red hat and a blue hat", "swap") == []  # says the same
    assert _made("a black and white dog beside a red car", "swap") == []  # which of the two?
    assert _made("a brown dog beside a tan house", "swap") == []  # nearly the same colour


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A large dog .", {"A small dog ."}),
        ("an elderly man", {"a young man"}),
        ("A young woman", {"An old woman"}),
        ("a wet dog", {"a dry dog"}),
        ("a grassy hill", {"a snowy hill"}),
        ("a little girl", set()),  # little says young here
        ("a golden retriever", set()),
        ("a white dog", {"a black dog", "a brown dog"}),
        ("a striped shirt", {"a plain shirt"}),
        ("a brick wall", {f"a {word} wall" for word in ("wooden", "metal", "plastic", "glass", "concrete")}),
    ],
)
def test_an_attribute_changes(caption: str, expected: set[str]) -> None:
    found = {text for seed in range(60) for text in [
        variant.text for variant in variants(caption, random.Random(seed)) if variant.kind == "attribute"
    ]}  # fmt: skip
    assert found == expected


def test_a_colour_becomes_one_that_is_neither_alike_nor_there() -> None:
    caption = "a man in white holds a red ball and a green cup"
    found = {text for seed in range(100) for text in _seeded(caption, seed)}
    balls = {text.split(" ball")[0].split()[-1] for text in found if text.startswith("a man in white")} - {"red"}
    assert balls == {"blue", "yellow", "purple", "black"}  # pink, orange and brown may be called red; the rest is there
    coats = {text.split()[3] for text in found} - {"white"}
    assert coats == {"blue", "yellow", "orange", "purple", "pink", "brown", "black"}


def _seeded(caption: str, seed: int) -> list[str]:
    return [variant.text for variant in variants(caption, random.Random(seed)) if variant.kind == "attribute"]


def test_animals_have_the_colours_of_animals() -> None:
    found = {text.split()[1] for seed in range(30) for text in _seeded("a tan horse", seed)}
    assert found <= set(FURS)
    assert found == {"black", "white"}  # brown may be called tan


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Two dogs .", {f"{word} dogs ." for word in ("Three", "Four", "Five", "Six")}),
        ("3 young dogs", {f"{number} young dogs" for number in (2, 4, 5, 6)}),
        ("two dogs and three cats", {
            *(f"{word} dogs and three cats" for word in ("four", "five", "six")),
            *(f"two dogs and {word} cats" for word in ("four", "five", "six")),
        }),
        ("one dog", set()),
        ("two to one", set()),
        ("a man of 20", set()),
    ],
)  # fmt: skip
def test_a_number_changes(caption: str, expected: set[str]) -> None:
    found = {
        variant.text
        for seed in range(100)
        for variant in variants(caption, random.Random(seed))
        if variant.kind == "number"
    }
    assert found == expected


def test_a_noun_becomes_another_of_its_kind() -> None:
    found = {
        variant.text
        for seed in range(200)
        for variant in variants("a cat sees two buses", random.Random(seed))
        if variant.kind == "noun"
    }
    animals = {text.split()[1] for text in found if text.endswith("two buses")}
    assert animals >= {"dog", "horse", "elephant"}
    assert "cat" not in animals
    vehicles = {text.split()[-1] for text in found if text.startswith("a cat")}
    assert vehicles >= {"trucks", "bicycles", "boats"}
    assert "buses" not in vehicles
    assert {text for seed in range(20) for text in _made("a man", "noun")} <= {"a woman", "a girl"}


def test_spaces_marks_and_capitals_stay() -> None:
    assert _made("  The dog -- sees  the Cat!", "swap") == ["  The cat -- sees  the dog!"]


@pytest.mark.parametrize(("word", "expected"), [("apple", "an"), ("dog", "a"), ("uniform", "a"), ("hour", "an")])
def test_article(word: str, expected: str) -> None:
    assert article(word) == expected


CAPTIONS = [
    "A dog chases a cat .",
    "Two men on a bench",
    "Nothing to see",
    "A red ball",
    "a brown dog jumps over a log while three boys watch",
    "a boy watches a horse",
]


def test_evaluation_set_has_one_variant_of_each_caption_that_a_rule_applies_to() -> None:
    found = build(CAPTIONS)
    assert [row for row, _ in found] == [0, 1, 3, 4, 5]
    for row, variant in found:
        assert variant.kind in EVALUATED
        assert variant.text != CAPTIONS[row]
    assert found[0] == (0, Variant("A cat chases a dog .", "swap"))
    assert found[4] == (5, Variant("a horse watches a boy", "swap"))
    assert found[1][1].kind == "number"


def test_evaluation_set_is_the_same_for_a_seed() -> None:
    many = CAPTIONS * 5
    assert build(many, seed=1) == build(many, seed=1)
    assert build(many, seed=1) != build(many, seed=2)


def test_kinds_are_even_where_they_can_be() -> None:
    found = build(["two brown dogs see a red ball in a green box"] * 9)
    assert sorted(variant.kind for _, variant in found) == ["attribute"] * 3 + ["number"] * 3 + ["swap"] * 3
