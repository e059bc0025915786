"""Read: a file is read, hashed and decoded, in this process or in others that may crash."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mmsearch.errors import ImageError
from mmsearch.ingest.moments import nearest
from mmsearch.ingest.options import Options
from mmsearch.media.decode import decode
from mmsearch.media.filesystem import open_regular, opened_status
from mmsearch.media.worker_pool import Decode, Decoders, FilmsApart
from mmsearch.store.types import PendingItem
from mmsearch.types import Decoded, Found, Part, Pixels, Preprocess

log = logging.getLogger(__name__)
UNSEEN = -1  # time of a file of which nobody has asked the size and time yet
IN_MEMORY = 64 * 2**20  # bytes; larger files are hashed and decoded from disk, in two passes


@dataclass(frozen=True)
class Read:
    """A file as a reading thread left it."""

    file: Found
    content_hash: bytes = b""
    picture: Decoded | None = None  # None where the content is known or could not be read
    failure: str | None = None
    retry: bool = False  # the failure may be gone next time, without a change of the file
    seconds: float = 0.0


def pictures_of(read: Read) -> int:
    """How many pictures a read file holds in memory; at least 1."""
    return max(1, len(read.picture.parts)) if read.picture is not None else 1


def read_file(
    file: Found,
    wanted: Callable[[bytes], bool],
    preprocess: Preprocess,
    max_megapixels: float,
    decoder: Decode = decode,
) -> Read:
    """The file read, hashed and, if that content hash is ``wanted``, decoded; a failure is in the result.

    One that is ``UNSEEN`` has in the result the size and time that it was read with.
    """
    begun = time.perf_counter()
    try:
        with open_regular(file.path) as opened:
            if file.mtime_ns == UNSEEN:
                file = Found(file.path, *opened_status(opened), file.real)
            content = in_memory(opened)
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


def in_memory(opened: BinaryIO) -> BinaryIO:
    """What an open file holds, in memory unless it is large now, whatever size it had when it was found."""
    if isinstance(opened, io.BytesIO):
        return opened
    return opened if opened_status(opened)[0] > IN_MEMORY else io.BytesIO(opened.read())


def hash_of(content: BinaryIO) -> bytes:
    """BLAKE2b of the whole content, 16 bytes: about 1 GB/s, and two of a billion files collide at odds of 1e-21."""
    digest = hashlib.blake2b(digest_size=16)
    while block := content.read(2**20):
        digest.update(block)
    return digest.digest()


Pending = tuple[PendingItem, ...]  # items of one content that lack the same, in their order; a photo has one


def by_content(items: Iterable[PendingItem]) -> list[Pending]:
    """The items of each content together, so that its file is opened once for all of them."""
    found: dict[int, list[PendingItem]] = {}
    for item in items:
        found.setdefault(item.content, []).append(item)
    return [tuple(own) for own in found.values()]


def read_again(items: Pending, preprocess: Preprocess, max_megapixels: float, decoder: Decode = decode) -> Read:
    """The first of a content's files that still holds it; where none does, the last, without a picture."""
    first = items[0]

    def same(content_hash: bytes) -> bool:
        return content_hash == first.hash

    for file in first.files:
        read = read_file(file, same, preprocess, max_megapixels, decoder)
        if read.picture is not None:
            break
    return read


def frames_of(picture: Decoded, items: Pending) -> Iterator[Pixels]:
    """The pixels of these items, in their order, of a file that was read again."""
    parts = picture.parts or (Part(picture.pixels),)
    return (parts[place].pixels for place in nearest(parts, [(item.part, item.at_ms) for item in items]))


class HeldContent:
    """The file of a content, opened and compared with its hash once, however many pieces it is read in.

    It is closed with the last of them.  Pieces may be read in several threads, which take turns.
    """

    def __init__(self, item: PendingItem, pieces: int) -> None:
        self._item, self._left = item, pieces
        self._lock = threading.Lock()
        self._opened: tuple[BinaryIO | None, str] | None = None

    @contextmanager
    def piece(self) -> Iterator[tuple[BinaryIO | None, str]]:
        """The open content and its path, for one piece; None where no file holds it any more."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            content, path = self._opened
            try:
                yield content, path
            finally:
                self._left -= 1
                if content is not None and self._left <= 0:
                    content.close()

    def _open(self) -> tuple[BinaryIO | None, str]:
        for file in self._item.files:
            try:
                with contextlib.ExitStack() as stack:
                    opened = stack.enter_context(open_regular(file.path))
                    content = in_memory(opened)
                    if hash_of(content) == self._item.hash:
                        if content is opened:
                            stack.pop_all()
                        return content, file.path
            except (OSError, MemoryError):
                continue
        return None, self._item.files[-1].path


@contextmanager
def picture_decoder(options: Options, mark: Path, device: str, decoder: Decode = decode) -> Iterator[Decode]:
    """What decodes pictures: ``decoder`` in this process, the GPU that the encoder is on, or processes that may crash.

    Films and documents go to such processes, unless that is never wanted.
    ``mark`` is a file that is there while pictures are decoded, and stays where this process dies in between.  One that
    was there before stays until a run comes to its end: what killed that run may not have been read yet.
    """
    died, done = os.path.lexists(mark), False
    with contextlib.suppress(FileExistsError):
        mark.touch(exist_ok=False)  # follows no link
    try:
        if options.isolate == "always" or (options.isolate == "auto" and died):
            if died:
                log.info("the last run broke off: pictures are decoded in processes of their own this time")
            with Decoders(options.readers) as decoders:
                yield decoders.decode
        else:
            on_gpu = options.gpu_decoding and device.startswith("cuda")
            with _on_gpu(device) if on_gpu else contextlib.nullcontext(decoder) as photos:
                if options.isolate == "never":
                    yield photos
                else:
                    with FilmsApart(options.readers, photos) as apart:
                        yield apart.decode
        done = True
    finally:  # an error, Ctrl-C or a callback that raises is no crash
        if done or not died:
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
