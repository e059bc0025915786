"""What looks closely at single photos, of the library and others."""

from __future__ import annotations

import numpy as np

from mmsearch.library.models import Models
from mmsearch.rerank.inspect import Looker
from mmsearch.store.paths import spellings
from mmsearch.store.protocol import Store
from mmsearch.types import Regions


def looker(store: Store, models: Models, max_megapixels: float) -> Looker:
    """A ``Looker`` with the library's model and reranker; photos above ``max_megapixels`` are refused.

    Raises NoModelError, ModelError, ModelMismatchError.
    """
    stored = models.active()
    reranker = models.reranker()
    encoder = models.encoder(stored)
    card = encoder.card.regions

    def tokens(path: str) -> Regions | None:
        vector = next((n for way in spellings(path) if (n := store.vector_of(way, stored)) is not None), None)
        if vector is None or card is None:
            return None
        found, there = store.regions(np.array([vector], np.int64), stored, card)
        return found if there[0] else None

    return Looker(encoder, reranker, max_megapixels, tokens)
