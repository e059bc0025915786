"""What looks closely at single photos, of the library and others."""

from __future__ import annotations

import numpy as np

from mmsearch.library.models import Models
from mmsearch.rerank.inspect import Looker
from mmsearch.store.paths import spellings
from mmsearch.store.protocol import Store
from mmsearch.types import Regions


def looker(store: Store, models: Models, max_megapixels: float) -> Looker:
    """A ``Looker`` with the library's reranker and what gives its tokens; photos above ``max_megapixels`` are refused.

    Raises NoModelError, ModelError, ModelMismatchError.
    """
    stored = models.active()
    encoder = models.encoder(stored)
    reranker = models.reranker(encoder)
    of = models.token_model(stored, encoder)

    def tokens(path: str) -> Regions | None:
        vector = next((n for way in spellings(path) if (n := store.vector_of(way, stored)) is not None), None)
        if vector is None or of is None:
            return None
        found, there = of.tokens(store, np.array([vector], np.int64), stored)
        return found if there[0] else None

    return Looker(models.token_encoder(encoder), reranker, max_megapixels, tokens)
