"""Decoding in processes of its own: a decoder that crashes, hangs or eats memory costs one photo, not the run.

It keeps damage away, it is no wall against an attacker: the processes have the rights of the user.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from mmsearch.errors import ImageError, MMSearchError
from mmsearch.media.decode import IN_FLIGHT, decode
from mmsearch.media.filesystem import open_regular
from mmsearch.media.kept_frames import KeptParts
from mmsearch.media.kinds import kind_of
from mmsearch.media.memory_budget import Budget
from mmsearch.types import Decoded, Preprocess

if TYPE_CHECKING:
    from typing_extensions import Self

Decode = Callable[[BinaryIO, str, Preprocess, float], Decoded]

SECONDS = 120.0  # for one picture; the slowest of 200 megapixels take some 20
FILM_SECONDS = 300.0  # for one film or document: a minute of computing where five share a core
MEMORY = 5 * 2**30  # bytes a process; a JPEG 2000 of 200 megapixels takes 3.8 GB
ENDED = "decoder-ended"  # code of an ImageError where a process was ended, or ended itself
_START = "import sys; sys.path[:] = sys.argv[1:]; from mmsearch.media.worker_pool import serve; serve()"


class Decoders:
    """Processes that decode, each a picture at a time.  A context manager; started as they are needed.

    They import no more than decoding takes: 0.2 s and 60 MB each.
    """

    def __init__(
        self,
        count: int,
        seconds: float = SECONDS,
        memory: int = MEMORY,
        decoder: str = f"{decode.__module__}:{decode.__name__}",
        in_flight: Budget = IN_FLIGHT,
        idle: float | None = None,
    ) -> None:
        """At most ``count`` processes, of ``memory`` bytes each, that are ended after ``seconds`` with one picture.

        ``decoder`` is the module and name of what decodes in them, ``in_flight`` the pixels of all together.  A process
        that had nothing to do for ``idle`` seconds is ended; None keeps it.
        """
        self._setup = seconds, memory, decoder, in_flight
        self._unused_seconds = idle
        self._ending: threading.Timer | None = None
        self._idle: queue.LifoQueue[tuple[_Worker | None, float]] = queue.LifoQueue()  # with when it became so
        for _ in range(count):
            self._idle.put((None, 0.0))
        self._all: set[_Worker] = set()
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            if self._ending is not None:
                self._ending.cancel()
            for worker in self._all:
                worker.stop()

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of those that are there now."""
        with self._lock:
            return tuple(worker.process for worker in self._all)

    def decode(self, file: BinaryIO, path: str, preprocess: Preprocess, max_megapixels: float = 200.0) -> Decoded:
        """What ``mmsearch.media.decode.decode`` gives, and ImageError also where it crashes or takes too long.

        A file that is not in memory is opened anew at ``path``.  May be called from several threads; waits for a
        process that is free.  Raises MMSearchError where none can be started.
        """
        found = self.ask(file, path, preprocess, max_megapixels)
        assert isinstance(found, Decoded)
        return found

    def ask(self, file: BinaryIO, path: str, *options: object) -> Any:
        """What the decoder makes of a file in another process, with these ``options``; all else as of ``decode``.

        The ImageError has the code "decoder-ended" where the process crashed or took too long.
        """
        content = file.getvalue() if isinstance(file, io.BytesIO) else None
        worker, _ = self._idle.get()
        try:
            if worker is not None and not worker.alive:  # ended by others, as where memory runs out
                with self._lock:
                    self._all.discard(worker)
                worker.stop()
                worker = None
            worker = worker or _Worker(*self._setup)
            with self._lock:
                if self._closed:
                    raise MMSearchError("the processes that decode are closed")
                self._all.add(worker)
            answer = worker.ask((content, path, *options), path)
        except BaseException:
            if worker is not None:
                with self._lock:
                    self._all.discard(worker)
                worker.stop()
            worker = None
            raise
        finally:
            self._idle.put((worker, time.monotonic()))
            self._end_later()
        if isinstance(answer, _Failure):
            raise ImageError(path, answer.reason, answer.retry)
        return answer

    def _end_later(self) -> None:
        """Have processes ended that will have had nothing to do for long."""
        if self._unused_seconds is None:
            return
        with self._lock:
            if self._ending is None and not self._closed:
                self._ending = threading.Timer(self._unused_seconds, self._end_unused)
                self._ending.daemon = True
                self._ending.start()

    def _end_unused(self) -> None:
        assert self._unused_seconds is not None
        waiting = []
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.append(self._idle.get_nowait())
        some = False
        for worker, since in reversed(waiting):  # the one used last is taken first again
            left = worker
            if worker is not None and time.monotonic() - since >= 0.9 * self._unused_seconds:
                with self._lock:
                    self._all.discard(worker)
                worker.stop()
                left = None
            some = some or left is not None
            self._idle.put((left, since))
        with self._lock:
            self._ending = None
            some = some or bool(self._all)
        if some:
            self._end_later()


