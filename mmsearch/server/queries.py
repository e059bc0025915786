"""What a client asks, as the library takes it: pictures are ids or uploads, never paths of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmsearch.language import questions
from mmsearch.library.library import Library
from mmsearch.query import parser
from mmsearch.query.files import NoFiles
from mmsearch.query.model import Condition, Near, Query, Vector, Words
from mmsearch.server.errors import Refused


def read_query(text: str, where: str = "", show_places: bool = True) -> Query:
    """The query of a client; an empty one is for all photos.  Raises QueryError, with the column in ``text``."""
    query = parser.parse([text], NoFiles()) if text.strip() else Query(order="date")
    if where.strip():
        query = replace(query, conditions=(*query.conditions, *parser.parse_conditions(where, NoFiles())))
    if not show_places and any(_is_near(condition) for condition in query.conditions):
        raise Refused(403, "places-hidden", "places of photos are hidden here, so near: cannot be asked for")
    return query


def _is_near(condition: Condition) -> bool:
    fits = getattr(condition.fits, "fits", (condition.fits,))
    return any(isinstance(one, Near) for one in fits)


def question_of(query: Query) -> str | None:
    """The question in a query; None where it has none."""
    texts = [term.text for term in query.terms if isinstance(term, Words) and not term.exact and not term.exclude]
    return next((text for text in texts if questions.parse(text)), None)


@dataclass(frozen=True)
class Shown:
    """Photos of the library as examples: their stored vectors."""

    ids: frozenset[int]
    vectors: tuple[Vector, ...]


def examples(library: Library, ids: Sequence[int]) -> Shown:
    """The stored vectors of photos, by their ids; no file is opened.  Raises Refused for one that is unknown."""
    model = library.store.model()
    found = []
    for photo_id in ids:
        photo = library.photo(photo_id)
        vector = None if photo is None or model is None else library.store.vector_of(photo.path, model)
        if vector is None or model is None or photo is None:
            raise unknown_photo(photo_id)
        if photo.is_sound:
            raise Refused(422, "no-vector", "an audio file has no vector: nothing looks like it", id=photo_id)
        found.append(Vector(library.store.vectors(np.array([vector], np.int64), model.dim)[0]))
    return Shown(frozenset(ids), tuple(found))


def unknown_photo(photo_id: int) -> Refused:
    """The answer where nothing is known by this id."""
    return Refused(404, "unknown-photo", f"no photo has the id {photo_id} (any more)", id=photo_id)
