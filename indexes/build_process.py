"""Approximate indexes that are built in a process of its own.

FAISS cannot be interrupted while it learns, and may need more memory than there is.  A process can be ended at any
moment, has its own memory, and steps back for others where it is told to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from mmsearch.errors import LibraryError
from mmsearch.indexes import ann_files
from mmsearch.indexes.index import TunedAnn
from mmsearch.indexes.maintenance import best
from mmsearch.indexes.policy import Choice
from mmsearch.indexes.vector_file import Rows
from mmsearch.types import Vectors

log = logging.getLogger(__name__)

NICE = 10  # what a process that steps back adds to its niceness
_START = "import sys; sys.path[:] = sys.argv[1:]; from mmsearch.indexes.build_process import serve; serve()"


class Apart:
    """``maintenance.best`` in a process of its own, whose result is a file in ``folder``."""

    def __init__(self, folder: Path, gently: bool = False) -> None:
        """With ``gently`` the process leaves the processors to others that want them."""
        self._folder, self._gently = folder, gently
        self.stopped = False
        self._lock = threading.Lock()  # while it is started or stopped
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(
        self,
        rows: Rows,
        fitting: list[Choice],
        queries: Vectors,
        recall: float,
        progress: Callable[[int], None] | None = None,
    ) -> TunedAnn:
        """As ``best``; in this process where the rows are not all on the disk, or the system starts no other one.

        Raises RuntimeError where that breaks off, LibraryError.
        """
        process = self._started() if rows.on_disk == len(rows) else None
        if process is None:
            return best(rows, fitting, queries, recall, progress)
        job = (rows.file, rows.dim, len(rows), fitting, queries, recall, self._folder, self._gently)
        entry = self._entry(process, job, progress)
        return ann_files.read(entry, self._folder, rows.dim)

    def stop(self) -> None:
        """End what is being built now, and build nothing more.  From any thread."""
        with self._lock:
            self.stopped = True
            if self._process is not None:
                self._process.kill()

    @staticmethod
    def _entry(
        process: subprocess.Popen[bytes], job: tuple[Any, ...], progress: Callable[[int], None] | None
    ) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(job, process.stdin, protocol=5)
            process.stdin.flush()
            while not isinstance(said := pickle.load(process.stdout), dict):
                if isinstance(said, str):
                    raise RuntimeError(said)
                if progress is not None:
                    progress(said)
            return said
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)  # it may not have come to its end when its pipes had
            raise RuntimeError(f"the process that built it broke off ({process.poll()})") from error
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what was not sent yet
                    pipe.close()

    def _started(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self.stopped:
                raise RuntimeError("building it was stopped")
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _START, *sys.path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for the one who asks
                )
            except OSError as error:
                log.info("the index is built in this process: %s", error)
                return None
            return self._process


def serve() -> None:
    """What the process does: build what comes on stdin, say how far it is, and at last what is in the folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows there are no sessions
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # FAISS prints what it likes
        os.dup2(nowhere, standard)

    def send(message: int | str | dict[str, Any]) -> None:
        pickle.dump(message, answers, protocol=5)
        answers.flush()

    file, dim, count, fitting, queries, recall, folder, gently = pickle.load(asked)
    threading.Thread(target=_end_with, args=(asked,), daemon=True).start()
    if gently and hasattr(os, "nice"):
        os.nice(NICE)
    try:
        ann = best(Rows.mapped(file, dim, count), fitting, queries, recall, send)
        send(ann_files.entry(ann_files.write(ann, folder)))
    except MemoryError:
        send("not enough memory")
    except (RuntimeError, OSError, LibraryError) as error:
        send(str(error).partition("\n")[0])


def _end_with(asked: BinaryIO) -> None:
    """Ends this process when nobody waits for it any more."""
    asked.read(1)
    os._exit(1)
