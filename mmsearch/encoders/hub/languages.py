"""Which languages models read: those of the texts that they were trained with, as their authors state them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

ENGLISH = "English"

# Names of architectures -> languages, and where that is said.  All others of open_clip's table were trained with
# captions of which nearly all are English (LAION-2B-en, LAION-400M, DataComp, DFN, YFCC15M, CC12M, WebLI in English).
_ARCHITECTURES = (
    ("*-SigLIP2*", "109 languages"),  # WebLI whole: "SigLIP 2", arXiv:2502.14786
    ("*-SigLIP-i18n-*", "100+ languages"),  # WebLI whole: "Sigmoid loss …", arXiv:2303.15343 (mSigLIP)
    ("xlm-roberta-*", "100 languages"),  # LAION-5B with XLM-R, arXiv:1911.02116; open_clip docs/PRETRAINED.md
    ("mt5-*", "101 languages"),  # LAION-5B with mT5, arXiv:2010.11934
    ("nllb-clip-*", "201 languages"),  # https://huggingface.co/visheratin/nllb-clip-base-siglip
    ("*-worldwide*", "300+ languages"),  # MetaCLIP 2, arXiv:2507.22062
)
# Text towers and tokenizers that a description of a model names -> languages.
_TOKENIZERS = (
    ("*SigLIP2*", "109 languages"),
    ("*SigLIP-i18n*", "100+ languages"),
    ("*xlm-roberta*", "100 languages"),
    ("*xlm-v-*", "300+ languages"),
    ("*mt5-*", "101 languages"),
    ("*nllb-200*", "201 languages"),
    ("*bert-base-uncased", ENGLISH),
    ("roberta-base", ENGLISH),
)


def of_architecture(name: str) -> str:
    """The languages of one of open_clip's architectures."""
    return next((found for pattern, found in _ARCHITECTURES if fnmatchcase(name.lower(), pattern.lower())), ENGLISH)


def of_description(model_cfg: Mapping[str, Any]) -> str | None:
    """The languages of a model that somebody describes as open_clip does; None where that does not tell.

    A model may state them as ``languages``; else the text tower or tokenizer that it borrows tells.
    """
    stated, text_cfg = model_cfg.get("languages"), model_cfg.get("text_cfg")
    if isinstance(stated, list) and stated:
        return ", ".join(map(str, stated))
    if isinstance(stated, str) and stated:
        return stated
    if not isinstance(text_cfg, Mapping):
        return None
    borrowed = str(text_cfg.get("hf_model_name") or text_cfg.get("hf_tokenizer_name") or "")
    return next((found for pattern, found in _TOKENIZERS if fnmatchcase(borrowed.lower(), pattern.lower())), None)
