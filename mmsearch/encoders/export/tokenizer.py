"""open_clip's tokenizers as ``tokenizer.json`` and ``TokenRules``, so that texts become ids without open_clip.

The ids are the same as open_clip's for every text, with one exception: where a text itself contains
``<start_of_text>`` or ``<end_of_text>``, CLIP's own tokenizer makes these the special tokens, which would end the text
there; here they are ordinary characters.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
import regex
from open_clip.tokenizer import HFTokenizer, SigLipTokenizer, SimpleTokenizer, get_clean_fn
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from mmsearch.encoders.agreement import TEXTS
from mmsearch.encoders.protocol import TokenRules
from mmsearch.encoders.texts import TextEncoder
from mmsearch.errors import ModelError


def convert(tokenizer: Any) -> tuple[Tokenizer, TokenRules]:
    """open_clip's tokenizer as one of the tokenizers library, and how to use it.

    Raises ModelError when it is of a kind that has no equivalent, or when the two disagree on one of ``TEXTS``.
    """
    if isinstance(tokenizer, SimpleTokenizer):
        converted, rules = _from_clip(tokenizer)
    elif isinstance(tokenizer, (HFTokenizer, SigLipTokenizer)):
        converted, rules = _from_transformers(tokenizer)
    else:
        raise ModelError(f"the model's tokenizer, a {type(tokenizer).__name__}, is not supported")
    if not np.array_equal(TextEncoder(converted, rules)(TEXTS), tokenizer(list(TEXTS)).numpy()):
        raise ModelError("the model's tokenizer cannot be converted: its copy gives other token ids")
    return converted, rules


def _from_clip(clip: SimpleTokenizer) -> tuple[Tokenizer, TokenRules]:
    """CLIP's byte-level BPE with its own regular expression."""
    start, end = "<start_of_text>", "<end_of_text>"
    if clip.reduction_fn is not None:
        raise ModelError("a tokenizer with a reduction_mask drops words at random, which makes no sense in a search")
    if len(clip.all_special_ids) != 2:
        raise ModelError("a CLIP tokenizer with additional special tokens is not supported")
    tokenizer = Tokenizer(models.BPE(vocab=clip.encoder, merges=list(clip.bpe_ranks), end_of_word_suffix="</w>"))
    words = Regex(_words())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, clip.sot_token_id), (end, clip.eot_token_id)]
    )
    return tokenizer, TokenRules(context=int(clip.context_length), pad_id=0, clean=_cleaning(clip.clean_fn))


def _from_transformers(wrapper: HFTokenizer | SigLipTokenizer) -> tuple[Tokenizer, TokenRules]:
    """The fast tokenizer inside one of transformers."""
    mode = getattr(wrapper, "tokenizer_mode", "")
    if mode:
        raise ModelError(f"the tokenizer mode {mode!r} of this model is not supported")
    fast = wrapper.tokenizer
    backend = getattr(fast, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelError(f"the model's tokenizer, a {type(fast).__name__}, has no fast version and is not supported")
    if fast.padding_side != "right" or fast.truncation_side != "right" or fast.pad_token_id is None:
        raise ModelError("the model's tokenizer does not pad and cut its texts on the right, which is not supported")
    rules = TokenRules(
        context=int(wrapper.context_length),
        pad_id=int(fast.pad_token_id),
        clean=_cleaning(getattr(wrapper, "clean_fn", get_clean_fn("canonicalize"))),  # SigLipTokenizer has no choice
        strip_sep_id=int(fast.sep_token_id) if getattr(wrapper, "strip_sep_token", False) else None,
    )
    return Tokenizer.from_str(backend.to_str()), rules


def _cleaning(function: Any) -> Literal["lower", "whitespace", "canonicalize"]:
    names: tuple[Literal["lower", "whitespace", "canonicalize"], ...] = ("lower", "whitespace", "canonicalize")
    for name in names:
        if get_clean_fn(name) is function:
            return name
    raise ModelError("the model's tokenizer cleans its texts in a way that is not supported")


@functools.cache
def _words() -> str:
    """CLIP's regular expression for a word.  It takes half a second to make, and is the same for every model."""
    letter, digit, other = _class(r"\p{L}"), _class(r"\p{N}"), _class(r"[^\s\p{L}\p{N}]")
    return f"(?i:'s|'t|'re|'ve|'m|'ll|'d)|{letter}+|{digit}|{other}+"


def _class(pattern: str) -> str:
    r"""A character class of all characters that ``pattern``, itself a class, matches in the regex library.

    Spelled out, because the engine inside tokenizers knows an older Unicode: its ``\p{L}`` lacks 17,000 letters.
    """
    every = "".join(map(chr, range(0x110000)))
    ranges = []
    for match in regex.finditer(f"{pattern}+", every, regex.IGNORECASE):
        first, last = match.start(), match.end() - 1
        for low, high in ((first, min(last, 0xD7FF)), (max(first, 0xE000), last)):  # without surrogates
            if low <= high:
                ranges.append(f"\\x{{{low:X}}}-\\x{{{high:X}}}")
    return f"[{''.join(ranges)}]"
