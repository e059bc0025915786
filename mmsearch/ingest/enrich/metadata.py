"""Metadata of pictures that were indexed by an earlier version: their description, and the hash of what they look like.

They are read again, not encoded.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.read import Pending, Read, by_content, pictures_of, read_again
from mmsearch.store.writing import StoreWriter


class Metadata(Enrichment[Pending, tuple[Pending, Read], None]):
    """The metadata that pictures lack.

    A file that cannot be read, or holds something else by now, is left alone: the walk over the folders speaks of it.
    """

    name = "facts"
    reads = True

    def __init__(self, context: IngestContext) -> None:
        self._context = context
        self.batch = context.options.batch

    @classmethod
    def of(cls, context: IngestContext) -> Metadata:
        return cls(context)

    def pending(self) -> list[Pending]:
        return by_content(self._context.store.pending_metadata(self._context.model, self._context.roots))

    def read(self, item: Pending) -> tuple[Pending, Read]:
        context = self._context
        preprocess, most = context.encoder.card.preprocess, context.options.max_megapixels
        return item, read_again(item, preprocess, most, context.decoder)

    def pictures(self, job: tuple[Pending, Read]) -> int:
        return pictures_of(job[1])

    def compute(self, batch: Sequence[tuple[Pending, Read]]) -> None:
        """Reading has made all of it."""

    def save(self, writer: StoreWriter, batch: Sequence[tuple[Pending, Read]], result: None) -> int:
        saved = 0
        for items, read in batch:
            if read.picture is not None:
                writer.put_metadata(items[0].content, read.picture)
                saved += 1
        return saved

    def path(self, job: tuple[Pending, Read]) -> str:
        return job[1].file.path
