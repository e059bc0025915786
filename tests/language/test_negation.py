"""What a text says should not be there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.language.negation import Negated, split

WORDS = ["no", "not", "without", "people", "a", "dog", "and", "or", ",", "in", "with", "nobody", "one", "7", "it"]


@pytest.mark.parametrize(
    ("text", "wanted", "left_out"),
    [
        ("no people", "", ["people"]),
        ("No people!", "", ["people"]),
        ("beach without people", "beach", ["people"]),
        ("a street with no cars", "a street", ["cars"]),
        ("beach without people or dogs", "beach", ["people", "dogs"]),
        ("beach without people, at sunset", "beach at sunset", ["people"]),
        ("beach, no people at sunset", "beach at sunset", ["people"]),
        ("beach without people and without boats", "beach", ["people", "boats"]),
        ("beach but no people", "beach", ["people"]),
        ("no people, no cars", "", ["people", "cars"]),
        ("nobody on a beach", "on a beach", ["people"]),
        ("no one at the table", "at the table", ["people"]),
        ("a room with no one in it", "a room", ["people"]),
        ("kitchen without anyone", "kitchen", ["people"]),
        ("kitchen without any people", "kitchen", ["people"]),
        ("not a dog", "", ["dog"]),
        ("a dog without a leash", "a dog", ["leash"]),
        ("a man with no hat and a dog", "a man and a dog", ["hat"]),
        ("a man without a hat and a tie", "a man", ["hat", "tie"]),
        ("flowers without Red Roses", "flowers", ["Red Roses"]),
        ("bowl without a slice of lemon", "bowl", ["slice of lemon"]),
    ],
)
def test_what_is_wanted_and_what_is_left_out(text: str, wanted: str, left_out: list[str]) -> None:
    assert split(text) == Negated(wanted, tuple(left_out))


@pytest.mark.parametrize(
    "text",
    [
        "dog", "a knot", "nothing but snow", "no", "not", "without", "no parking", "no smoking sign", "a no entry sign",
        "no 5", "No. 7", "no longer", "not only dogs", "love me not", "why not", "no, thanks", "", "...", "no -",
    ],
)  # fmt: skip
def test_nothing_is_negated(text: str) -> None:
    assert split(text) is None


@given(
    st.lists(
        st.sampled_from(
            [
                "no",
                "not",
                "without",
                "people",
                "a",
                "dog",
                "and",
                "or",
                ",",
                "in",
                "with",
                "nobody",
                "one",
                "7",
                "it",
                "sign",
            ]
        ),
        max_size=9,
    )
)
def test_any_words(words: list[str]) -> None:
    text = " ".join(words)
    found = split(text)
    assert found is None or (found.left_out and all(part.strip() for part in found.left_out))
    if found is not None:
        assert set(" ".join((found.wanted, *found.left_out)).split()) <= {*words, "people"}  # no other words
