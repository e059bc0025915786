"""Prefetch: files are read a bounded way ahead, put in batches, and the next batch is encoded while one is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mmsearch.ingest.options import Options
from mmsearch.ingest.read import Read, read_file
from mmsearch.media.decode import decode
from mmsearch.media.worker_pool import Decode
from mmsearch.types import Found, Preprocess

Job = TypeVar("Job")
Done = TypeVar("Done")


def read_ahead(
    files: Sequence[Found],
    known: Container[bytes],
    preprocess: Preprocess,
    options: Options,
    decoder: Decode = decode,
) -> Iterator[Read]:
    """Each file read, hashed and, unless its content hash is ``known``, decoded; in order, a bounded way ahead."""

    def fresh(content_hash: bytes) -> bool:
        return content_hash not in known

    return ahead(files, lambda file: read_file(file, fresh, preprocess, options.max_megapixels, decoder), options)


def ahead(jobs: Iterable[Job], work: Callable[[Job], Done], options: Options) -> Iterator[Done]:
    """What ``work`` makes of each job, in order; threads do them a bounded way ahead."""
    threads = options.readers
    window = 2 * options.batch + threads
    pending: deque[Future[Done]] = deque()
    waiting = iter(jobs)
    with ThreadPoolExecutor(threads, thread_name_prefix="mmsearch-read") as pool:
        try:
            while True:
                while len(pending) < window and (job := next(waiting, None)) is not None:
                    pending.append(pool.submit(work, job))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def batches(items: Iterable[Done], size: int) -> Iterator[list[Done]]:
    """The items in lists of ``size``; the last may be shorter."""
    batch: list[Done] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def one_ahead(jobs: Iterable[Job], work: Callable[[Job], Done], threads: int = 1) -> Iterator[tuple[Job, Done]]:
    """Each job with what ``work`` made of it, in order; a thread does the next one while the caller looks at this.

    Of several ``threads`` each does one of the next.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="mmsearch-encode") as pool:
        begun: deque[tuple[Job, Future[Done]]] = deque()
        try:
            for job in jobs:
                begun.append((job, pool.submit(work, job)))
                if len(begun) > threads:
                    done = begun.popleft()
                    yield done[0], done[1].result()
            while begun:
                done = begun.popleft()
                yield done[0], done[1].result()
        finally:
            for _, future in begun:
                future.cancel()
