"""Which reranker goes with an encoder."""

from __future__ import annotations

import os
from pathlib import Path

from mmsearch.encoders.protocol import Encoder, ModelCard
from mmsearch.errors import ModelError
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.rerank.reranker import Reranker

SHIPPED = Path(__file__).parent / "weights" / "embedded"  # of the embedded model's region tokens

_ADVICE = "train one for it with `mmsearch train-reranker`"


def find(card: ModelCard, wanted: str = "auto", shipped: Path = SHIPPED) -> Path | None:
    """The folder of the reranker for an encoder's region tokens, or None.

    ``wanted`` is the setting ``reranker``: ``auto`` takes the one that ships where it fits, ``none`` none, anything
    else is the folder of one that must fit.  Raises ModelError.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        fits = (shipped / "reranker.json").is_file() and RerankCard.read(shipped).regions == region_key(card)
        return shipped if fits else None
    folder = Path(os.path.expanduser(wanted)).absolute()
    if RerankCard.read(folder).regions != region_key(card):
        raise ModelError(
            f"the reranker {folder} was trained on other region tokens than {card.name} gives; {_ADVICE}, or set "
            "reranker to auto"
        )
    return folder


def for_encoder(encoder: Encoder, wanted: str = "auto") -> Reranker:
    """The reranker for an encoder.  Raises ModelError where there is none."""
    folder = find(encoder.card, wanted)
    if folder is None:
        why = "the setting reranker is none" if wanted == "none" else f"{encoder.card.name} has no reranker; {_ADVICE}"
        raise ModelError(why)
    return Reranker(folder, encoder)
