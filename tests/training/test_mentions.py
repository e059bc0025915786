"""What captions say is in a photo, and what is surely absent."""

from __future__ import annotations

import pytest

from mmsearch.training.common.mentions import counts, is_absent, may_stand_for, mentions, words_of

CAPTIONS = [
    ["A brown poodle on grass.", "the dog is running"],
    ["Two men play football"],
    ["a crowd in a street"],
    ["a red car"],
]


def test_things_are_shown_absent_or_neither() -> None:
    found = mentions(CAPTIONS, sorted(counts(CAPTIONS)))
    shown = {thing: found.shown[:, place].nonzero()[0].tolist() for place, thing in enumerate(found.things)}
    absent = {thing: found.absent[:, place].nonzero()[0].tolist() for place, thing in enumerate(found.things)}
    assert shown["dog"] == shown["poodle"] == shown["animal"] == [0]  # what is above it in WordNet too
    assert absent["dog"] == [1, 2, 3]
    assert shown["person"] == [1, 2]  # a crowd are persons …
    assert shown["man"] == [1]
    assert 2 not in absent["man"]  # … and may be men
    assert shown["car"] == [3]
    assert 2 not in absent["car"]  # where there is a street one expects cars
    assert not (found.shown & found.absent).any()
    assert counts(CAPTIONS) == dict(zip(found.things, found.shown.sum(axis=0), strict=True))


@pytest.mark.parametrize(
    ("word", "thing", "may"),
    [
        ("dog", "dog", True), ("dogs", "dog", True), ("poodle", "dog", True), ("animal", "dog", True),
        ("cat", "dog", False),
        ("football", "ball", True), ("soccer", "ball", True), ("woman", "man", False), ("crowd", "man", True),
        ("biker", "bike", True), ("cap", "hat", True), ("quickly", "dog", False),
    ],
)  # fmt: skip
def test_words_that_may_stand_for_a_thing(word: str, thing: str, may: bool) -> None:
    assert may_stand_for(word, thing) == may
    assert is_absent(thing, words_of([f"the {word}"])) != may


def test_no_captions() -> None:
    found = mentions([], sorted(counts([])))
    assert found.things == ()
    assert found.shown.shape == found.absent.shape == (0, 0)
