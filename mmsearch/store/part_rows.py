"""What a store knows of contents that have several items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mmsearch.store.types import StoredModel, StoredPart
from mmsearch.types import Ids


class PartRows(Protocol):
    """The moments of films and the pages of documents."""

    def parts(self, ids: Sequence[int], model: StoredModel) -> dict[int, list[StoredPart]]:
        """All items of the contents that these vectors of ``model`` are of, in their order, by vector id.

        Only for contents that have several; other ids are left out.
        """
        ...

    def parts_of(self, content_hash: bytes, model: StoredModel) -> list[StoredPart]:
        """The items, in their order, of a content that has several, or times; none of a photo or what is unknown."""
        ...

    def firsts(self, ids: Ids, model: StoredModel) -> Ids | None:
        """The ids (n,) of the vectors of the first items of the contents that these vectors are of; -1 where none is.

        So vectors of one file have the same.  None where each content of the library is one item.
        """
        ...
