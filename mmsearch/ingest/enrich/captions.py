"""Captions for pictures that have region tokens: no file is read again.

A transaction a batch: a kill loses at most the batch in flight, and the next run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.ingest.pipeline import batches
from mmsearch.rerank.reranker import Reranker
from mmsearch.store.sqlite.store import Store
from mmsearch.store.types import StoredModel
from mmsearch.types import IndexReport, Progress


def fill(
    store: Store,
    model: StoredModel,
    encoder: Encoder,
    reranker: Reranker,
    roots: Sequence[str],
    batch: int,
    report: IndexReport,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """The captions of this reranker that pictures in or below ``roots`` lack; ``report`` with what was done.

    A picture without region tokens of ``encoder`` gets none.
    """
    card = encoder.card.regions
    if card is None:
        return report
    started, done = time.perf_counter(), 0
    fingerprint = reranker.card.fingerprint
    todo = store.lacking_captions(model, card, fingerprint, roots)
    for some in batches(iter(todo), batch):
        tokens, _ = store.regions(np.array([item.vector for item in some], np.int64), model, card)
        said = [captions[0] for captions in reranker.caption(tokens)]
        with store.writing() as writer:
            for item, caption in zip(some, said, strict=True):
                writer.put_caption(item.content, fingerprint, caption.text, caption.confidence)
        for item in some:
            done += 1
            if progress is not None:
                progress(Progress(done, len(todo), item.path, "captions"))
    seconds = time.perf_counter() - started
    return replace(
        report,
        captions=done,
        seconds=round(report.seconds + seconds, 3),
        shares={**report.shares, "caption": round(seconds, 3)},
    )
