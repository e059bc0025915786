"""Facts of pictures that were indexed by an earlier version: their description, and the hash of what they look like.

They are read again, not encoded.  A transaction a batch: a kill loses at most the batch in flight, and the next run
goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from mmsearch.ingest.enrich.regions import read_again
from mmsearch.ingest.pipeline import Options, Read, ahead, batches
from mmsearch.store.sqlite.store import Store
from mmsearch.store.types import Lacking, StoredModel
from mmsearch.types import IndexReport, Preprocess, Progress


def fill(
    store: Store,
    model: StoredModel,
    preprocess: Preprocess,
    roots: Sequence[str],
    options: Options,
    report: IndexReport,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """The facts that pictures in or below ``roots`` lack; ``report`` with what was done.

    A file that cannot be read, or holds something else by now, is left alone: the walk over the folders speaks of it.
    """
    started, seconds, done, filled = time.perf_counter(), 0.0, 0, 0
    todo = store.lacking_facts(model, roots)

    def again(lacking: Lacking) -> tuple[Lacking, Read]:
        return lacking, read_again(lacking, preprocess, options.max_megapixels)

    for batch in batches(ahead(todo, again, options), options.batch):
        with store.writing() as writer:
            for lacking, read in batch:
                if read.picture is not None:
                    writer.put_facts(lacking.content, read.picture)
                    filled += 1
        for _, read in batch:
            done += 1
            seconds += read.seconds
            if progress is not None:
                progress(Progress(done, len(todo), read.file.path, "facts"))
    if not todo:
        return report
    return replace(
        report,
        facts=filled,
        seconds=round(report.seconds + time.perf_counter() - started, 3),
        shares={**report.shares, "read": round(report.shares.get("read", 0.0) + seconds, 3)},
    )
