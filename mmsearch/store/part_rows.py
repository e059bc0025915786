"""What a store knows of contents that have several items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mmsearch.store.types import StoredModel, StoredPart
from mmsearch.types import Ids

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store


class PartRows(Protocol):
    """The moments of films and the pages of documents."""

    def parts(self, ids: Sequence[int], model: StoredModel) -> dict[int, list[StoredPart]]:
        """All items of the contents that these vectors of ``model`` are of, in their order, by vector id.

        Only for contents that have several, and for sound; other ids are left out.
        """
        ...

    def parts_of(self, content_hash: bytes, model: StoredModel) -> list[StoredPart]:
        """The items, in their order, of a content that has several, or times; none of a photo or what is unknown."""
        ...

    def firsts(self, ids: Ids, model: StoredModel) -> Ids | None:
        """The ids (n,) of the vectors of the first items of the contents that these vectors are of; -1 where none is.

        So vectors of one file have the same.  None where each content of the library is one item.  Where the vector of
        the first item was lost, that of the first one which has one.
        """
        ...

    def without_vectors(self, model: StoredModel) -> Ids:
        """The ids, ascending, that stand for items of audio files in the place of vectors of ``model``: there are none.

        Of files that cannot be found too.  ``searchable`` gives such ids among others.
        """
        ...


def with_vectors(store: Store, model: StoredModel) -> Ids:
    """The ids of all vectors of ``model`` that may be found, ascending, without those that stand for sound."""
    ids, without = store.searchable(model), store.without_vectors(model)
    return np.setdiff1d(ids, without, assume_unique=True) if len(without) else ids
