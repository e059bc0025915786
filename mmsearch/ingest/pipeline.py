"""Ingest pipeline: scan -> read -> decode -> encode -> store.

Three steps go on side by side: threads read and decode files a bounded way ahead, one thread encodes a batch, and the
calling thread stores the batch before it, a transaction each.  A kill loses no more than these two batches.  Where the
encoder is on a GPU, two threads encode: the GPU has its next batch while the CPU fetches and packs what it made of the
last one.  All but storing may happen elsewhere (``produce.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from mmsearch.encoders.protocol import RegionCard
from mmsearch.ingest import produce
from mmsearch.ingest.encode import Encoded, Made
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.read import Read
from mmsearch.ingest.scan import Plan, scan
from mmsearch.ingest.scan_addresses import add_addresses, add_lacking
from mmsearch.ingest.sounds import is_sound
from mmsearch.store.steps import step
from mmsearch.store.types import Contents, StoredModel
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Damaged, IndexReport, Progress, Skipped


def run(context: IngestContext) -> IndexReport:
    """Bring the store up to date with the folders and files ``context.roots``.  Ctrl-C keeps what is stored."""
    with step("index") as told:
        report = _Run(context).run()
        told.note(added=report.added, updated=report.updated, skipped=len(report.skipped))
    return report


class _Run:
    """One index run over the folders."""

    def __init__(self, context: IngestContext) -> None:
        self._context = context
        self._card = context.own_tokens if context.options.regions else None
        self._done = 0

    def run(self) -> IndexReport:
        context, started = self._context, time.perf_counter()
        store = context.store
        # 1) scan: what is new, changed, gone
        options = context.options
        self._plan = scan(store, context.model, context.roots, options.exclude)
        if options.addresses:
            add_addresses(self._plan, store, context.model, options.addresses, options.readers)
        if context.everything:
            add_lacking(self._plan, store, context.model)
        self._ledger = _Ledger(store.contents(context.model), self._plan)
        self._store_roots()
        # 2) read, decode and encode ahead, 3) store a batch at a time
        made = (context.produce or produce.here)(context, self._plan.read, self._ledger.contents)
        with closing(made) as taken:
            for batch, encoded in taken:
                self._store_batch(batch, encoded)
                self._report_progress(batch)
        # 4) what is gone by now, and not found elsewhere
        with store.writing() as writer:
            writer.miss(self._ledger.gone)
            writer.sweep()
        return self._report(time.perf_counter() - started)

    def _store_roots(self) -> None:
        with self._context.store.writing() as writer:
            for root in self._context.roots:
                writer.add_root(root, self._context.options.exclude)
            for photo, file in self._plan.restore:
                writer.touch(photo, file)

    def _store_batch(self, batch: Sequence[Read], encoded: Encoded) -> None:
        begun, model = time.perf_counter(), self._context.model
        self._ledger.shares["encode"] += encoded.seconds
        with step("index_store", files=len(batch)), self._context.store.writing() as writer:
            for item, made in zip(batch, encoded.made, strict=True):
                self._ledger.record(writer, item, made, model, self._card)
        self._ledger.shares["store"] += time.perf_counter() - begun

    def _report_progress(self, batch: Sequence[Read]) -> None:
        for item in batch:
            self._done += 1
            if self._context.progress is not None:
                self._context.progress(Progress(self._done, len(self._plan.read), item.file.path))

    def _report(self, seconds: float) -> IndexReport:
        ledger = self._ledger
        return IndexReport(
            added=ledger.added,
            updated=ledger.updated,
            moved=ledger.moved,
            restored=ledger.restored,
            unchanged=ledger.unchanged,
            removed=len(ledger.gone),
            excluded=len(ledger.gone & self._plan.excluded),
            skipped=tuple(ledger.skipped),
            damaged=tuple(ledger.damaged),
            passed_over=self._plan.passed_suffixes,
            encoded=ledger.encoded,
            moments=ledger.moments,
            pages=ledger.pages,
            folded=ledger.folded,
            seconds=round(seconds, 3),
            model=self._context.model.name,
            notes=tuple(self._plan.notes),
            shares={step: round(seconds, 3) for step, seconds in ledger.shares.items()},
            readers=self._context.options.readers,
        )


class _Ledger:
    """What a run has done so far, and what it may reuse: known contents, and files that are not where they were."""

    def __init__(self, contents: Contents, todo: Plan) -> None:
        self.contents = contents  # hash -> id, of contents with a vector; grows as the run goes on
        self.known = todo.known
        self.gone = set(todo.gone)
        self._lost: dict[int, list[int]] = {}  # content -> photos that are gone, or were before
        taken = {file.path for file in todo.read} | {file.path for _, file in todo.restore}  # a file is there again
        for path, row in todo.known.items():
            lost = row.id in todo.gone or row.state == "missing"
            if lost and row.content is not None and path not in taken:
                self._lost.setdefault(row.content, []).append(row.id)
        self.added = self.updated = self.moved = self.encoded = 0
        self.moments = self.pages = self.folded = 0
        self.restored = sum(not is_sound(file.path) for _, file in todo.restore)
        self.unchanged = todo.unchanged
        self.skipped = list(todo.skipped)
        self.damaged: list[Damaged] = []
        self.shares = {"read": 0.0, "encode": 0.0, "store": 0.0}  # seconds

    def record(
        self,
        writer: StoreWriter,
        item: Read,
        made: Made | None,
        model: StoredModel,
        card: RegionCard | None,
    ) -> None:
        """Store one item: a failure, a new content, or a known one that was touched, moved, copied or came back."""
        self.shares["read"] += item.seconds
        file, row = item.file, self.known.get(item.file.path)
        if item.failure is not None:
            writer.fail(file, item.failure, item.retry)
            self.skipped.append(Skipped(file.path, item.failure))
            return
        if made is not None:
            self._put(writer, item, made, model, card)
        content = self.contents[item.content_hash]
        counts = 0 if is_sound(file.path) else 1
        if row is not None and row.embedded and row.content == content:
            writer.touch(row.id, file)
            if row.state == "ok":
                self.unchanged += counts
            else:
                self.restored += counts
        elif self._lost.get(content):
            photo = self._lost[content].pop()
            self.gone.discard(photo)
            writer.move(photo, file)
            self.moved += counts
        else:
            writer.place(file, content)
            if row is None or row.content is None:
                self.added += counts
            else:
                self.updated += counts

    def _put(self, writer: StoreWriter, item: Read, made: Made, model: StoredModel, card: RegionCard | None) -> None:
        """Store a content, all its parts together; one that a copy has brought meanwhile is there already."""
        picture, content_hash = made.picture, item.content_hash
        if not picture.parts:
            tokens = None if made.tokens is None else made.tokens[0]
            content = writer.put(content_hash, picture, made.vectors[0], model, tokens, card)
        elif (known := self.contents.get(content_hash)) is not None:
            content = known
        else:
            content = writer.put_parts(content_hash, picture, made.vectors, model, made.tokens, card)
            if picture.is_sound:
                pass  # counted at the end of the run, when it is known which have words
            elif picture.parts[0].start_ms is None:
                self.pages += len(picture.parts)
            else:
                self.moments += len(picture.parts)
            self.folded += made.folded
        self.contents[content_hash] = content
        self.encoded += 0 if picture.is_sound else len(made.vectors)
        if picture.damage is not None:
            self.damaged.append(Damaged(item.file.path, picture.damage))
