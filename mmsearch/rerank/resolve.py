"""Which reranker goes with an encoder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmsearch.encoders.factory import embedded
from mmsearch.encoders.protocol import Encoder, ModelCard
from mmsearch.errors import ModelError
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.rerank.reranker import Reranker

SHIPPED = Path(__file__).parent / "weights" / "embedded"  # of the embedded model's region tokens

_SETTING = "set reranker (MMSEARCH_RERANKER) to a folder with a trained reranker, to auto or to none"


@dataclass(frozen=True)
class Reading:
    """What looks closely at the pictures of a library: a reranker, and the encoder whose region tokens it reads."""

    encoder: Encoder
    folder: Path | None  # of the reranker; None where there is none for these tokens


def find(card: ModelCard, wanted: str = "auto", shipped: Path = SHIPPED) -> Path | None:
    """The folder of the reranker for an encoder's own region tokens, or None.

    ``wanted`` is the setting ``reranker``: ``auto`` takes the one that ships where it fits, ``none`` none, anything
    else is the folder of one that must fit.  Raises ModelError.
    """
    folder = _folder(wanted, shipped)
    if folder is None or _regions(folder, wanted) == region_key(card):
        return folder
    if wanted == "auto":
        return None
    raise _unfit(folder, card)


def reading(
    encoder: Encoder, wanted: str = "auto", towers: Callable[[], Encoder] = embedded, shipped: Path = SHIPPED
) -> Reading:
    """The reranker for the pictures of an encoder's library, ``wanted`` as for ``find``.

    Where it does not read the encoder's own region tokens, those of ``towers``, the embedded model, are made beside the
    encoder's vectors and read; where it reads neither, ``auto`` finds none, and a folder is a ModelError.
    """
    folder = _folder(wanted, shipped)
    if folder is None:
        return Reading(encoder, None)
    regions = _regions(folder, wanted)
    if regions == region_key(encoder.card):
        return Reading(encoder, folder)
    other = towers()
    if regions == region_key(other.card):
        return Reading(other, folder)
    if wanted == "auto":
        return Reading(encoder, None)
    raise _unfit(folder, encoder.card)


def _folder(wanted: str, shipped: Path) -> Path | None:
    """The folder that the setting names; None for none."""
    if wanted == "none" or (wanted == "auto" and not (shipped / "reranker.json").is_file()):
        return None
    return shipped if wanted == "auto" else Path(os.path.expanduser(wanted)).absolute()


def _regions(folder: Path, wanted: str) -> str:
    """The ``region_key`` of the tokens that the reranker in ``folder`` reads.  Raises ModelError."""
    return _read(folder, "install mmsearch again" if wanted == "auto" else _SETTING).regions


def _unfit(folder: Path, card: ModelCard) -> ModelError:
    return ModelError(
        f"the reranker {folder} was trained on other region tokens than {card.name} gives; set reranker to auto, "
        "or train one for it",
        code="no-reranker",
    )


def _read(folder: Path, advice: str) -> RerankCard:
    """The card in ``folder``.  Raises ModelError with ``advice``."""
    try:
        return RerankCard.read(folder)
    except ModelError as error:
        raise ModelError(f"{error}; {advice}") from error


def for_encoder(encoder: Encoder, wanted: str = "auto", quick: bool = False) -> Reranker:
    """The reranker for the pictures of an encoder's library; its own ``encoder`` is the one whose tokens it reads.

    ``quick`` is as ``Reranker`` takes it.  Raises ModelError where there is none.
    """
    return load(reading(encoder, wanted), wanted, quick)


def load(found: Reading, wanted: str = "auto", quick: bool = False) -> Reranker:
    """The reranker of what ``reading`` found.  Raises ModelError where that is none."""
    if found.folder is None:
        if wanted == "none":
            raise ModelError("the setting reranker is none")
        raise ModelError(f"{found.encoder.card.name} has no reranker; train one for it", code="no-reranker")
    return Reranker(found.folder, found.encoder, quick=quick)
