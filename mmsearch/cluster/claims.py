"""Who encodes which content: of files with the same bytes one is encoded, whichever machines read them."""

from __future__ import annotations

from collections.abc import Iterable


class Claims:
    """Contents by who came first, and how often each block of files was begun.  One process of a run holds it.

    A block that is begun again, because the machine that had it went away, has what it claimed before.
    """

    def __init__(self, known: Iterable[bytes]) -> None:
        """``known`` are the hashes of contents that have vectors."""
        self._known = frozenset(known)
        self._claimed: dict[bytes, int] = {}  # hash -> block
        self._begun: dict[int, int] = {}  # block -> how often

    def begin(self, block: int) -> int:
        """How often this block was begun, this time included."""
        self._begun[block] = self._begun.get(block, 0) + 1
        return self._begun[block]

    def claim(self, block: int, content_hash: bytes) -> bool:
        """Whether this block is to encode this content."""
        return content_hash not in self._known and self._claimed.setdefault(content_hash, block) == block
