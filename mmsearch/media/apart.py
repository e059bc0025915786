"""Films and documents that are looked at outside an index run: in processes of their own, a few that are kept ready.

FFmpeg and PDFium read what anybody wrote.  A damaged file that makes one of them crash or hang costs its picture, not
the server, and no more than ``DEATHS`` processes: then no more is tried with it until it is written to.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import threading
from collections import OrderedDict
from functools import cache
from typing import Any, BinaryIO

from mmsearch.errors import ImageError, MMSearchError
from mmsearch.media.decode import decode
from mmsearch.media.kinds import kind_of
from mmsearch.media.worker_pool import ENDED, FILM_SECONDS, Decoders
from mmsearch.types import Decoded, Preprocess

AT_ONCE = 4  # processes, or as many as there are cores
SECONDS = 60.0  # for one frame or page; twice the computing that a frame may take
IDLE = 60.0  # seconds after which a process that has nothing to do is ended: it takes some 100 MB
DEATHS = 2  # of processes, at one file
_REMEMBERED = 1000  # files


class Apart:
    """Processes that a few kinds of callers share, started with the first film or document.

    A film that killed them is refused from then on, by its path, size and time.
    """

    def __init__(self, decoder: str, seconds: float, count: int = AT_ONCE, idle: float = IDLE) -> None:
        """``decoder`` is the module and name of what reads in them, ``seconds`` what it may take for one file."""
        count = min(count, os.cpu_count() or 1)
        self._decoders = Decoders(count, seconds, decoder=decoder, idle=idle)
        self._deaths: OrderedDict[tuple[str, int, int], int] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, file: BinaryIO, path: str, *options: object) -> Any:
        """What the decoder makes of a file, with these ``options``.

        Raises ImageError, also where the process crashed or took too long, or none can be started.
        """
        key = _key(file, path)
        with self._lock:
            deaths = self._deaths.get(key, 0)
        if deaths >= DEATHS:
            raise ImageError(path, f"{deaths} processes that read it crashed or took too long", code=ENDED)
        try:
            return self._decoders.ask(file, path, *options)
        except ImageError as error:
            if error.code == ENDED:
                with self._lock:
                    self._deaths[key] = self._deaths.pop(key, 0) + 1
                    while len(self._deaths) > _REMEMBERED:
                        self._deaths.popitem(last=False)
            raise
        except MMSearchError as error:
            raise ImageError(path, str(error), retry=True, code=error.code) from error

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of those that are there now."""
        return self._decoders.processes

    def close(self) -> None:
        """End the processes."""
        self._decoders.__exit__()


def pictures_apart() -> Apart:
    """What reads one frame or page, ``part_picture.read_part``."""
    return _shared("mmsearch.media.part_picture:read_part", SECONDS, os.getpid())


def decode_apart(file: BinaryIO, path: str, preprocess: Preprocess, max_megapixels: float = 200.0) -> Decoded:
    """What ``decode`` gives; films and documents are decoded in other processes.

    A file that is not in memory is opened anew at ``path``.  Raises ImageError, also where that process crashed or took
    too long.
    """
    if kind_of(file, path) == "photo":
        return decode(file, path, preprocess, max_megapixels)
    shared = _shared(f"{decode.__module__}:{decode.__name__}", FILM_SECONDS, os.getpid())
    decoded: Decoded = shared.ask(file, path, preprocess, max_megapixels)
    return decoded


_starting = threading.Lock()


def _shared(decoder: str, seconds: float, process: int) -> Apart:
    with _starting:
        return _made(decoder, seconds, process)


@cache
def _made(decoder: str, seconds: float, process: int) -> Apart:
    """One for each process: one that was forked must not talk to what its parent has started."""
    made = Apart(decoder, seconds)

    def close() -> None:
        if os.getpid() == process:
            made.close()

    atexit.register(close)
    return made


def _key(file: BinaryIO, path: str) -> tuple[str, int, int]:
    if isinstance(file, io.BytesIO):
        return hashlib.blake2b(file.getbuffer(), digest_size=16).hexdigest(), 0, 0
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return path, -1, -1
    return path, status.st_size, status.st_mtime_ns
