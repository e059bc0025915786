"""The way of a picture: find -> read -> decode -> encode -> store.

Three steps go on side by side: threads read and decode files a bounded way ahead, one thread encodes a batch, and the
calling thread stores the batch before it, a transaction each.  A kill loses no more than these two batches.  Where the
encoder is on a GPU, two threads encode: the GPU has its next batch while the CPU fetches and packs what it made of the
last one.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from mmsearch.encoders.protocol import Encoder, RegionCard
from mmsearch.encoders.region_codec import pack
from mmsearch.errors import ImageError, SourceError
from mmsearch.media.decode import decode
from mmsearch.media.discover import walk
from mmsearch.media.worker_pool import Decode, Decoders
from mmsearch.store.sqlite.known_contents import Contents
from mmsearch.store.sqlite.store import Store
from mmsearch.store.sqlite.writer import Writer
from mmsearch.store.types import Known, StoredModel
from mmsearch.types import Decoded, Found, IndexReport, Preprocess, Progress, Regions, Skipped, Vectors

Job = TypeVar("Job")
Done = TypeVar("Done")
log = logging.getLogger(__name__)
IN_MEMORY = 64 * 2**20  # bytes; larger files are hashed and decoded from disk, in two passes
MARK = "decoding"  # a file in the library's folder while pictures are decoded


@dataclass(frozen=True)
class Options:
    """How to index."""

    exclude: Sequence[str] = ()  # globs of names and paths to leave out
    max_megapixels: float = 200.0
    batch: int = 32
    decoders: int = 0  # reading threads; 0 is one a core
    regions: bool = True  # store region tokens too, where the model gives them
    gpu_decoding: bool = False  # where the encoder is on a GPU: large JPEGs are decoded there
    isolate: str = "auto"  # decode in processes of their own: "always", "never", "auto" after a run that died


@dataclass(frozen=True)
class Plan:
    """What a look at the folders asks for."""

    read: list[Found]  # new, changed, or to be tried again
    restore: list[tuple[int, Found]]  # had vanished, back as they were
    gone: set[int]  # rows whose file is not there any more
    unchanged: int
    skipped: list[Skipped]  # unreadable folders, and files that failed before and have not changed
    notes: list[str]
    known: dict[str, Known]


@dataclass(frozen=True)
class Read:
    """A file as a reading thread left it."""

    file: Found
    content_hash: bytes = b""
    picture: Decoded | None = None  # None where the content is known or could not be read
    failure: str | None = None
    retry: bool = False  # the failure may be gone next time, without a change of the file
    seconds: float = 0.0


def check(paths: Sequence[str]) -> None:
    """Raises SourceError for a path that does not exist or cannot be read, before anything is done."""
    for path in paths:
        if not os.path.lexists(path):
            raise SourceError(f"{path}: no such file or folder")
        if not os.access(path, os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK):
            raise SourceError(f"{path}: no permission to read it")


def plan(store: Store, model: StoredModel, roots: Sequence[str], exclude: Sequence[str]) -> Plan:
    """Compare the folders with the store by path, size and time; nothing is opened."""
    files: dict[str, Found] = {}
    skipped: list[Skipped] = []
    known: dict[str, Known] = {}
    notes: list[str] = []
    gone: set[int] = set()
    walked = _with_nested(roots, store.roots())
    for root in walked:
        below = store.known(root, model)
        inner = {other for other in walked if other != root and _at_or_below(other, {root})}  # they speak for theirs
        present = {p: row for p, row in below.items() if row.state != "missing" and not _at_or_below(p, inner)}
        if not os.path.lexists(root):
            if root in present and os.path.isdir(os.path.dirname(root)):
                gone.add(present[root].id)  # a single file, deleted from a folder that is there
            elif present:
                notes.append(f"{root} is not there now: nothing was changed for the {len(present)} pictures below it")
            continue
        found, unreadable = _look(root, exclude)
        skipped += unreadable
        known |= below
        files |= found
        if present and _is_empty(root):
            # An unmounted drive looks like an empty folder: never read that as "all deleted".
            notes.append(
                f"{root} is empty now but the library knows {len(present)} pictures there: is its drive connected? "
                f"Nothing was marked missing; to forget them: mmsearch remove {root}"
            )
            continue
        unseen = {item.path for item in unreadable}  # nobody knows what is there
        gone |= {row.id for path, row in present.items() if path not in found and not _at_or_below(path, unseen)}
    read: list[Found] = []
    restore: list[tuple[int, Found]] = []
    unchanged = 0
    for path, file in files.items():
        row = known.get(path)
        same = row is not None and (row.size, row.mtime_ns) == (file.size, file.mtime_ns)
        if row is None or not same:
            read.append(file)
        elif row.state == "failed":
            skipped.append(Skipped(path, row.reason or "could not be read"))
        elif not row.embedded:
            read.append(file)
        elif row.state == "missing" and row.reason is None:
            restore.append((row.id, file))
        elif row.state == "missing":  # it could not be read before it went
            read.append(file)
        else:
            unchanged += 1
    return Plan(read, restore, gone, unchanged, skipped, notes, known)


def _with_nested(roots: Sequence[str], known: Sequence[str]) -> list[str]:
    """The roots and the known ones below them: a hidden folder that was named is walked as a root of its own."""
    nested = [own for own in known if own not in roots and _at_or_below(own, set(roots)) and os.path.lexists(own)]
    return [*roots, *nested]


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False  # not a folder, or one that the walk has reported as unreadable


def _at_or_below(path: str, places: set[str]) -> bool:
    while path not in places:
        parent = os.path.dirname(path)
        if parent == path:
            return False
        path = parent
    return True


def _look(root: str, exclude: Sequence[str]) -> tuple[dict[str, Found], list[Skipped]]:
    files: dict[str, Found] = {}
    skipped: list[Skipped] = []
    for item in walk(root, exclude):
        if isinstance(item, Found):
            files[item.path] = item
        else:
            skipped.append(item)
    return files, skipped


def run(
    store: Store,
    model: StoredModel,
    encoder: Encoder,
    roots: Sequence[str],
    options: Options,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """Bring the store up to date with the folders and files ``roots`` (absolute paths)."""
    started = time.perf_counter()
    card = encoder.card.regions if options.regions else None
    options, threads = suited(options, encoder)
    todo = plan(store, model, roots, options.exclude)
    ledger = _Ledger(store.contents(model), todo)
    with store.writing() as writer:
        for root in roots:
            writer.add_root(root)
        for photo, file in todo.restore:
            writer.touch(photo, file)
    done = 0
    device = encoder.device
    with _decoder(options, store.file.parent / MARK, device) as decoder:
        reads = read_ahead(todo.read, ledger.contents, encoder.card.preprocess, options, decoder)
        for batch, encoded in one_ahead(
            batches(reads, options.batch), lambda batch: _encode_batch(encoder, batch, card), threads
        ):
            begun = time.perf_counter()
            ledger.shares["encode"] += encoded.seconds / threads
            with store.writing() as writer:
                for item, vector, tokens in zip(batch, encoded.vectors, encoded.tokens, strict=True):
                    content = ledger.record(writer, item, vector, model)
                    if card is not None and tokens is not None and content is not None:
                        writer.put_regions(content, tokens, model, card)
            ledger.shares["store"] += time.perf_counter() - begun
            for item in batch:
                done += 1
                if progress is not None:
                    progress(Progress(done, len(todo.read), item.file.path))
    with store.writing() as writer:
        writer.miss(ledger.gone)
        writer.sweep()
    return IndexReport(
        added=ledger.added,
        updated=ledger.updated,
        moved=ledger.moved,
        restored=ledger.restored,
        unchanged=ledger.unchanged,
        removed=len(ledger.gone),
        skipped=tuple(ledger.skipped),
        encoded=ledger.encoded,
        seconds=round(time.perf_counter() - started, 3),
        model=model.name,
        notes=tuple(todo.notes),
        shares={step: round(seconds, 3) for step, seconds in ledger.shares.items()},
        readers=readers(options),
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
        self.restored, self.unchanged = len(todo.restore), todo.unchanged
        self.skipped = list(todo.skipped)
        self.shares = {"read": 0.0, "encode": 0.0, "store": 0.0}  # seconds

    def record(self, writer: Writer, item: Read, vector: Vectors | None, model: StoredModel) -> int | None:
        """Store one item: a failure, a new content, or a known one that was touched, moved, copied or came back.

        Returns the content's id; None for a failure.
        """
        self.shares["read"] += item.seconds
        file, row = item.file, self.known.get(item.file.path)
        if item.failure is not None:
            writer.fail(file, item.failure, item.retry)
            self.skipped.append(Skipped(file.path, item.failure))
            return None
        if item.picture is not None and vector is not None:
            self.contents[item.content_hash] = writer.put(item.content_hash, item.picture, vector, model)
            self.encoded += 1
        content = self.contents[item.content_hash]
        if row is not None and row.embedded and row.content == content:
            writer.touch(row.id, file)
            if row.state == "ok":
                self.unchanged += 1
            else:
                self.restored += 1
        elif self._lost.get(content):
            photo = self._lost[content].pop()
            self.gone.discard(photo)
            writer.move(photo, file)
            self.moved += 1
        else:
            writer.place(file, content)
            if row is None or row.content is None:
                self.added += 1
            else:
                self.updated += 1
        return content


@dataclass(frozen=True)
class _Encoded:
    """What the encoder made of a batch, an entry an item; None for items without a picture."""

    vectors: Sequence[Vectors | None]  # (dim,) each
    tokens: Sequence[bytes | None]  # packed; None without a card too
    seconds: float


def _encode_batch(encoder: Encoder, batch: Sequence[Read], card: RegionCard | None) -> _Encoded:
    """With a card, region tokens too."""
    begun = time.perf_counter()
    pictures = [item.picture.pixels for item in batch if item.picture is not None]
    vectors: Iterator[Vectors] = iter(())
    tokens: Iterator[bytes | None] = iter(())
    if pictures:
        pixels = np.stack(pictures)
        regions: Regions | None = None
        if card is None:
            rows = encoder.encode_images(pixels)
        else:
            rows, regions = encoder.encode_pictures(pixels)
        vectors = iter(rows)
        tokens = iter([None] * len(rows) if regions is None else pack(regions))
    there = [item.picture is not None for item in batch]
    return _Encoded(
        [next(vectors) if picture else None for picture in there],
        [next(tokens) if picture else None for picture in there],
        time.perf_counter() - begun,
    )


def suited(options: Options, encoder: Encoder) -> tuple[Options, int]:
    """The options with the batches that the encoder likes, where these are larger, and how many threads give them."""
    wanted = encoder.batch  # not 0 on a GPU, where there are several GPUs for all together
    return replace(options, batch=max(options.batch, wanted)), 2 if wanted else 1


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


@contextmanager
def _decoder(options: Options, mark: Path, device: str) -> Iterator[Decode]:
    """What decodes pictures: this process, with the GPU that the encoder is on, or others that may crash.

    ``mark`` is a file that is there while pictures are decoded, and stays where that does not come to its end.
    """
    died = mark.exists()
    mark.touch()
    if options.isolate == "always" or (options.isolate == "auto" and died):
        if died:
            log.info("the last run broke off: pictures are decoded in processes of their own this time")
        with Decoders(readers(options)) as decoders:
            yield decoders.decode
    elif options.gpu_decoding and device.startswith("cuda"):
        with _on_gpu(device) as decoder:
            yield decoder
    else:
        yield decode
    mark.unlink(missing_ok=True)


@contextmanager
def _on_gpu(device: str) -> Iterator[Decode]:
    """Decodes large JPEGs there, if that works; all else as ever."""
    import torch

    from mmsearch.media.nvjpeg import Jpegs

    jpegs = Jpegs(torch.device(device))
    problem = jpegs.problem()
    if problem is not None:
        log.warning("JPEGs are decoded on the CPU: %s", problem)
        yield decode
        return
    with jpegs.working():
        yield partial(decode, jpegs=jpegs)


def readers(options: Options) -> int:
    """Threads that read."""
    return options.decoders or os.cpu_count() or 1


def ahead(jobs: Iterable[Job], work: Callable[[Job], Done], options: Options) -> Iterator[Done]:
    """What ``work`` makes of each job, in order; threads do them a bounded way ahead."""
    threads = readers(options)
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


def batches(items: Iterator[Done], size: int) -> Iterator[list[Done]]:
    batch: list[Done] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def read_file(
    file: Found,
    wanted: Callable[[bytes], bool],
    preprocess: Preprocess,
    max_megapixels: float,
    decoder: Decode = decode,
) -> Read:
    """The file read, hashed and, if that content hash is ``wanted``, decoded; a failure is in the result."""
    begun = time.perf_counter()
    try:
        with open(file.path, "rb") as opened:
            content: BinaryIO = opened if file.size > IN_MEMORY else io.BytesIO(opened.read())
            content_hash = hash_of(content)
            content.seek(0)
            picture = decoder(content, file.path, preprocess, max_megapixels) if wanted(content_hash) else None
    except ImageError as error:
        return Read(file, failure=error.reason, retry=error.retry, seconds=time.perf_counter() - begun)
    except MemoryError:
        return Read(file, failure="not enough memory", retry=True, seconds=time.perf_counter() - begun)
    except OSError as error:
        reason = error.strerror or str(error)
        return Read(file, failure=reason, retry=True, seconds=time.perf_counter() - begun)
    return Read(file, content_hash, picture, seconds=time.perf_counter() - begun)


def hash_of(content: BinaryIO) -> bytes:
    """BLAKE2b of the whole content, 16 bytes: about 1 GB/s, and two of a billion files collide at odds of 1e-21."""
    digest = hashlib.blake2b(digest_size=16)
    while block := content.read(2**20):
        digest.update(block)
    return digest.digest()
