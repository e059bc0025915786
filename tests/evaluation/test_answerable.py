"""Texts with and without an answer, and how well relevances tell them apart; against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmsearch.evaluation import answerable
from mmsearch.search.relevance import Map

CAPTIONS = [
    ["A brown dog runs on grass.", "A dog plays."],
    ["A man on a horse."],
    ["Two horses in a field."],
    *[["A red car on a street."]] * answerable.CANDIDATES,
]


def test_what_is_asked_and_where_it_has_no_answer() -> None:
    found = answerable.asked(CAPTIONS, 1)
    dog = next(one for one in found if one.text == "A brown dog runs on grass")
    assert (dog.photo, dog.short) == (0, False)
    assert dog.rest.tolist() == list(range(1, len(CAPTIONS)))
    horse = next(one for one in found if one.short and "horse" in one.text)
    assert horse.rest.tolist() == [0, *range(3, len(CAPTIONS))]  # "horses" are horses
    assert "man" not in {one.text for one in found}
    assert not any("car" in one.text for one in found)  # too few photos are without one


def test_figures_of_relevances() -> None:
    rng = np.random.default_rng(0)
    shares, short = rng.uniform(0.01, 0.99, 400), rng.random(200) < 0.5
    found = answerable.judged(shares, short)
    right = [True] * 200 + [False] * 200
    loss = sum(-math.log(p if yes else 1 - p) for p, yes in zip(shares, right, strict=True)) / 400
    assert found["log loss"] == pytest.approx(loss, abs=1e-3)
    error = 0.0
    for tenth in range(10):
        own = [(p, yes) for p, yes in zip(shares, right, strict=True) if tenth <= p * 10 < tenth + 1]
        error += abs(sum(p for p, _ in own) - sum(yes for _, yes in own)) / 400
    assert found["calibration error"] == pytest.approx(100 * error, abs=0.1)
    for name, kind in (("captions empty", False), ("short empty", True)):
        there = sorted(p for p, own in zip(shares[:200], short, strict=True) if own == kind)
        gone = [p for p, own in zip(shares[200:], short, strict=True) if own == kind]
        at = 0.1 * (len(there) - 1)
        least = there[int(at)] + (at - int(at)) * (there[int(at) + 1] - there[int(at)])
        assert found[name] == pytest.approx(100 * sum(p < least for p in gone) / len(gone), abs=0.1)


def test_perfect_relevances_have_no_error() -> None:
    shares = np.repeat([1.0, 0.0], 50)
    found = answerable.judged(shares, np.zeros(50, np.bool_))
    assert (found["calibration error"], found["captions empty"]) == (0.0, 100.0)
    assert "short empty" not in found


def test_maps_for_any_model_are_those_that_the_answers_were_drawn_by() -> None:
    """Features of queries that were drawn by known odds: the weights come back."""
    rng = np.random.default_rng(0)
    count, true = 60_000, (Map(0.6, 0.5, -2.0), Map(0.3, 0.2, -1.0))
    words = rng.integers(1, 9, count)
    features = rng.normal(2.0, 2.0, (count, 2))
    weights = np.where((words > 2)[:, None], [0.6, 0.5, -2.0], [0.3, 0.2, -1.0])
    likely = 1 / (1 + np.exp(-((features * weights[:, :2]).sum(1) + weights[:, 2])))
    right = rng.random(count) < likely
    for short in (True, False):  # as many with an answer as without, as they are measured
        own = np.flatnonzero((words <= 2) == short)
        size = min(right[own].sum(), (~right[own]).sum())
        there, gone = own[right[own]][:size], own[~right[own]][:size]
        blank = np.full((size, 2), np.nan)
        scores = {
            "words": words[there].astype(float),
            "with": np.column_stack([blank, features[there]]),
            "without": np.column_stack([blank, features[gone]]),
        }
        # Some texts of the other kind, whose map is not looked at, so that there are both.
        other = {name: values[:50] for name, values in scores.items()} | {"words": np.full(50, 9.0 if short else 1.0)}
        joined = {name: np.concatenate([own, other[name]]) for name, own in scores.items()}
        captions, things = answerable.general_maps(joined, np.ones(size + 50, np.bool_))
        found, wanted = (things, true[1]) if short else (captions, true[0])
        assert found.spreads == pytest.approx(wanted.spreads, abs=0.05)
        assert found.margin == pytest.approx(wanted.margin, abs=0.05)
