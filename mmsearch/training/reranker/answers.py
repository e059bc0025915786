"""Answers to questions: one form for each, the list of those that a model may give, and what guessing would reach."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.language.nouns import ARTICLES, find
from mmsearch.language.questions import parse

DIGITS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
ALWAYS = ("yes", "no", *(str(number) for number in range(10)))  # in every vocabulary, before all others


def normalize(answer: str) -> str:
    """An answer in the form in which it is compared and learnt.

    Lower case; underscores are spaces; marks and articles are dropped; number words are digits; the last word of each
    part becomes singular where the plural is known.  The parts of a list stay in order: "The Books, tissue_boxes" ->
    "book, tissue box".  As in VQA's evaluation (Antol et al. 2015), but for the singular.
    """
    parts = [_part(part) for part in answer.lower().replace("_", " ").split(",")]
    return ", ".join(part for part in parts if part)


def _part(text: str) -> str:
    words = [DIGITS.get(word, word) for word in re.findall(r"[^\W_]+(?:['’.-][^\W_]+)*", text)]
    words = [word for word in words if word not in ARTICLES] or words
    if words and (found := find(words[-1])) is not None and found[1] and "-" not in words[-1]:
        words[-1] = found[0].word
    return " ".join(words)


def vocabulary(answers: Iterable[str], size: int) -> list[str]:
    """The answers that a model may give: ``ALWAYS``, then the most frequent ones, normalized; ``size`` at most.

    Of answers that are as frequent the first in the alphabet comes first.  Raises ValueError where ``size`` has no
    room for ``ALWAYS``.
    """
    if size < len(ALWAYS):
        raise ValueError(f"a vocabulary of {size} answers; 'yes', 'no' and the digits alone are {len(ALWAYS)}")
    counts = Counter(map(normalize, answers))
    ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
    return [*ALWAYS, *(answer for answer in ranked if answer and answer not in ALWAYS)][:size]


def question_type(text: str) -> str:
    """The kind of a question and its first two words: "number how many", "other what color".

    What ``mmsearch.language.questions.parse`` takes for no question is of the kind "other".
    """
    found = parse(text)
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())[:2]
    return " ".join([found.kind if found is not None else "other", *words])


@dataclass(frozen=True)
class Prior:
    """Answers without looking at the photo: the most frequent one for the type of a question.

    The "per Q-type prior" of VQA (Antol et al. 2015, section 5), which a model has to beat.
    """

    by_type: Mapping[str, str]
    by_kind: Mapping[str, str]  # for types that were never seen
    overall: str

    @classmethod
    def fit(cls, asked: Sequence[tuple[str, str]]) -> Prior:
        """From (question, answer) pairs; the answers are normalized.  Raises ValueError where there are none."""
        if not asked:
            raise ValueError("no questions to learn from")
        types: dict[str, Counter[str]] = defaultdict(Counter)
        kinds: dict[str, Counter[str]] = defaultdict(Counter)
        for question, answer in asked:
            name = question_type(question)
            types[name][normalize(answer)] += 1
            kinds[name.split()[0]][normalize(answer)] += 1
        every = sum(kinds.values(), Counter())
        return cls(
            {name: _first(own) for name, own in types.items()},
            {name: _first(own) for name, own in kinds.items()},
            _first(every),
        )

    def answer(self, question: str) -> str:
        """The answer to guess."""
        name = question_type(question)
        return self.by_type.get(name) or self.by_kind.get(name.split()[0]) or self.overall


def fit_yes(
    odds: NDArray[np.float32], match: NDArray[np.float32], right: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """``RerankCard.yes``: how log-odds of the answer head (n,) and matches of the thing (n,) tell whether yes is right.

    Logistic regression by Newton's method, over values of mean 0 and spread 1 with a ridge of 1, so that few questions
    which all are told apart give no infinite weights (Hastie, Tibshirani and Friedman 2009, section 4.4).
    """
    given = np.column_stack([odds, match]).astype(np.float64)
    mean, spread = given.mean(axis=0), np.maximum(given.std(axis=0), 1e-6)
    rows = np.column_stack([(given - mean) / spread, np.ones(len(given))])  # (n, 3)
    ridge, weights = np.diag([1.0, 1.0, 1e-6]), np.zeros(3)
    for _ in range(50):
        sure = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (right - sure) - ridge @ weights
        weights += np.linalg.solve((rows.T * (sure * (1 - sure))) @ rows + ridge, slope)
    of_head, of_match = (weights[:2] / spread).tolist()
    return round(of_head, 4), round(of_match, 4), round(float(weights[2] - mean @ (weights[:2] / spread)), 4)


def _first(counts: Counter[str]) -> str:
    return min(counts, key=lambda answer: (-counts[answer], answer))
