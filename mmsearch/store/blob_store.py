"""Bytes that belong to items: what is asked of whoever has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mmsearch.store.types import BlobKind


class BlobTaker(Protocol):
    """What blobs are given to, within a transaction."""

    def put(self, kind: BlobKind, blobs: Mapping[int, bytes]) -> None:
        """Store blobs by id, in place of those of this kind, and of other versions of it, that there are."""
        ...


class BlobStore(BlobTaker, Protocol):
    """Bytes by kind and id: the packed region tokens of items, by the ids of their vectors."""

    def get(self, kind: BlobKind, ids: Sequence[int]) -> dict[int, bytes]:
        """The blobs of this kind that there are of these ids.

        Raises LibraryError where they are in an object store that does not answer (code ``blobs-unreachable``), or
        that lacks or damaged them (``blobs-missing``, ``blobs-damaged``).
        """
        ...

    def delete(self, kind: BlobKind, ids: Sequence[int]) -> None:
        """Forget these; ids that have none are no error."""
        ...