class FilmsApart:
    """Decodes photos in this process, films and documents in others.  A context manager.

    FFmpeg and PDFium are large programs in C that read what anybody wrote, and one file keeps them busy for up to a
    minute.  A process can be ended when it hangs, its crash costs one file, and what it took of memory comes back.  One
    more reason for PDFium is that it can do one thing at a time in a process.  For photos that would cost more than the
    decoding: what they bring is one file's worth of pixels.
    """

    def __init__(self, count: int, photos: Decode = decode, in_flight: Budget = IN_FLIGHT) -> None:
        """At most ``count`` processes, which are started with the first film; ``photos`` decodes all else."""
        self._photos, self._films = photos, Decoders(count, FILM_SECONDS, in_flight=in_flight)

    def __enter__(self) -> Self:
        self._films.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._films.__exit__(*error)

    def decode(self, file: BinaryIO, path: str, preprocess: Preprocess, max_megapixels: float = 200.0) -> Decoded:
        """What ``mmsearch.media.decode.decode`` gives, and ImageError also where a process crashed or took too long."""
        decoder = self._photos if kind_of(file, path) == "photo" else self._films.decode
        return decoder(file, path, preprocess, max_megapixels)


@dataclass(frozen=True)
class _Failure:
    """What is sent in place of an answer."""

    reason: str
    retry: bool


@dataclass(frozen=True)
class _Parts:
    """What comes before the parts of a file, which are sent one by one: hundreds at once would take 100 MB."""

    decoded: Decoded  # without them
    count: int


class _Worker:
    """One process, as those see it that ask it.  Both talk in pickles over pipes: first the setup, then pictures."""

    def __init__(self, seconds: float, memory: int, decoder: str, in_flight: Budget) -> None:
        self._seconds, self._late, self._in_flight = seconds, False, in_flight
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the one who asks
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},  # threads take address space
            )
            assert process.stdin is not None
            assert process.stdout is not None
            self._process, self._in, self._out = process, process.stdin, process.stdout
            with self._limited():
                self._send((seconds, memory, decoder))
                self._receive()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            if hasattr(self, "_process"):
                self.stop()
            raise MMSearchError(
                f"a process to decode pictures cannot be started ({error or 'it ended at once'})",
                code="no-decoder-process",
            ) from error

    @property
    def process(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, job: object, path: str) -> Any:
        """The answer to a job, or a _Failure.  Raises ImageError where it died."""
        try:
            with self._limited():
                self._send(job)
                answer = self._receive()
            while isinstance(answer, float):  # pixels that it wants room for: all processes share one budget
                with self._in_flight.share(answer), self._limited():
                    self._send(True)
                    answer = self._receive()  # of a document every page asks
            if isinstance(answer, _Parts):
                with self._limited():
                    return self._with_parts(answer)
            return answer
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:  # broken off, or closed meanwhile
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)  # it may not have come to its end when its pipes had
            self.stop()
            if self._late:
                late = f"decoding took longer than {self._seconds:g} s and was stopped"
                raise ImageError(path, late, code=ENDED) from error
            code = self._process.returncode
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise ImageError(path, f"the decoder crashed ({how})", code=ENDED) from error

    def _with_parts(self, head: _Parts) -> Decoded:
        """The film or document whose parts come one after the other now."""
        parts = KeptParts()
        for _ in range(head.count):
            parts.append(self._receive())
        return replace(head.decoded, parts=parts)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError, ValueError):  # what was not sent yet
                pipe.close()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Ends the process where the block takes too long."""

        def end() -> None:
            self._late = True
            self._process.kill()

        timer = threading.Timer(self._seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _send(self, message: object) -> None:
        pickle.dump(message, self._in, protocol=5)
        self._in.flush()

    def _receive(self) -> Any:
        return pickle.load(self._out)


def serve() -> None:
    """What a process does: decode what comes on stdin until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows there are no sessions
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    seconds, memory, decoder = pickle.load(asked)
    module, _, name = decoder.partition(":")
    work = getattr(importlib.import_module(module), name)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # libraries in C print what they like
        os.dup2(nowhere, standard)
    _limit(memory)

    def send(message: object) -> None:
        pickle.dump(message, answers, protocol=5)
        answers.flush()

    def alarm(after: int) -> None:  # ends it where nobody is left to do so
        if hasattr(signal, "alarm"):
            signal.alarm(after)

    class Asking(Budget):
        @contextmanager
        def share(self, amount: float) -> Iterator[None]:
            alarm(0)
            send(float(amount))
            pickle.load(asked)
            alarm(patience)
            yield

    patience = int(seconds) + 60
    send(True)
    while True:
        try:
            content, path, *options = pickle.load(asked)
        except EOFError:
            return
        alarm(patience)
        try:
            with open_regular(path) if content is None else io.BytesIO(content) as file:
                answer = work(file, path, *options, Asking(0))
            if isinstance(answer, Decoded) and answer.parts:
                send(_Parts(replace(answer, parts=()), len(answer.parts)))
                for part in answer.parts:
                    send(part)
            else:
                send(answer)
        except ImageError as error:
            # Another try would go well only with more memory, and might take down a run without processes.
            send(_Failure(error.reason, error.retry and not isinstance(error.__cause__, MemoryError)))
        except MemoryError:
            send(_Failure("not enough memory to decode it", False))
        except OSError as error:
            send(_Failure(f"cannot be read: {error.strerror or error}", True))
        alarm(0)


def _limit(memory: int) -> None:
    """Bounds the memory of this process and keeps it from leaving a core dump, where the system can."""
    if sys.platform != "win32":
        import resource

        for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
            with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
                resource.setrlimit(what, (most, resource.getrlimit(what)[1]))
