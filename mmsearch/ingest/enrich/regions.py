"""Region tokens for pictures that were indexed without them: read again, encoded again, and the tokens stored.

What else reading them gives, metadata and hash, is stored too.  The next batch is encoded while one is stored.  Vectors
stay as they are, so no index changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import pack
from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.read import Read, read_again
from mmsearch.store.types import PendingItem
from mmsearch.store.writing import StoreWriter


class RegionTokens(Enrichment[PendingItem, tuple[PendingItem, Read], list[bytes]]):
    """The region tokens that pictures lack.

    A file that cannot be read, or holds something else by now, is left alone: the walk over the folders speaks of it.
    """

    name = "regions"
    share = "encode"
    reads = True

    def __init__(self, context: IngestContext, card: RegionCard) -> None:
        self._context, self._card = context, card
        options, self.threads = context.options.suited(context.encoder)
        self.batch = options.batch

    @classmethod
    def of(cls, context: IngestContext) -> RegionTokens | None:
        """None where the encoder gives none."""
        card = context.encoder.card.regions
        return None if card is None else cls(context, card)

    def pending(self) -> list[PendingItem]:
        return self._context.store.pending_regions(self._context.model, self._card, self._context.roots)

    def read(self, item: PendingItem) -> tuple[PendingItem, Read]:
        context = self._context
        return item, read_again(item, context.encoder.card.preprocess, context.options.max_megapixels)

    def compute(self, batch: Sequence[tuple[PendingItem, Read]]) -> list[bytes]:
        """The packed tokens of the pictures that could be read; empty where the encoder gave none."""
        pixels = [read.picture.pixels for _, read in batch if read.picture is not None]
        regions = self._context.encoder.encode_pictures(np.stack(pixels))[1] if pixels else None
        return [] if regions is None else pack(regions)

    def save(self, writer: StoreWriter, batch: Sequence[tuple[PendingItem, Read]], result: list[bytes]) -> int:
        found = [(item, read.picture) for item, read in batch if read.picture is not None]
        if not result:
            return 0
        for (item, picture), tokens in zip(found, result, strict=True):
            writer.put_regions(item.item, tokens, self._context.model, self._card)
            writer.put_metadata(item.content, picture)
        return len(found)

    def path(self, job: tuple[PendingItem, Read]) -> str:
        return job[1].file.path
