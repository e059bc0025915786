"""Region tokens for pictures that were indexed without them: read again, encoded again, and the tokens stored.

What else reading them gives, description and hash, is stored too.  A transaction a batch, while the next one is
encoded: a kill loses at most these two, and the next run goes on.  Vectors stay as they are, so no index changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.region_codec import pack
from mmsearch.ingest.pipeline import Options, Read, ahead, batches, one_ahead, read_file, suited
from mmsearch.store.sqlite.store import Store
from mmsearch.store.types import Lacking, StoredModel
from mmsearch.types import IndexReport, Preprocess, Progress


def fill(
    store: Store,
    model: StoredModel,
    encoder: Encoder,
    roots: Sequence[str],
    options: Options,
    report: IndexReport,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """The tokens that pictures in or below ``roots`` lack; ``report`` with what was done.

    A file that cannot be read, or holds something else by now, is left alone: the walk over the folders speaks of it.
    """
    card = encoder.card.regions if options.regions else None
    if card is None:
        return report
    started, shares, filled = time.perf_counter(), dict(report.shares), 0
    options, threads = suited(options, encoder)
    todo = store.lacking_regions(model, card, roots)
    done = 0

    def again(lacking: Lacking) -> tuple[Lacking, Read]:
        return lacking, read_again(lacking, encoder.card.preprocess, options.max_megapixels)

    def tokens(batch: list[tuple[Lacking, Read]]) -> tuple[list[bytes] | None, float]:
        begun = time.perf_counter()
        pixels = [read.picture.pixels for _, read in batch if read.picture is not None]
        regions = encoder.encode_pictures(np.stack(pixels))[1] if pixels else None
        return None if regions is None else pack(regions), time.perf_counter() - begun

    for batch, (packed, encode) in one_ahead(batches(ahead(todo, again, options), options.batch), tokens, threads):
        begun = time.perf_counter()
        found = [(lacking.content, read.picture) for lacking, read in batch if read.picture is not None]
        if packed is not None:
            with store.writing() as writer:
                for (content, picture), data in zip(found, packed, strict=True):
                    writer.put_regions(content, data, model, card)
                    writer.put_facts(content, picture)
            filled += len(found)
        stored = time.perf_counter() - begun
        seconds = {"read": sum(read.seconds for _, read in batch), "encode": encode / threads, "store": stored}
        shares = {step: shares.get(step, 0.0) + seconds[step] for step in seconds}
        for _, read in batch:
            done += 1
            if progress is not None:
                progress(Progress(done, len(todo), read.file.path, "regions"))
    return replace(
        report,
        regions=filled,
        seconds=round(report.seconds + time.perf_counter() - started, 3),
        shares={step: round(seconds, 3) for step, seconds in shares.items()},
    )


def read_again(lacking: Lacking, preprocess: Preprocess, max_megapixels: float) -> Read:
    """The first of a content's files that still holds it; where none does, the last, without a picture."""
    for file in lacking.files:
        read = read_file(file, lambda content_hash: content_hash == lacking.hash, preprocess, max_megapixels)
        if read.picture is not None:
            break
    return read
