"""What a library knows of its files, without a search."""

from __future__ import annotations

from collections.abc import Iterator

from mmsearch.store.paths import spellings
from mmsearch.store.protocol import Store
from mmsearch.types import PathLike, Photo

AT_ONCE = 1000  # pictures whose files are read at once


def photo_at(store: Store, path: PathLike) -> Photo | None:
    """The file at a path, however the store writes it; None where none can be found there."""
    model = store.model()
    if model is None:
        return None
    for way in spellings(path):
        vector = store.vector_of(way, model)
        files = [] if vector is None else store.photos([vector]).get(vector, [])
        found = next((photo for photo in files if photo.path == way), None)
        if found is not None:
            return found
    return None


def photos(store: Store) -> Iterator[Photo]:
    """All files that can be found, by the ids of their vectors; those that come meanwhile are left out."""
    model = store.model()
    ids = [] if model is None else store.searchable(model).tolist()
    for start in range(0, len(ids), AT_ONCE):
        found = store.photos(ids[start : start + AT_ONCE])
        for number in ids[start : start + AT_ONCE]:
            yield from found.get(number, ())
