"""Beam search over tables of probabilities, against all sentences that there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch.rerank.captions import PENALTY, Beam, Step, search, worded
from mmsearch.rerank.vocabulary import END, PAD, START, UNKNOWN

WORDS = 7  # the four special ones, and three that can be said
SAYABLE = range(4, WORDS)
Sentence = tuple[int, ...]


def table(seed: int, spread: float = 2.0) -> Step:
    """Logits of the next word that depend on all words so far."""

    def step(words: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = [np.random.default_rng([seed, *row]).normal(0, spread, WORDS) for row in words.tolist()]
        return np.array(rows, np.float32)

    return step


def logs(step: Step, sentence: Sentence) -> list[float]:
    """The log-probability of each word after START."""
    found = []
    for place in range(1, len(sentence)):
        row = step(np.array([sentence[:place]]))[0].astype(np.float64)
        found.append(float(row[sentence[place]]) - math.log(sum(math.exp(value) for value in row)))
    return found


def score(step: Step, sentence: Sentence) -> float:
    return float(sum(logs(step, sentence)) / (len(sentence) - 1) ** PENALTY)


def repeats(sentence: Sentence) -> bool:
    grams = [sentence[place : place + 2] for place in range(len(sentence) - 1)]
    return len(set(grams)) < len(grams)


def all_sentences(longest: int) -> list[Sentence]:
    said = itertools.chain(*(itertools.product(SAYABLE, repeat=length) for length in range(longest - 1)))
    return [one for words in said if not repeats(one := (START, *words, END))]


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_as_wide_as_everything_finds_the_best_sentences(seed: int) -> None:
    step, longest = table(seed), 5
    everything = all_sentences(longest)
    assert len(everything) == 1 + 3 + 9 + (27 - 3)  # "4 4 4" says "4 4" twice
    best = sorted(everything, key=lambda sentence: -score(step, sentence))
    found = search(step, beams=200, alternatives=5, longest=longest)
    assert [beam.words for beam in found] == best[:5]
    for beam in found:
        assert beam.log_probability == pytest.approx(sum(logs(step, beam.words)), abs=1e-6)
        assert beam.score == pytest.approx(score(step, beam.words), abs=1e-6)
        assert search(step, beams=200, longest=longest)[0] == found[0]
    assert [beam.words for beam in search(step, beams=200, alternatives=99, longest=longest)] == best


def test_a_beam_of_one_takes_the_likeliest_word_each_time() -> None:
    def step(words: NDArray[np.int64]) -> NDArray[np.float32]:
        """4, 5, 6 and then END; PAD, START and UNKNOWN are likelier than all of them."""
        logits = np.zeros((len(words), WORDS), np.float32)
        logits[:, [PAD, START, UNKNOWN]] = 9
        following = np.where(words[:, -1] == START, 4, np.where(words[:, -1] == 6, END, words[:, -1] + 1))
        logits[np.arange(len(words)), following] = 5
        return logits

    (found,) = search(step, beams=1)
    assert found.words == (START, 4, 5, 6, END)
    each = math.exp(5) / (3 * math.exp(9) + math.exp(5) + 3)
    assert found.confidence == pytest.approx(each, rel=1e-5)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("width", [1, 3])
def test_what_a_narrow_beam_finds(seed: int, width: int) -> None:
    """Complete, without special words, without two words twice, distinct and best first."""
    step = table(seed, spread=4)

    def reluctant(words: NDArray[np.int64]) -> NDArray[np.float32]:
        logits = step(words)
        logits[:, END] -= 20  # so that sentences get long, and would repeat themselves
        return logits

    for steps, longest in ((step, 12), (reluctant, 24)):
        found = search(steps, beams=width, alternatives=3, longest=longest)
        assert len(found) == 3
        assert len({beam.words for beam in found}) == 3
        assert [beam.score for beam in found] == sorted((beam.score for beam in found), reverse=True)
        for beam in found:
            assert (beam.words[0], beam.words[-1]) == (START, END)
            assert set(beam.words[1:-1]) <= set(SAYABLE)
            assert not repeats(beam.words)
            assert 2 <= len(beam.words) <= longest
            geometric = math.exp(sum(logs(steps, beam.words)) / (len(beam.words) - 1))
            assert beam.confidence == pytest.approx(geometric, rel=1e-5)
    assert max(len(beam.words) for beam in found) > 9  # of the reluctant one; there are nine pairs of three words


def test_words_that_would_repeat_two_are_passed_over() -> None:
    """4 5 6 again and again, but for the rule."""

    def step(words: NDArray[np.int64]) -> NDArray[np.float32]:
        logits = np.full((len(words), WORDS), -5, np.float32)
        following = np.where((words[:, -1] < 4) | (words[:, -1] == 6), 4, words[:, -1] + 1)
        logits[np.arange(len(words)), following] = 5
        logits[:, END] = 0
        return logits

    (found,) = search(step, beams=1, longest=20)
    assert found.words == (START, 4, 5, 6, 4, END)  # 4 5 was said


def test_a_length_with_room_for_no_word() -> None:
    assert [beam.words for beam in search(table(0), longest=2)] == [(START, END)]
    assert search(table(0), longest=1) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a photo of a kitchen", "a kitchen"),
        ("an image of two dogs", "two dogs"),
        ("picture of snow", "snow"),
        ("a man takes a photo of a dog", "a man takes a photo of a dog"),
        ("a photo of", "a photo of"),
        ("a photo", "a photo"),
        ("", ""),
    ],
)
def test_a_caption_does_not_say_that_it_is_of_a_photo(text: str, told: str) -> None:
    words = text.split()
    beam = Beam((START, *range(4, 4 + len(words)), END), -1.0)
    assert [one.text for one in worded([beam], ["<pad>", "<start>", "<end>", "<unknown>", *words])] == [told]


def test_captions_that_only_the_lead_told_apart_are_one() -> None:
    names = ["<pad>", "<start>", "<end>", "<unknown>", "a", "photo", "of", "kitchen", "street"]
    said = ["a photo of a kitchen", "a street", "a kitchen"]
    beams = [Beam((START, *map(names.index, text.split()), END), -1.0 - row) for row, text in enumerate(said)]
    found = worded(beams, names)
    assert [(one.text, one.confidence) for one in found] == [
        ("a kitchen", round(beams[0].confidence, 4)),
        ("a street", round(beams[1].confidence, 4)),
    ]
