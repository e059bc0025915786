"""Prefetch: files are read a bounded way ahead, put in batches, and the next batch is encoded while one is stored.

How far ahead, and how large a batch is, goes by pictures: a film may have hundreds.  At 260 pixels a side one takes 200
kB.  So at most ``2 * batch`` pictures, the films that threads are reading, and those of two batches are in memory.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

from mmsearch.ingest.options import Options
from mmsearch.ingest.read import Read, pictures_of, read_file
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

    def read(file: Found) -> Read:
        return read_file(file, fresh, preprocess, options.max_megapixels, decoder)

    return ahead(files, read, options, pictures_of)


def one_picture(_: object) -> int:
    """What most jobs hold."""
    return 1


def ahead(
    jobs: Iterable[Job], work: Callable[[Job], Done], options: Options, pictures: Callable[[Done], int] = one_picture
) -> Iterator[Done]:
    """What ``work`` makes of each job, in order; threads do them a bounded way ahead.

    ``pictures`` says how many a result holds.
    """
    threads = options.readers
    window = 2 * options.batch + threads
    room = _Room(window)
    pending: deque[Future[Done]] = deque()
    waiting = iter(jobs)
    begun = taken = 0

    def begin(place: int, job: Job) -> Done:
        room.enter(place)
        done = work(job)
        room.put(pictures(done))
        return done

    with ThreadPoolExecutor(threads, thread_name_prefix="mmsearch-read") as pool:
        try:
            while True:
                while len(pending) < window and (job := next(waiting, None)) is not None:
                    pending.append(pool.submit(begin, begun, job))
                    begun += 1
                if not pending:
                    return
                room.want(taken)
                done = pending.popleft().result()
                taken += 1
                room.take(pictures(done))
                yield done
        finally:
            room.close()
            for future in pending:
                future.cancel()


class _Room:
    """Room for results that wait to be taken.  Who finds none waits, but for the one that is wanted next."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._wanted, self._closed = most, 0, 0, False
        self._changed = threading.Condition()

    def enter(self, place: int) -> None:
        """Wait for room for a result; the ``place`` of the first is 0.  Raises CancelledError where none is wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._held < self._most or place <= self._wanted)
            if self._closed:
                raise CancelledError

    def put(self, pictures: int) -> None:
        """A result of so many pictures is there."""
        with self._changed:
            self._held += pictures

    def want(self, place: int) -> None:
        """This result is waited for."""
        with self._changed:
            self._wanted = place
            self._changed.notify_all()

    def take(self, pictures: int) -> None:
        """It was taken."""
        with self._changed:
            self._held -= pictures
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing is waited for any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def batches(items: Iterable[Done], size: int, pictures: Callable[[Done], int] = one_picture) -> Iterator[list[Done]]:
    """The items in lists that end with the one that makes it ``size`` pictures or more; the last may be shorter."""
    batch: list[Done] = []
    held = 0
    for item in items:
        batch.append(item)
        held += pictures(item)
        if held >= size:
            yield batch
            batch, held = [], 0
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
