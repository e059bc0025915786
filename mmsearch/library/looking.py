"""What looks closely at single photos, of the library and others."""

from __future__ import annotations

import numpy as np

from mmsearch.errors import ArgumentError
from mmsearch.library.models import Models
from mmsearch.media.part_picture import Place
from mmsearch.rerank.inspect import Looker
from mmsearch.store.paths import spellings
from mmsearch.store.protocol import Store
from mmsearch.types import Photo, Regions


def looker(store: Store, models: Models, max_megapixels: float) -> Looker:
    """A ``Looker`` with the library's reranker and what gives its tokens; photos above ``max_megapixels`` are refused.

    Raises NoModelError, ModelError, ModelMismatchError.
    """
    stored = models.active()
    encoder = models.encoder(stored)
    reranker = models.reranker(encoder)
    of = models.token_model(stored, encoder)

    def tokens(path: str, part: int) -> Regions | None:
        vector = next((n for way in spellings(path) if (n := store.vector_of(way, stored)) is not None), None)
        if vector is not None and part:
            parts = store.parts([vector], stored).get(vector, ())
            vector = next((one.vector for one in parts if one.part == part and one.vector >= 0), None)
        if vector is None or of is None:
            return None
        found, there = of.tokens(store, np.array([vector], np.int64), stored)
        return found if there[0] else None

    return Looker(models.token_encoder(encoder), reranker, max_megapixels, tokens)


def place(store: Store, photo: Photo, part: int | None, at_ms: int | None) -> Place | None:
    """Which frame or page of a file these name; see ``Browsing.place``."""
    if part is None and at_ms is None:
        return None
    model, content_hash = store.model(), store.content_hash(photo.id)
    parts = [] if model is None or content_hash is None else store.parts_of(content_hash, model)
    if at_ms is not None:
        longest = photo.film.duration_ms if photo.film else 0
        shows = photo.film is not None and not photo.is_sound
        if not shows or at_ms > longest:
            wanted = f"milliseconds from 0 to {longest}" if shows else "None: this is no film"
            raise ArgumentError("at_ms", repr(at_ms), wanted)
        return Place(0, at_ms)
    found = next((one for one in parts if one.part == part), None)
    if found is None and part != 0:
        raise ArgumentError("part", repr(part), f"a number from 0 to {max(0, len(parts) - 1)}: it has no other parts")
    return None if found is None else Place(found.part, found.at_ms)
