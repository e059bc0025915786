"""Vocabularies: what a file may say, what is wrong with it and where, and which tags a text speaks of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import VocabularyError
from mmsearch.language.vocabulary import Tag, Vocabulary, builtin, builtin_text, parse, read


def spoken(vocabulary: Vocabulary, text: str) -> list[str]:
    return [name for name, there in zip(vocabulary.names, vocabulary.mentioned([text])[0], strict=True) if there]


def test_a_file_of_words_texts_and_parents(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.write_bytes(
        "\ufeff# my words\r\n\r\nAnimal\r\ncat\t\tanimal\r\n"
        "  my  cat \ta black cat|a cat with a red collar| \tCat|cat\r\nKäse\n".encode()
    )
    assert read(file) == Vocabulary(
        (
            Tag("Animal", ("Animal",)),
            Tag("cat", ("cat",), ("Animal",)),
            Tag("my cat", ("a black cat", "a cat with a red collar"), ("cat",)),
            Tag("Käse", ("Käse",)),
        )
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "words.tsv has no tags; write one a line"),
        ("# cat\n\n", "words.tsv has no tags; write one a line"),
        ("cat\n\ta cat", "words.tsv, line 2: there is no tag before the first tab"),
        (
            "cat\na\tb\tc\td",
            "words.tsv, line 2: 4 fields between tabs; wanted are a tag, its texts and its parents at most",
        ),
        ("Cat\n# more\ncat ", "words.tsv, line 3: the tag 'cat' stands in line 1 already; remove one"),
        (
            "cat\t\tanimal",
            "words.tsv, line 1: the parent 'animal' of 'cat' is no tag of this vocabulary; give it a line of its own",
        ),
        (
            "a\t\tb\nb\t\tc\nc\t\ta",
            "words.tsv, line 1: the tag 'a' is above itself, by way of 'c'; take one of the parents away",
        ),
        ("x\na\t\ta", "words.tsv, line 2: the tag 'a' is above itself, by way of itself; take one of the parents away"),
        ("a\x1bb", "words.tsv, line 1: the character '\\x1b' cannot be part of a tag or text"),
        ("w" * 101, "words.tsv, line 1: a tag has at most 100 characters, this one 101"),
    ],
)
def test_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(VocabularyError) as caught:
        parse(text.split("\n"), "words.tsv")
    assert str(caught.value) == message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="none cannot be read: No such file or directory"):
        read(tmp_path / "none")
    with pytest.raises(VocabularyError, match="cannot be read: Is a directory"):
        read(tmp_path)
    (tmp_path / "latin").write_bytes("Hund\nKäse\n".encode("latin-1"))
    with pytest.raises(VocabularyError, match="latin, line 2: not UTF-8; save the vocabulary as UTF-8 text"):
        read(tmp_path / "latin")


@given(st.lists(st.text(alphabet=st.sampled_from("ab|\t# é\x00\x1b()\u2028"), max_size=12), max_size=6))
def test_any_lines_are_a_vocabulary_or_a_vocabulary_error(lines: list[str]) -> None:
    try:
        vocabulary = parse(lines, "words")
    except VocabularyError:
        return
    assert all(tag.texts for tag in vocabulary.tags)
    assert set().union(*(tag.parents for tag in vocabulary.tags)) <= set(vocabulary.names)
    vocabulary.mentioned(lines)


def test_a_tag_implies_all_that_is_above_it() -> None:
    vocabulary = parse(["poodle\t\tdog", "dog\t\tanimal|pet", "pet", "animal", "cat\t\tpet"], "words")
    assert vocabulary.implied.tolist() == [
        [True, True, True, True, False],
        [False, True, True, True, False],
        [False, False, True, False, False],
        [False, False, False, True, False],
        [False, False, True, False, True],
    ]


def test_fingerprints_differ_with_what_is_said() -> None:
    files = [["cat"], ["dog"], ["cat\ta cat"], ["cat", "dog"], ["cat", "dog\t\tcat"]]
    assert len({parse(lines, "words").fingerprint for lines in files}) == len(files)
    assert parse(["cat"], "one").fingerprint == parse(["# mine", "cat "], "other").fingerprint


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("two dogs", ["animal", "dog"]),
        ("a hot dog", ["food", "hot dog"]),
        ("a man in a suit", ["person", "clothing", "man", "suit"]),
        ("a man surfing a wave", ["person", "sport", "water", "man", "outdoors", "sea", "surfing", "surfboard"]),
        ("looking at the camera", ["posing"]),
        ("a bowl of soup", ["food", "soup", "bowl"]),
        ("a bat", []),  # which one is meant is not known
        ("a bat hanging upside down", ["animal", "bat (animal)"]),
        ("Mushrooms!", ["food", "mushroom"]),
        ("", []),
    ],
)
def test_what_texts_speak_of(text: str, tags: list[str]) -> None:
    assert sorted(spoken(builtin(), text)) == sorted(tags)


def test_the_vocabulary_that_ships_is_well_kept() -> None:
    vocabulary = builtin()
    assert 500 <= len(vocabulary.tags) <= 1200
    assert parse(builtin_text().splitlines(), "again") == vocabulary
    lines = builtin_text().splitlines()
    assert [line for line in lines if line.count("\t") == 0] == []  # each says how it is to be read
    texts = [text for tag in vocabulary.tags for text in tag.texts]
    assert len(texts) == len(set(texts))
    implied = vocabulary.implied.astype(np.float32)
    assert np.array_equal((implied @ implied) > 0, vocabulary.implied)
    # A text that stands for a tag speaks of it.
    owners = [number for number, tag in enumerate(vocabulary.tags) for _ in tag.texts]
    assert vocabulary.mentioned(texts)[np.arange(len(texts)), owners].all()


def test_words_people_look_for_are_there() -> None:
    wanted = """
    portrait|group of people|baby|crowd|beach|forest|mountain|snow|sunset|night|street|city|concert|wedding|birthday|
    dog|cat|bird|horse|car|bicycle|train|airplane|boat|food|cake|coffee|flower|tree|document|receipt|screenshot|map|chart|
    drawing|painting|black and white|indoors|outdoors|kitchen|bedroom|office|soccer|swimming|rain|fog|rainbow
    """
    assert {word.strip() for word in wanted.split("|")} - set(builtin().names) == set()
