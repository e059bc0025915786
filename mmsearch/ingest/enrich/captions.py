"""Captions for pictures that have region tokens: no file is read again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsearch.encoders.protocol import RegionCard
from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.rerank.captions import Caption
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.resolve import for_encoder
from mmsearch.store.types import PendingVector
from mmsearch.store.writing import StoreWriter


class Captions(Enrichment[PendingVector, PendingVector, list[Caption]]):
    """Captions that pictures lack of this reranker; those without region tokens get none."""

    name = "captions"
    share = "caption"

    def __init__(self, context: IngestContext, card: RegionCard, reranker: Reranker) -> None:
        self._context, self._card, self._reranker = context, card, reranker
        self.batch = context.options.batch

    @classmethod
    def of(cls, context: IngestContext) -> Captions | None:
        """None where the encoder gives no region tokens.  Raises ModelError where it has no reranker."""
        reranker = for_encoder(context.encoder, context.options.reranker)
        card = context.encoder.card.regions
        return None if card is None else cls(context, card, reranker)

    def pending(self) -> list[PendingVector]:
        context = self._context
        return context.store.pending_captions(context.model, self._card, self._reranker.card.fingerprint, context.roots)

    def compute(self, batch: Sequence[PendingVector]) -> list[Caption]:
        vectors = np.array([item.vector for item in batch], np.int64)
        tokens, _ = self._context.store.regions(vectors, self._context.model, self._card)
        return [captions[0] for captions in self._reranker.caption(tokens)]

    def save(self, writer: StoreWriter, batch: Sequence[PendingVector], result: list[Caption]) -> int:
        for item, caption in zip(batch, result, strict=True):
            writer.put_caption(item.item, self._reranker.card.fingerprint, caption.text, caption.confidence)
        return len(batch)

    def path(self, job: PendingVector) -> str:
        return job.path
