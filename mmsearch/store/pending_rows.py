"""What the enrichments of pictures ask of a store: what each has still to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from mmsearch.encoders.protocol import RegionCard
from mmsearch.store.types import PendingItem, PendingVector, SidecarState, StoredModel


class PendingRows(Protocol):
    """What an enrichment has still to look at; each method names one.  What is read comes in the order of paths.

    Nothing that is made of pictures or vectors is pending of audio files.
    """

    def pending_regions(
        self, model: StoredModel, card: RegionCard, roots: Sequence[str], of: StoredModel | None = None
    ) -> list[PendingItem]:
        """Items in or below ``roots`` that can be found with ``model``, but without tokens of this card.

        With ``of`` the tokens, and a vector, of that model are wanted.
        """
        ...

    def pending_metadata(self, model: StoredModel, roots: Sequence[str]) -> list[PendingItem]:
        """The first items of contents in or below ``roots`` that can be found, but were not read by this version."""
        ...

    def pending_text(self, engine: str, roots: Sequence[str]) -> list[PendingItem]:
        """Items in or below ``roots`` that can be found, but were not looked at for text by this engine."""
        ...

    def pending_speech(self, engine: str, roots: Sequence[str]) -> list[PendingItem]:
        """The first items of films and of audio files in or below ``roots``, with sound, not yet heard by this engine.

        Audio files without words are among them, which nothing else finds.
        """
        ...

    def pending_captions(
        self, model: StoredModel, card: RegionCard, reranker: str, roots: Sequence[str]
    ) -> list[PendingVector]:
        """Items in or below ``roots`` that can be found and have tokens of this card, but no caption.

        A caption of another reranker than that of this fingerprint is none.  In the order of their ids.
        """
        ...

    def pending_tags(self, model: StoredModel, vocabulary: str, within: Sequence[str] = ()) -> list[PendingVector]:
        """Items that can be found and were not compared with this vocabulary, by its fingerprint.

        ``within`` keeps those that have a file in or below these paths.  In the order of their ids.
        """
        ...

    def sidecar_states(self, roots: Sequence[str]) -> Iterator[SidecarState]:
        """The photos in or below ``roots`` that can be found, in the order of their paths.

        Audio files without words too: some may have come.
        """
        ...
