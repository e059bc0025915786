"""Which reranker goes with an encoder."""

from __future__ import annotations

import os
from pathlib import Path

from mmsearch.encoders.protocol import Encoder, ModelCard
from mmsearch.errors import ModelError
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.rerank.reranker import Reranker

SHIPPED = Path(__file__).parent / "weights" / "embedded"  # of the embedded model's region tokens

_SETTING = "set reranker (MMSEARCH_RERANKER) to a folder with a trained reranker, to auto or to none"


def find(card: ModelCard, wanted: str = "auto", shipped: Path = SHIPPED) -> Path | None:
    """The folder of the reranker for an encoder's region tokens, or None.

    ``wanted`` is the setting ``reranker``: ``auto`` takes the one that ships where it fits, ``none`` none, anything
    else is the folder of one that must fit.  Raises ModelError.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        if not (shipped / "reranker.json").is_file():
            return None
        return shipped if _read(shipped, "install mmsearch again").regions == region_key(card) else None
    folder = Path(os.path.expanduser(wanted)).absolute()
    if _read(folder, _SETTING).regions != region_key(card):
        raise ModelError(
            f"the reranker {folder} was trained on other region tokens than {card.name} gives; set reranker to auto, "
            "or train one for it",
            code="no-reranker",
        )
    return folder


def _read(folder: Path, advice: str) -> RerankCard:
    """The card in ``folder``.  Raises ModelError with ``advice``."""
    try:
        return RerankCard.read(folder)
    except ModelError as error:
        raise ModelError(f"{error}; {advice}") from error


def for_encoder(encoder: Encoder, wanted: str = "auto", quick: bool = False) -> Reranker:
    """The reranker for an encoder; ``quick`` is as ``Reranker`` takes it.  Raises ModelError where there is none."""
    folder = find(encoder.card, wanted)
    if folder is None:
        if wanted == "none":
            raise ModelError("the setting reranker is none")
        raise ModelError(f"{encoder.card.name} has no reranker; train one for it", code="no-reranker")
    return Reranker(folder, encoder, quick=quick)
