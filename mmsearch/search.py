"""Candidates for a query, best first."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import ImageError, QueryError
from mmsearch.images.decode import decode
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.query import Example, Query, Words
from mmsearch.records import Hit, Vectors
from mmsearch.second_stage import Scored, SecondStage
from mmsearch.store.store import Store, StoredModel


def search(
    store: Store,
    model: StoredModel,
    index: VectorIndex,
    encoder: Encoder,
    query: Query,
    k: int,
    within: Sequence[str] = (),
    max_megapixels: float = 200.0,
    second: SecondStage | None = None,
) -> list[Hit]:
    """The ``k`` best pictures, fewer where fewer are stored, in or below the paths ``within`` where given.

    With ``second`` the best ones are looked at again, if the query has words.  A picture that the query gives as an
    example is not among its own hits.  Raises QueryError.
    """
    if k < 1:
        raise QueryError(f"k must be at least 1, not {k}")
    examples = {os.path.realpath(term.path) for term in query.terms if isinstance(term, Example)}
    texts = [term.text for term in query.terms if isinstance(term, Words)]
    if second is not None and texts:
        query = second.first_query(query)
    else:
        second = None
    vector = encode(query, encoder, max_megapixels)
    allowed = store.searchable(model, within) if within else None
    if allowed is not None and not len(allowed) and not any(os.path.lexists(path) for path in within):
        raise QueryError(f"{within[0]}: no such file or folder, and no picture is known there")
    wanted = max(k, second.candidates if second is not None else 0) + len(examples)
    found = index.search(vector, min(wanted, max(len(index), 1)), allowed)
    there = found.ids[0] >= 0
    scored = [Scored(int(number), float(score)) for number, score in zip(found.ids[0], found.scores[0], strict=True)]
    scored = [one for one, real in zip(scored, there, strict=True) if real]
    if second is not None:
        scored = second.rank(texts, scored, store, model, encoder)
    photos = store.photos([one.number for one in scored], within)
    # Best first; a vector may have several files, or none any more where another process removed it.
    ranked = [(one, photo) for one in scored for photo in photos.get(one.number, ())]
    others = [(one, photo) for one, photo in ranked if not examples or os.path.realpath(photo.path) not in examples]
    return [
        Hit(rank, round(one.score, 4), photo, one.first, one.answer, one.confidence)
        for rank, (one, photo) in enumerate(others[:k], 1)
    ]


def encode(query: Query, encoder: Encoder, max_megapixels: float) -> Vectors:
    """The query as one unit row, (1, dim): the mean of its terms' vectors.

    A full stop or question mark at the end of a text is left out: it says nothing, but models trained on captions that
    end with one find up to a fifth other photos for it (``python -m benchmarks.short_queries``).
    """
    texts = [term.text.rstrip(" .,;:!?") or term.text for term in query.terms if isinstance(term, Words)]
    rows = [encoder.encode_texts(texts)] if texts else []
    pictures = []
    for term in query.terms:
        if isinstance(term, Example):
            try:
                with open(term.path, "rb") as file:
                    pictures.append(decode(file, term.path, encoder.card.preprocess, max_megapixels).pixels)
            except ImageError as error:
                raise QueryError(f"{error.path} cannot be used as a query: {error.reason}") from error
            except OSError as error:
                raise QueryError(f"{term.path} cannot be used as a query: {error.strerror or error}") from error
    if pictures:
        rows.append(encoder.encode_images(np.stack(pictures)))
    mean = np.concatenate(rows).mean(axis=0, keepdims=True)
    vector: Vectors = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return vector
