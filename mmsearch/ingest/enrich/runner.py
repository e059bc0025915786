"""Runs enrichments: batches, a transaction each, progress, and what was done added to the report."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import replace
from typing import Generic

from mmsearch.ingest.enrich.base import Enrichment, Item, Job, Result
from mmsearch.ingest.options import Options
from mmsearch.ingest.prefetch import ahead, batches, one_ahead
from mmsearch.store.protocol import Store
from mmsearch.types import IndexReport, Progress


def enrich(
    enrichment: Enrichment[Item, Job, Result],
    store: Store,
    options: Options,
    report: IndexReport,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """Do what is pending; ``report`` with its count, seconds and busy shares added.

    A kill or Ctrl-C loses at most the batches in flight, and the next run goes on.  ``progress`` is called after each
    item that was stored, in this thread.
    """
    return _Run(enrichment, store, options, progress).run(report)


class _Run(Generic[Item, Job, Result]):
    """One run of one enrichment."""

    def __init__(
        self,
        enrichment: Enrichment[Item, Job, Result],
        store: Store,
        options: Options,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._enrichment, self._store, self._progress = enrichment, store, progress
        self._options = replace(options, batch=enrichment.batch)
        self._shares: defaultdict[str, float] = defaultdict(float)  # step -> busy seconds
        self._total: int | None = None  # None where nobody knows beforehand
        self._done = 0

    def run(self, report: IndexReport) -> IndexReport:
        enrichment, started, saved = self._enrichment, time.perf_counter(), 0
        pending = enrichment.pending()
        self._total = len(pending) if isinstance(pending, Sized) else None
        for batch, result in self._computed(batches(self._read_all(pending), enrichment.batch, enrichment.pictures)):
            saved += self._save(batch, result)
            self._report_progress(batch)
        shares = {step: report.shares.get(step, 0.0) + seconds for step, seconds in self._shares.items()}
        return replace(
            report,
            enriched={**report.enriched, enrichment.name: saved, **enrichment.counts()},
            seconds=round(report.seconds + time.perf_counter() - started, 3),
            shares={**report.shares, **{step: round(seconds, 3) for step, seconds in shares.items()}},
        )

    def _read_all(self, pending: Iterable[Item]) -> Iterator[Job]:
        if not self._enrichment.reads:
            yield from map(self._enrichment.read, pending)
            return
        for job, seconds in ahead(pending, self._timed_read, self._options, self._pictures):
            self._shares["read"] += seconds
            yield job

    def _timed_read(self, item: Item) -> tuple[Job, float]:
        begun = time.perf_counter()
        return self._enrichment.read(item), time.perf_counter() - begun

    def _pictures(self, timed: tuple[Job, float]) -> int:
        return self._enrichment.pictures(timed[0])

    def _computed(self, jobs: Iterator[list[Job]]) -> Iterator[tuple[list[Job], Result]]:
        threads = self._enrichment.threads
        timed = (
            one_ahead(jobs, self._timed_compute, threads) if threads else ((b, self._timed_compute(b)) for b in jobs)
        )
        for batch, (result, seconds) in timed:
            if self._enrichment.share:
                self._shares[self._enrichment.share] += seconds / max(1, threads)
            yield batch, result

    def _timed_compute(self, batch: Sequence[Job]) -> tuple[Result, float]:
        begun = time.perf_counter()
        return self._enrichment.compute(batch), time.perf_counter() - begun

    def _save(self, batch: Sequence[Job], result: Result) -> int:
        begun = time.perf_counter()
        with self._store.writing() as writer:
            saved = self._enrichment.save(writer, batch, result)
        self._shares["store"] += time.perf_counter() - begun
        return saved

    def _report_progress(self, batch: Sequence[Job]) -> None:
        enrichment = self._enrichment
        for job in batch:
            self._done += 1
            if self._progress is not None and self._total is not None:
                self._progress(
                    Progress(self._done, self._total, enrichment.path(job), enrichment.step or enrichment.name)
                )
