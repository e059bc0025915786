"""Region tokens as blobs: their kind, and what comes out of a ``BlobStore`` as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import size, unpack
from mmsearch.store.types import TOKENS, BlobKind, StoredModel
from mmsearch.types import Ids, Regions

if TYPE_CHECKING:
    from mmsearch.store.protocol import BlobStore


def tokens_of(model: StoredModel, card: RegionCard) -> BlobKind:
    """The kind of a model's region tokens of this card; their ids are those of vectors."""
    return BlobKind(TOKENS, model.fingerprint, card.fingerprint)


def region_tokens(
    blobs: BlobStore, ids: Ids, model: StoredModel, card: RegionCard
) -> tuple[Regions, NDArray[np.bool_]]:
    """What ``Store.regions`` returns."""
    numbers = ids.tolist()
    found = blobs.get(tokens_of(model, card), numbers)
    absent = bytes(size(card.side**2, card.dim))
    existing = np.array([number in found for number in numbers], np.bool_)
    return unpack([found.get(number, absent) for number in numbers], card.side**2, card.dim), existing
