"""How common words are in texts about photos, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch.training.common.pairs import Pairs
from mmsearch.training.shipped.word_rates import rates


def test_rates_are_means_over_kinds_and_words_of_a_stem_count_together() -> None:
    one = Pairs(Path(), ("1.jpg", "2.jpg"), (("A dog runs.", "two dogs"), ("A kite and a dog", "sand")))
    other = Pairs(Path(), ("3.jpg",), (("a kite",),))
    found = rates([one, other], {"the": 1, "kites": 100, "runner": 1000})
    dog, kite = (3 / 4 + 0) / 2, (1 / 4 + 1) / 2
    assert found["dog"] == found["dogs"] == dog
    assert found["kite"] == found["kites"] == kite
    assert found["the"] == 1  # of general English, by its rank
    assert found["sand"] == pytest.approx(1 / 8)
    assert "runner" not in found  # one text of a thousand
