"""Files that a library is to know nothing of any more."""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.store.paths import spellings
from mmsearch.store.protocol import Store, VectorSearch
from mmsearch.store.types import Losses
from mmsearch.types import PathLike


def losses(store: Store, paths: Sequence[PathLike]) -> Losses:
    """What would be lost if these files were forgotten."""
    written = (next((way for way in spellings(path) if store.losses([way]).photos), None) for path in paths)
    return store.losses([way for way in written if way is not None])


def forget(store: Store, vectors: VectorSearch, paths: Sequence[PathLike]) -> int:
    """Forget files, or everything below folders, in store and index; returns how many.  The writer's lock is held."""
    model = store.model()
    if model is not None:
        vectors.refresh(model)
    with store.writing() as writer:
        # The path as it is written goes first: a link in a known folder is forgotten, not what it leads to.
        removed = sum(next((gone for way in spellings(path) if (gone := writer.remove(way))), 0) for path in paths)
        writer.sweep()
    if model is not None:
        vectors.refresh(model, save=True)
    return removed
