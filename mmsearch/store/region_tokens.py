"""Region tokens as blobs: whose they are, their kind, and what comes out of a ``BlobStore`` as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder, RegionCard
from mmsearch.encoders.region_codec import size, unpack
from mmsearch.store.types import TOKENS, BlobKind, StoredModel
from mmsearch.types import Ids, Regions

if TYPE_CHECKING:
    from mmsearch.store.blob_store import BlobStore
    from mmsearch.store.protocol import Store


@dataclass(frozen=True)
class TokenModel:
    """The model whose image towers give the region tokens of a library.

    It is the model that the library is searched with, or the embedded one beside it: of each picture it then has a
    vector too, which tells what the picture shows.
    """

    encoder: Encoder
    stored: StoredModel
    card: RegionCard  # of the encoder's tokens

    def ids(self, store: Store, ids: Ids, model: StoredModel) -> Ids:
        """The ids (n,) of its own vectors of the pictures with these vectors of ``model``; -1 where it has none."""
        return ids if model.id == self.stored.id else store.of_model(ids, self.stored)

    def tokens(self, store: Store, ids: Ids, model: StoredModel) -> tuple[Regions, NDArray[np.bool_]]:
        """What ``Store.regions`` returns, for the ids (n,) of vectors of ``model``."""
        return store.regions(self.ids(store, ids, model), self.stored, self.card)


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
