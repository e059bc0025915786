"""Region tokens that pictures lack: files are read again, encoded again, and the tokens stored.

They lack them where they were indexed without, and where the tokens are of another model than the one that is searched
with: then its vectors are stored beside them.  A picture is read and decoded a second time for that: each model wants
its pixels at another size.

What else reading them gives, metadata and hash, is stored too, unless another model asks for it: the hash of looks is
of what the model that is searched with sees.  The next batch is encoded while one is stored.  Vectors that are searched
stay as they are, so no index changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsearch.encoders.region_codec import pack
from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.read import Read, read_again
from mmsearch.store.region_tokens import TokenModel
from mmsearch.store.types import PendingItem
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Vectors

Made = list[tuple[bytes, Vectors]]  # packed tokens and vector (dim,) of each picture that could be read


class RegionTokens(Enrichment[PendingItem, tuple[PendingItem, Read], Made]):
    """The region tokens that pictures lack.

    A file that cannot be read, or holds something else by now, is left alone: the walk over the folders speaks of it.
    """

    name = "regions"
    share = "encode"
    reads = True

    def __init__(self, context: IngestContext, tokens: TokenModel) -> None:
        self._context, self._tokens = context, tokens
        self._beside = tokens.encoder is not context.encoder
        if self._beside:
            self.share = "tokens"  # told apart in the report: it is what this costs
        options, self.threads = context.options.suited(tokens.encoder)
        self.batch = options.batch

    @classmethod
    def of(cls, context: IngestContext) -> RegionTokens | None:
        """None where no model gives any."""
        return None if context.tokens is None else cls(context, context.tokens)

    def pending(self) -> list[PendingItem]:
        context, tokens = self._context, self._tokens
        of = tokens.stored if self._beside else None
        return context.store.pending_regions(context.model, tokens.card, context.roots, of)

    def read(self, item: PendingItem) -> tuple[PendingItem, Read]:
        preprocess = self._tokens.encoder.card.preprocess
        return item, read_again(item, preprocess, self._context.options.max_megapixels)

    def compute(self, batch: Sequence[tuple[PendingItem, Read]]) -> Made:
        """The tokens of the pictures that could be read; empty where the encoder gave none."""
        pixels = [read.picture.pixels for _, read in batch if read.picture is not None]
        if not pixels:
            return []
        vectors, regions = self._tokens.encoder.encode_pictures(np.stack(pixels))
        return [] if regions is None else list(zip(pack(regions), vectors, strict=True))

    def save(self, writer: StoreWriter, batch: Sequence[tuple[PendingItem, Read]], result: Made) -> int:
        found = [(item, read.picture) for item, read in batch if read.picture is not None]
        if not result:
            return 0
        tokens = self._tokens
        for (item, picture), (packed, vector) in zip(found, result, strict=True):
            writer.put_regions(item.item, packed, tokens.stored, tokens.card, vector if self._beside else None)
            if not self._beside:
                writer.put_metadata(item.content, picture)
        return len(found)

    def path(self, job: tuple[PendingItem, Read]) -> str:
        return job[1].file.path
