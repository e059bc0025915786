"""BLEU and CIDEr against examples worked by hand, and plain loops over the formulas of the papers."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable

import pytest

from mmsearch.evaluation.caption_metrics import bleu, cider, cider_d, summarize, tokens


def test_tokens_are_words_and_numbers_in_lower_case() -> None:
    assert tokens("Two dogs' T-shirts, 24 of them: the man's  café_1 !") == [
        "two", "dogs", "t", "shirts", "24", "of", "them", "the", "man's", "café", "1",
    ]  # fmt: skip
    assert tokens(" ... ") == []


def test_bleu_of_the_papers_first_example() -> None:
    """Papineni et al. 2002, section 2.1: "the" seven times is right twice, the most one reference has."""
    references = [["The cat is on the mat.", "There is a cat on the mat."]]
    assert bleu(["the the the the the the the"], references, n=1) == pytest.approx(2 / 7)
    assert bleu(["the the the the the the the"], references) == 0.0


def test_bleu_by_hand() -> None:
    """Words 5 of 6, pairs 3 of 5, triples 2 of 4, fours 1 of 3 are right; as long as the reference."""
    found = bleu(["a brown dog runs on sand"], [["a brown dog runs over sand"]])
    assert found == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


def test_bleu_counts_the_corpus_and_takes_the_nearest_length() -> None:
    """Words: 2 of 2 and 1 of 2 are right."""
    candidates = ["a dog", "a cat"]
    references = [["a dog runs", "a dog runs home"], ["the cat sleeps", "cat"]]  # 1 and 3 words are as near: 1 counts
    assert bleu(candidates, references, n=1) == pytest.approx(3 / 4)  # 3 + 1 = 4 words wanted, 4 there
    assert bleu(candidates[:1], references[:1], n=1) == pytest.approx(math.exp(1 - 3 / 2))


def test_cider_by_hand() -> None:
    """The word "a" stands in both photos and weighs nothing; "dog" and "cat" weigh log 2, and so do the pairs."""
    references = [["a dog"], ["a cat"]]
    assert cider(["a dog", "a cat"], references, n=2) == pytest.approx(1)
    assert cider(["a dog", "a cat"], references) == pytest.approx(1 / 2)  # no triples, no fours
    assert cider(["a dog", "a dog"], references, n=2) == pytest.approx(1 / 2)
    # Words (0, 2 log 2) and (0, log 2): cosine 1, clipped to half of it.  No pair is right.
    assert cider(["dog dog", ""], references, n=2) == pytest.approx(1 / 4)
    assert cider_d(["dog dog", ""], references, n=2) == pytest.approx(10 / 8)


def test_cider_d_marks_another_length_down() -> None:
    """A "dog dog dog" is clipped to a third of its cosine 1, and one word too long."""
    references = [["a dog"], ["a cat"]]
    expected = 10 * (1 / 3) * math.exp(-1 / (2 * 2.0**2)) / 2
    assert cider_d(["dog dog dog", ""], references, n=1, sigma=2.0) == pytest.approx(expected)


def test_a_single_photo_has_no_rare_words() -> None:
    assert cider(["a dog"], [["a dog"]]) == 0.0


@pytest.mark.parametrize("metric", [bleu, cider, cider_d])
def test_lists_that_do_not_fit(metric: Callable[[list[str], list[list[str]]], float]) -> None:
    with pytest.raises(ValueError, match="1 candidates, but references for 2"):
        metric(["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="no captions"):
        metric([], [])
    with pytest.raises(ValueError, match="candidate 1 has no references"):
        metric(["a", "b"], [["a"], []])


def _corpus(seed: int) -> tuple[list[str], list[list[str]]]:
    """Captions of few words, so that n-grams meet: 30 photos with 1 to 5 references."""
    rng = random.Random(seed)

    def caption() -> str:
        return " ".join(rng.choices(["a", "the", "dog", "cat", "man", "runs", "on", "grass"], k=rng.randint(3, 12)))

    return [caption() for _ in range(30)], [[caption() for _ in range(rng.randint(1, 5))] for _ in range(30)]


@functools.cache
def _list(text: str, size: int) -> list[str]:
    words = text.split()
    return [" ".join(words[at : at + size]) for at in range(len(words) - size + 1)]


def _plain_bleu(candidates: list[str], references: list[list[str]]) -> float:
    product = 1.0
    shorter = 1.0
    for size in (1, 2, 3, 4):
        hits = every = 0
        for candidate, own in zip(candidates, references, strict=True):
            grams = _list(candidate, size)
            every += len(grams)
            for gram in set(grams):
                hits += min(grams.count(gram), max(_list(text, size).count(gram) for text in own))
        product *= hits / every
    c = sum(len(text.split()) for text in candidates)
    r = 0
    for candidate, own in zip(candidates, references, strict=True):
        lengths = sorted(len(text.split()) for text in own)
        r += min(lengths, key=lambda length: abs(length - len(candidate.split())))
    if c <= r:
        shorter = math.exp(1 - r / c)
    return shorter * math.pow(product, 0.25)


def _plain_cider(candidates: list[str], references: list[list[str]], d: bool) -> float:
    def weights(text: str, grams: list[str], size: int) -> list[float]:
        """g_k of equation 1, without the division by the length."""
        found = []
        for gram in grams:
            photos = sum(any(gram in _list(text, size) for text in own) for own in references)
            found.append(_list(text, size).count(gram) * math.log(len(references) / max(1, photos)))
        return found

    total = 0.0
    for size in (1, 2, 3, 4):
        for candidate, own in zip(candidates, references, strict=True):
            for text in own:
                grams = sorted({*_list(candidate, size), *_list(text, size)})
                g, h = weights(candidate, grams, size), weights(text, grams, size)
                norms = math.hypot(*g) * math.hypot(*h)
                top = [min(x, y) for x, y in zip(g, h, strict=True)] if d else g
                cosine = sum(x * y for x, y in zip(top, h, strict=True)) / norms if norms else 0.0
                gap = len(candidate.split()) - len(text.split())
                total += (10 * cosine * math.exp(-gap * gap / 72) if d else cosine) / len(own)
    return total / (4 * len(candidates))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_metrics_are_those_of_plain_loops(seed: int) -> None:
    candidates, references = _corpus(seed)
    assert bleu(candidates, references) == pytest.approx(_plain_bleu(candidates, references))
    assert cider(candidates, references) == pytest.approx(_plain_cider(candidates, references, d=False))
    assert cider_d(candidates, references) == pytest.approx(_plain_cider(candidates, references, d=True))


def test_summary_is_times_100() -> None:
    candidates, references = _corpus(3)
    assert summarize(candidates, references) == {
        "BLEU-4": round(100 * _plain_bleu(candidates, references), 2),
        "CIDEr-D": round(100 * _plain_cider(candidates, references, d=True), 2),
    }
