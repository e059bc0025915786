"""What every store does to look after a library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mmsearch.encoders.protocol import RegionCard
from mmsearch.store.types import Damage, Tidied
from mmsearch.types import Progress


class Care(Protocol):
    """Looking after a library: what does not hold in it, its space, a copy of it."""

    def damages(self, card: RegionCard | None, deep: bool = False) -> list[Damage]:
        """What does not hold; ``deep`` reads all of it.  ``card`` is that of the region tokens."""
        ...

    def mend(self, card: RegionCard | None) -> None:
        """Mend what ``damages`` finds, where that can be done."""
        ...

    def vacuum(self) -> None:
        """Give the space of what was deleted back."""
        ...

    def settle(self) -> None:
        """Put what an index run left in order, where that is due: blobs in small packs, packs that nobody names."""
        ...

    def tidy_blobs(self, age: float | None = None) -> Tidied:
        """Compare blobs in an object store with what is named, both ways, and put them in order.

        Packs that nobody names are deleted once they, or the last that named them, are older than ``age`` seconds, by
        default a day.  The writer's lock is held.  Raises LibraryError.
        """
        ...

    def backup(self, file: Path, force: bool = False, progress: Callable[[Progress], None] | None = None) -> None:
        """Copy all but the index to one file, as it is at one moment; an existing one is replaced only with ``force``.

        Asked only of a driver whose ``Capabilities`` say so.  Raises TransferError.
        """
        ...
