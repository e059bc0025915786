"""Captions for pictures that have region tokens: no file is read again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.rerank.captions import Caption
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.resolve import for_encoder
from mmsearch.store.region_tokens import TokenModel
from mmsearch.store.types import PendingVector
from mmsearch.store.writing import StoreWriter


class Captions(Enrichment[PendingVector, PendingVector, list[Caption]]):
    """Captions that pictures lack of this reranker; those without region tokens get none."""

    name = "captions"
    share = "caption"

    def __init__(self, context: IngestContext, tokens: TokenModel, reranker: Reranker) -> None:
        self._context, self._tokens, self._reranker = context, tokens, reranker
        self.batch = context.options.batch

    @classmethod
    def of(cls, context: IngestContext) -> Captions | None:
        """None where there are no region tokens.  Raises ModelError where there is no reranker for them."""
        reranker = for_encoder(context.encoder, context.options.reranker)
        return None if context.tokens is None else cls(context, context.tokens, reranker)

    def pending(self) -> list[PendingVector]:
        context, of = self._context, self._tokens
        return context.store.pending_captions(of.stored, of.card, self._reranker.card.fingerprint, context.roots)

    def compute(self, batch: Sequence[PendingVector]) -> list[Caption]:
        vectors = np.array([item.vector for item in batch], np.int64)
        tokens, _ = self._context.store.regions(vectors, self._tokens.stored, self._tokens.card)
        return [captions[0] for captions in self._reranker.caption(tokens)]

    def save(self, writer: StoreWriter, batch: Sequence[PendingVector], result: list[Caption]) -> int:
        for item, caption in zip(batch, result, strict=True):
            writer.put_caption(item.item, self._reranker.card.fingerprint, caption.text, caption.confidence)
        return len(batch)

    def path(self, job: PendingVector) -> str:
        return job.path
