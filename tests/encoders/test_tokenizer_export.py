"""Token ids without open_clip are those that open_clip makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from open_clip.tokenizer import HFTokenizer, SigLipTokenizer, SimpleTokenizer

from mmsearch.encoders.export.tokenizer import convert
from mmsearch.encoders.protocol import TokenRules
from mmsearch.encoders.texts import TextEncoder, clean
from mmsearch.errors import ModelError

TEXTS = [
    "a photo of a cat",
    "",
    " ",
    "Two DOGS, running!",
    "it's we're I'VE they'll I'd don't o'clock 'ſ",
    "2 cats 1234567 ½ ² Ⅷ ٣",
    "naïve café Ångström \u0041\u030a ŒUVRE",
    "日本語の写真 русский текст Ελληνικά हिन्दी عربى 한국어 𐐀𐐨",
    "🐕‍🦺🏖️ family: 👨‍👩‍👧‍👦 🇨🇭",
    "AT&amp;T &lt;b&gt;bold&lt;/b&gt; &amp;amp; &eacute; &#128512;",
    "snake_case, C++; #tag @name www.example.org/?q=1&r=2 $9.99 100% (a) [b] {c} ~^`|\\",
    "line\nbreak\r\nand\ttab\x0bvt\x1cfs\x85nel\u2028ls\u00a0nbsp\u3000wide",
    "\x00nul \x1b[31mred\x1b[0m \x7f \ufeff \u200b \u00ad \ufffd",
    "“quotes” — dashes … ‘single’ ﬁ ﬂ ﬆ ｆｕｌｌ",
    "mojibake: schÃ¶n, Ã©tÃ©",
    "\ud83d half a character",
    "x" * 1000,
    "word " * 1000,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "unassigned \u0378 \U000e0001 private \ue000",
    "İstanbul DŽ ẞ ΌΣΟΣ",
    "newer letters: \u088f\u0c5c\U00016ea0\U000323b0 than most Unicode tables",
]


def encoder_of(tokenizer: object) -> TextEncoder:
    return TextEncoder(*convert(tokenizer))


@pytest.fixture(scope="module", params=["lower", "whitespace", "canonicalize"])
def clip_pair(request: pytest.FixtureRequest) -> tuple[SimpleTokenizer, TextEncoder]:
    tokenizer = SimpleTokenizer(clean=request.param)
    return tokenizer, encoder_of(tokenizer)


@pytest.fixture(scope="module")
def siglip_pair(siglip_folder: Path) -> tuple[HFTokenizer, TextEncoder]:
    tokenizer = open_clip.get_tokenizer(f"local-dir:{siglip_folder}")
    return tokenizer, encoder_of(tokenizer)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_clip_ids_are_open_clips(clip_pair: tuple[SimpleTokenizer, TextEncoder], text: str) -> None:
    tokenizer, encode = clip_pair
    np.testing.assert_array_equal(encode([text]), tokenizer([text]).numpy())


@given(text=st.text())
def test_clip_ids_are_open_clips_for_any_text(clip_pair: tuple[SimpleTokenizer, TextEncoder], text: str) -> None:
    assume("_of_text>" not in clean(text, "lower"))  # see test_names_of_special_tokens_are_ordinary_words
    tokenizer, encode = clip_pair
    np.testing.assert_array_equal(encode([text]), tokenizer([text]).numpy())


def test_clip_ids_are_open_clips_for_every_character() -> None:
    tokenizer = SimpleTokenizer(context_length=200_000, clean="whitespace")
    encode = encoder_of(tokenizer)
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    rows = [" ".join(every[start : start + 20_000]) for start in range(0, 0x30000, 20_000)]
    for row in rows:
        np.testing.assert_array_equal(encode([row]), tokenizer([row]).numpy())


def test_names_of_special_tokens_are_ordinary_words() -> None:
    """The one difference from open_clip, where they would end the text."""
    clip, text = SimpleTokenizer(), "a <end_of_text> cat"
    (ids,) = encoder_of(clip)([text])
    words = [piece for word in ("a", "<", "end", "_", "of", "_", "text", ">", "cat") for piece in clip.encode(word)]
    assert ids[: len(words) + 2].tolist() == [clip.sot_token_id, *words, clip.eot_token_id]
    assert clip([text])[0, :5].tolist() == [
        clip.sot_token_id,
        words[0],
        clip.eot_token_id,
        words[-1],
        clip.eot_token_id,
    ]


def test_context_and_padding_are_the_models(siglip_folder: Path) -> None:
    assert convert(SimpleTokenizer(context_length=32))[1] == TokenRules(32, pad_id=0, clean="lower")
    _, rules = convert(open_clip.get_tokenizer(f"local-dir:{siglip_folder}"))
    assert rules == TokenRules(64, pad_id=1, clean="canonicalize")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_siglip_ids_are_open_clips(siglip_pair: tuple[HFTokenizer, TextEncoder], text: str) -> None:
    tokenizer, encode = siglip_pair
    np.testing.assert_array_equal(encode([text]), tokenizer([text]).numpy())


@given(text=st.text())
def test_siglip_ids_are_open_clips_for_any_text(siglip_pair: tuple[HFTokenizer, TextEncoder], text: str) -> None:
    tokenizer, encode = siglip_pair
    np.testing.assert_array_equal(encode([text]), tokenizer([text]).numpy())


def test_stripped_separators_and_other_cleaning(siglip_folder: Path) -> None:
    tokenizer = HFTokenizer(str(siglip_folder), 16, clean="whitespace", strip_sep_token=True, sep_token="</s>")
    converted, rules = convert(tokenizer)
    assert rules == TokenRules(16, pad_id=1, clean="whitespace", strip_sep_id=1)
    np.testing.assert_array_equal(TextEncoder(converted, rules)(TEXTS), tokenizer(TEXTS).numpy())


def test_siglips_own_class_is_converted(siglip_folder: Path) -> None:
    inner = HFTokenizer(str(siglip_folder)).tokenizer
    tokenizer = SigLipTokenizer.__new__(SigLipTokenizer)  # its constructor downloads a vocabulary
    tokenizer.tokenizer, tokenizer.context_length = inner, 24
    converted, rules = convert(tokenizer)
    assert rules == TokenRules(24, pad_id=1, clean="canonicalize")
    np.testing.assert_array_equal(TextEncoder(converted, rules)(TEXTS), tokenizer(TEXTS).numpy())


def test_kinds_without_equivalent_are_refused(siglip_folder: Path) -> None:
    slow = HFTokenizer(str(siglip_folder))
    slow.tokenizer = object()
    left = HFTokenizer(str(siglip_folder), padding_side="left")
    for tokenizer, words in [
        (HFTokenizer(str(siglip_folder), tokenizer_mode="clips"), "mode 'clips'"),
        (slow, "no fast version"),
        (left, "on the right"),
        (SimpleTokenizer(reduction_mask="random"), "reduction_mask"),
        (SimpleTokenizer(additional_special_tokens=["<more>"]), "additional special tokens"),
        (str.split, "not supported"),
    ]:
        with pytest.raises(ModelError, match=words):
            convert(tokenizer)
