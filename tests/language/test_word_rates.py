"""How common words are: the table that ships."""

from __future__ import annotations

from mmsearch.language.letters import plain
from mmsearch.language.word_rates import word_rates


def test_rates_are_shares_of_plain_words() -> None:
    rates = word_rates()
    assert all(0 < rate <= 1 for rate in rates.values())
    assert [word for word in rates if word != plain(word) or not word.isalpha()] == []


def test_common_words_are_common_in_all_their_forms_and_names_are_not_there() -> None:
    rates = word_rates()
    assert rates["the"] > rates["dog"] > rates["beach"] > rates["total"] > 0
    assert rates["dog"] == rates["dogs"]
    assert rates["sit"] == rates["sitting"]
    assert not {"invoice", "quandt", "4711", "hund"} & set(rates)
