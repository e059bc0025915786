"""What is a question, of which kind, and what it is about: each answer worked out by hand."""

from __future__ import annotations

import random

import pytest

from mmsearch.language import questions
from mmsearch.language.questions import Question, parse


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("is anyone wearing a red hat?", "someone wearing a red hat"),
        ("are there people on the beach", "people on the beach"),
        ("Is there any snow in the picture?", "snow"),
        ("is there a dog", "a dog"),
        ("isn't there a cat", "a cat"),
        ("is the dog running", "dog running"),
        ("is the man in the red shirt holding a ball", "man in the red shirt holding a ball"),
        ("is this a dog", "a dog"),
        ("is it raining", "raining"),
        ("is the car red?", "red car"),
        ("is this photo taken outdoors", "taken outdoors"),
        ("does he hold a ball", "he holds a ball"),
        ("does the big dog carry a stick?", "big dog carries a stick"),
        ("does the boy wave his hand", "boy waves his hand"),
        ("does the girl have a hat", "girl has a hat"),
        ("does anybody swim?", "someone swims"),
        ("do people dance", "people dance"),
        ("do you see a bridge", "a bridge"),
        ("can you see a dog", "a dog"),
        ("has the man a beard", "man has a beard"),
    ],
)
def test_yes_or_no(text: str, thing: str) -> None:
    assert parse(text) == Question(text, "yes/no", thing)


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("how many dogs are there?", "dogs"),
        ("how many people are wearing hats", "people wearing hats"),
        ("how many dogs can you see", "dogs"),
        ("How many red balloons?", "red balloons"),
    ],
)
def test_number(text: str, thing: str) -> None:
    assert parse(text) == Question(text, "number", thing)


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("what color is the car", "car"),
        ("What colour are the flowers in the vase ?", "flowers in the vase"),
        ("what is the color of the car", "car"),
        ("what color hat is he wearing", "hat"),
        ("what kind of dog is this", "dog"),
        ("who is riding a horse", "someone riding a horse"),
        ("who holds the ball", "someone holds the ball"),
        ("who is the man", "man"),
        ("whose dog is this", "dog"),
        ("where is the cat", "cat"),
        ("where's the cat?", "cat"),
        ("why is the girl crying", "girl crying"),
        ("how old is the man", "man"),
        ("how much food is on the plate", "food"),
        ("what is on the table", "something on the table"),
        ("what's behind the sofa", "something behind the sofa"),
        ("what are found on the bed", "something found on the bed"),
        ("what is the object on the table", "object on the table"),
        ("what is the man doing", "man"),
        ("what is the man holding", "man holding something"),
        ("what does the sign say", "sign says something"),
        ("what does the boy do", "boy"),
        ("what holds the globe", "something holds the globe"),
        ("which animal is in the water", "animal in the water"),
        ("in which room is the bed", "room"),
        ("what is this?", "something"),
        ("a dog?", "a dog"),
    ],
)
def test_other(text: str, thing: str) -> None:
    assert parse(text) == Question(text, "other", thing)


@pytest.mark.parametrize(
    "text",
    [
        "a dog on a beach",
        "the dog is running",
        "people who are dancing",
        "two men",
        "what a day",
        "how cute",
        "can of beer",
        "will smith",
        "have a nice day",
        "do not disturb sign",
        "where the wild things are",
        "island in the sea",
        "does",
        "is",
        "?",
        "",
        '"where are you?" on a wall',
    ],
)
def test_no_question(text: str) -> None:
    assert parse(text) is None


def test_any_words_can_be_read() -> None:
    """Words of the rules in any order: never an error, and a thing that is one phrase of words."""
    sets = (questions.AUXILIARIES, questions.PRONOUNS, questions.SOMEONE, questions.QUALITIES, questions.PLACED)
    others = ("what", "which", "how", "many", "who", "whose", "where", "dog", "dogs", "the", "hold", "?", "of")
    known = sorted(frozenset().union(*sets)) + 5 * list(others)
    rng = random.Random(0)
    seen = 0
    for _ in range(20_000):
        found = parse(" ".join(rng.choices(known, k=rng.randint(1, 6))))
        if found is not None:
            seen += 1
            assert found.thing == " ".join(found.thing.split()) != ""
    assert seen > 1000
