"""Rules that make one score of two, against sums written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmsearch.errors import ConfigError
from mmsearch.rerank.fusion_rules import RULES, Rule, combine

FIRST = np.array([0.5, 0.3, 0.1, 0.3], np.float32)  # mean 0.3, spread sqrt(0.02)
MATCH = np.array([-1, 3, 1, 1], np.float32)  # mean 1, spread sqrt(2)


@pytest.mark.parametrize(
    ("rule", "weight", "wanted"),
    [
        ("match", 5, [-1, 3, 1, 1]),
        ("sum", 5, [0.2 / 0.02**0.5 - 2 / 2**0.5, 2 / 2**0.5, -0.2 / 0.02**0.5, 0]),
        ("weighted", 0.1, [0.4, 0.6, 0.2, 0.4]),
        ("weighted", 0, [0.5, 0.3, 0.1, 0.3]),
        ("ranks", 5, [1 / 61 + 1 / 64, 1 / 62 + 1 / 61, 1 / 64 + 1 / 62, 1 / 63 + 1 / 63]),  # ties: the earlier first
    ],
)
def test_rules(rule: Rule, weight: float, wanted: list[float]) -> None:
    first, match = FIRST.copy(), MATCH.copy()
    found = combine(first, match, rule, weight)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    found[:] = 9
    np.testing.assert_array_equal(first, FIRST)  # what is given stays as it is
    np.testing.assert_array_equal(match, MATCH)


@pytest.mark.parametrize("rule", RULES)
def test_no_candidates(rule: Rule) -> None:
    found = combine(np.empty(0, np.float32), np.empty(0, np.float32), rule)
    assert found.shape == (0,)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("rule", "wanted"), [("sum", [0, 0]), ("ranks", [2 / 61, 2 / 62]), ("match", [2, 2]), ("weighted", [3, 3])]
)
def test_candidates_that_are_all_alike(rule: Rule, wanted: list[float]) -> None:
    found = combine(np.full(2, 1, np.float32), np.full(2, 2, np.float32), rule)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="no rule 'best' to combine scores; there are: match, sum, weighted, ranks"):
        combine(FIRST, MATCH, "best")  # type: ignore[arg-type]
