"""The list of nouns, and the noun phrases of captions that were taken apart by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch.language.nouns import find, nouns, phrases, related, tokenize
from mmsearch.training.shipped.nouns import plural_of, read_counts
from mmsearch.training.shipped.wordnet import Synset, ancestors, read_synsets


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dog", ("dog", "animal", False)),
        ("puppies", ("puppy", "animal", True)),
        ("women", ("woman", "person", True)),
        ("people", ("people", "person", True)),
        ("jeans", ("jean", "clothing", True)),
        ("sheep", ("sheep", "animal", False)),
        ("t-shirts", ("shirt", "clothing", True)),
        ("bus", ("bus", "vehicle", False)),
        ("skateboards", ("skateboard", "sport", True)),
        ("snow", ("snow", "ground", False)),
    ],
)
def test_words_are_found_in_both_numbers(word: str, expected: tuple[str, str, bool]) -> None:
    found = find(word)
    assert found is not None
    assert (found[0].word, found[0].kind, found[1]) == expected


@pytest.mark.parametrize("word", ["run", "jumps", "red", "the", "happiness", "waters", "snows", "walking", "does", ""])
def test_other_words_are_none(word: str) -> None:
    assert find(word) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("dog", "puppy", True),
        ("bike", "bicycle", True),
        ("motorcycle", "bike", True),
        ("man", "person", True),
        ("jacket", "coat", True),
        ("dog", "animal", True),
        ("dog", "cat", False),
        ("hat", "shirt", False),
        ("man", "woman", False),
    ],
)
def test_related_words_may_name_the_same_thing(one: str, other: str, expected: bool) -> None:
    assert related(nouns()[one], nouns()[other]) is related(nouns()[other], nouns()[one]) is expected


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A brown dog chases two black cats .", ["a brown dog", "two black cats*"]),
        ("a black and white dog in its dog house", ["a black and white dog", "its dog house"]),
        ("The boy swings on a swing, and a girl waves.", ["the boy", "a swing", "a girl"]),
        ("Two boys wave at some swings", ["two boys*", "some swings*"]),
        ("a duck and seven baby ducks", ["a duck", "seven baby ducks*"]),
        ("a tennis player hits a tennis ball", ["a tennis player", "a tennis ball"]),
        ("men wear hats , women wearing big hats", ["men*", "hats*", "women*", "big hats*"]),
        ("a man rides horses and is holding umbrellas", ["a man", "horses*", "umbrellas*"]),
        ("snow covered rocks near water", ["snow covered rocks*", "water"]),
        ("a man 's hat, a dog's toy", ["hat", "a dog's toy"]),
        ("a bike race", []),  # "race" may be anything, so "bike" is no thing of its own
        ("", []),
    ],
)
def test_phrases_of_a_caption(caption: str, expected: list[str]) -> None:
    tokens = tokenize(caption)
    found = phrases(tokens)
    texts = [" ".join(token.word for token in tokens[phrase.start : phrase.head + 1]) for phrase in found]
    assert [text + "*" * phrase.several for text, phrase in zip(texts, found, strict=True)] == expected


def test_tokens_know_their_places() -> None:
    text = "A t-shirt, Café!"
    assert [(token.word, text[token.start : token.end]) for token in tokenize(text)] == [
        ("a", "A"), ("t-shirt", "t-shirt"), (",", ","), ("café", "Café"), ("!", "!"),
    ]  # fmt: skip


def test_list_is_sorted_and_every_plural_leads_back() -> None:
    assert list(nouns()) == sorted(nouns())
    plurals = [noun.plural for noun in nouns().values() if noun.plural]
    lost = [plural for plural in plurals if (found := find(plural)) is None or found[0].plural != plural]
    assert lost == []


@pytest.mark.parametrize(
    ("word", "plural"),
    [("box", "boxes"), ("city", "cities"), ("boy", "boys"), ("fireman", "firemen"), ("human", "humans"),
     ("child", "children"), ("grass", ""), ("deer", "deer"), ("potato", "potatoes")],
)  # fmt: skip
def test_plurals(word: str, plural: str) -> None:
    assert plural_of(word, {"child": "children"}) == plural


def test_files_of_wordnet_are_read(tmp_path: Path) -> None:
    """Lines in the form of wndb(5WN) and cntlist(5WN)."""
    (tmp_path / "data.noun").write_text(
        "  1 This is the licence\n"
        "00000001 03 n 01 entity 0 000 | that which is\n"
        "00000002 05 n 02 animal 0 living_creature 0 001 @ 00000001 n 0000 | it lives\n"
        "00000003 05 n 01 dog 0 002 @ 00000002 n 0000 ~ 00000001 n 0000 | it barks\n",
        "utf-8",
    )
    synsets = read_synsets(tmp_path / "data.noun")
    assert synsets["00000002"] == Synset(["animal", "living creature"], "05", ["00000001"])
    assert ancestors("00000003", synsets) == ["00000002", "00000001"]
    (tmp_path / "cntlist.rev").write_text("dog%1:05:00:: 1 42\ndog%1:18:00:: 3 2\ndog%2:38:00:: 1 5\n", "utf-8")
    assert read_counts(tmp_path / "cntlist.rev") == {
        ("dog", "1"): [("05", 42), ("", 0), ("18", 2)],
        ("dog", "2"): [("38", 5)],
    }
