"""Runs of the real command line that each are a process of their own, forked from one that has imported all they need.

To start Python, to import and to load the model takes longer than most such runs.  As a program, ``python
forked_runs.py FOLDER``, it listens at ``FOLDER/socket`` until its standard input ends; a run is asked for in a line of
JSON, and gets what ``killed.py`` gets.  Whoever forks has one thread, which is checked each time.  What the model made
of a picture is kept in a folder, to the bit, so that a picture that all runs see is encoded once.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST = 120.0  # seconds that a run may take
NEEDED = (  # of an index run, and imported where they are used
    "mmsearch.cli.app",
    "mmsearch.cli.indexed",
    "mmsearch.encoders.onnx.encoder",
    "mmsearch.indexes.build_process",
    "mmsearch.indexes.maintenance",
    "mmsearch.ingest.enrich.runner",
    "mmsearch.library.collection_search",
    "mmsearch.library.guarded_collection",
    "mmsearch.library.indexing",
    "mmsearch.library.opening",
    "mmsearch.manage.import_vectors",
    "mmsearch.store.sqlite.store",
    "numpy.random",
    "pydantic.type_adapter",
)
MAY_LACK = (  # where there are no servers
    "mmsearch.cluster.moving",
    "mmsearch.media.object_store",
    "mmsearch.store.postgres.store",
    "mmsearch.store.postgres.table_copy",
    "obstore",
)
# Threads that a library starts when it is imported or used would be lost to whoever is forked.
ALONE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class ForkedRuns:
    """Asks for runs; from several threads, too, and then they are at the same time."""

    def __init__(self, folder: Path) -> None:
        self._place = str(folder / "socket")

    def __call__(
        self, point: str, count: int, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """A run that is killed when it comes to a point for the ``count``-th time; "none": the command line as it is.

        The return code is negative for a run that was killed, as that of a subprocess is.
        """
        if point == "none":
            return self.program("mmsearch.cli.app", arguments, environment)
        return self.program("killed", [point, str(count), *arguments], environment)

    def program(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """A run of the function ``main`` of a module."""
        job = {"module": module, "arguments": [*arguments], "environment": dict(environment)}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LONGEST + 60)
            connection.connect(self._place)
            with connection.makefile("rw", encoding="utf-8") as stream:
                stream.write(json.dumps(job) + "\n")
                stream.flush()
                told = stream.readline()
        assert told, "whoever forks went away"
        return subprocess.CompletedProcess([*arguments], **json.loads(told))


@contextmanager
def forked_runs(environment: Mapping[str, str]) -> Iterator[ForkedRuns]:
    """Starts the process that forks, in this environment; each run has its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("XDG_RUNTIME_DIR")) as name:  # short, as a socket's must be
        own = {**environment, **ALONE}
        process = subprocess.Popen(
            [sys.executable, __file__, name], env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield ForkedRuns(Path(name))
        finally:
            process.stdin.close()
            process.stdout.close()
            assert process.wait(LONGEST) == 0


class Encoded:
    """A graph that runs once for a row of its input, for this process and all that keep their rows in ``folder``.

    Rows of a graph with one input do not depend on each other; with several, or where its outputs are no rows, what a
    whole batch gave is kept.
    """

    def __init__(self, session: Any, folder: Path, name: str) -> None:
        self.session, self._folder, self._name = session, folder, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, outputs: Sequence[str] | None, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As a session does."""
        if list(feeds) != ["pixels"]:
            return self._kept(outputs, feeds)
        rows = [self._kept(outputs, {"pixels": row[None]}) for row in feeds["pixels"]]
        return [np.concatenate(each) for each in zip(*rows, strict=True)]

    def _kept(self, outputs: Sequence[str] | None, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        key = hashlib.blake2b(f"{self._name} {outputs}".encode(), digest_size=16)
        for name, given in sorted(feeds.items()):
            key.update(f"{name} {given.dtype} {given.shape}".encode())
            key.update(np.ascontiguousarray(given).data)
        file = self._folder / f"{key.hexdigest()}.npz"
        with suppress(FileNotFoundError), np.load(file) as kept:
            return [kept[f"arr_{number}"] for number in range(len(kept.files))]
        found = list(self.session.run(outputs, feeds))
        handle, draft = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(handle, "wb") as opened:
            np.savez(opened, *found)
        os.rename(draft, file)  # by ``os``, as no point of killing is
        return found


def prepare(folder: Path) -> Callable[[], object]:
    """Import all that a run needs, and load the model with one thread; returns what keeps it loaded."""
    import kept_models
    import killed  # noqa: F401

    for name in NEEDED:
        importlib.import_module(name)
    for name in MAY_LACK:
        with suppress(ImportError):
            importlib.import_module(name)
    from mmsearch.encoders import factory
    from mmsearch.encoders.onnx import session

    plain = session.load

    def load(files: Sequence[Path], threads: int = 0, quick: bool = False) -> Any:
        name = " ".join(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)
        return Encoded(plain(files, threads, quick), folder, name)

    session.load = load
    stays = kept_models.kept(anywhere=True, runs=False)
    stays.__enter__()
    kept = session.load

    def alone(files: Sequence[Path], threads: int = 0, quick: bool = False) -> Any:
        return kept(files, 1)

    session.load = alone
    encoder = factory.embedded()
    encoder.encode_texts(["a photo"])
    side = encoder.card.preprocess.size
    encoder.encode_images(np.zeros((1, side, side, 3), np.uint8))
    return lambda: stays


def serve(folder: Path) -> None:
    """Fork a run for each that is asked for, until standard input ends."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen()
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [], 1)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if sys.stdin in ready:
                return
            if listening in ready:
                connection, _ = listening.accept()
                with connection:
                    if not forked():
                        listening.close()
                        _exit(partial(answer, connection))


def forked() -> int:
    tasks = Path("/proc/self/task")
    assert not tasks.exists() or len(list(tasks.iterdir())) == 1, "a process with threads must not fork"
    return os.fork()


def answer(connection: socket.socket) -> None:
    """One run, and what became of it."""
    with connection.makefile("rw", encoding="utf-8") as stream:
        job = json.loads(stream.readline())
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = forked()
            if not child:
                connection.close()
                _exit(lambda: run(job, out.fileno(), err.fileno()))
            end = time.monotonic() + LONGEST
            while not (ended := os.waitpid(child, os.WNOHANG))[0]:
                if time.monotonic() > end:
                    os.kill(child, signal.SIGABRT)
                time.sleep(0.01)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode("utf-8", "replace"))
        code = os.waitstatus_to_exitcode(ended[1])
        stream.write(json.dumps({"returncode": code, "stdout": texts[0], "stderr": texts[1]}) + "\n")


def run(job: Mapping[str, Any], out: int, err: int) -> None:
    """What is asked for, in this process."""
    with open(os.devnull, "rb") as nothing:
        for own, number in ((nothing.fileno(), 0), (out, 1), (err, 2)):
            os.dup2(own, number)
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv = [job["module"], *job["arguments"]]
    importlib.import_module(job["module"]).main()


def _exit(work: Callable[[], None]) -> None:
    """End this process as Python ends one, without what belongs to whoever forked it."""
    code: Any = 0
    try:
        work()
    except SystemExit as stop:
        code = stop.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code or 0)


if __name__ == "__main__":
    made = Path(sys.argv[1])
    (made / "encoded").mkdir()
    loaded = prepare(made / "encoded")
    serve(made)
