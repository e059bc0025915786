"""Texts are cleaned as open_clip cleans them, and become rows of the length that the model wants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import get_clean_fn
from tokenizers import Tokenizer, models, pre_tokenizers

from mmsearch.encoders.protocol import TokenRules
from mmsearch.encoders.texts import TextEncoder, clean

WAYS = ("lower", "whitespace", "canonicalize")
pieces = st.sampled_from(
    ["&amp;", "&eacute;", "&Atilde;&copy;", "<b>", "\x1b[36m", "\r\n", "Ã©", "ﬁ", "‘", "_", "\x00"]
)
texts = st.lists(st.text() | pieces).map("".join)


@pytest.mark.parametrize("how", WAYS)
@given(text=texts)
def test_clean_is_open_clips(how: str, text: str) -> None:
    assert clean(text, how) == get_clean_fn(how)(text)


def test_text_without_cleaning_stays_but_for_halves_of_characters() -> None:
    assert clean(" A &amp; É\n", "none") == " A &amp; É\n"
    assert clean("caf\udce9", "none") == "caf\ufffd"


def words() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"a": 3, "b": 4, "end": 9, "?": 5}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def test_rows_are_padded_to_the_context() -> None:
    ids = TextEncoder(words(), TokenRules(context=4, pad_id=7))(["a b", "", "a a a a a b"])
    np.testing.assert_array_equal(ids, [[3, 4, 7, 7], [7, 7, 7, 7], [3, 3, 3, 3]])
    assert ids.dtype == np.int64


def test_rows_are_padded_to_the_longest_where_the_model_allows() -> None:
    encode = TextEncoder(words(), TokenRules(context=4, fixed_length=False))
    np.testing.assert_array_equal(encode(["a", "a b"]), [[3, 0], [3, 4]])


def test_separator_is_replaced_by_zero() -> None:
    encode = TextEncoder(words(), TokenRules(context=4, pad_id=7, strip_sep_id=9))
    np.testing.assert_array_equal(encode(["a end"]), [[3, 0, 7, 7]])
