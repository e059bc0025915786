"""A real Milvus, from a package in an environment of its own (``make milvus-env``): started when a test asks for it.

It is a program of its own; a process beside it (``milvus_guard.py``) stops it when that of the tests has ended.
"""

from __future__ import annotations

import atexit
import json
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from postgres_server import url_of

from mmsearch.store.milvus import PostgresWithMilvus
from mmsearch.store.milvus_client import Milvus
from mmsearch.store.postgres.connection import POOL
from mmsearch.store.postgres.store import PostgresStore

ENVIRONMENT = Path(__file__).parent.parent / ".venv-milvus" / "bin" / "python"
MILVUS_MARKS = [pytest.mark.slow]
GUARD = Path(__file__).parent / "milvus_guard.py"


class MilvusServer:
    """A server with a folder of its own, which goes with it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mmsearch-milvus-"))
        self.port = 0
        self.start()
        atexit.register(self.end)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Let it run, on the port that it had."""
        command = [str(ENVIRONMENT), str(GUARD), str(self.folder), str(self.port)]
        self._log = (self.folder / "guard.log").open("a")
        self._guard = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._guard.stdout is not None
        said = self._guard.stdout.readline()
        assert said, (self.folder / "guard.log").read_text()
        told = json.loads(said)
        self.port, self._process = told["port"], psutil.Process(told["process"])

    def kill(self) -> None:
        """SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._end_guard()  # which started it, and waits for it

    def _end_guard(self) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        try:
            self._guard.wait(60)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        assert self._guard.stdout is not None
        self._guard.stdout.close()
        self._log.close()

    def end(self) -> None:
        """Stop it, and give the disk back."""
        self._end_guard()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def _server() -> MilvusServer:
    return MilvusServer()


def milvus_server() -> MilvusServer:
    """The one of this process; the test is skipped where there is none."""
    if not ENVIRONMENT.exists():
        pytest.skip("make milvus-env: there is no Milvus")
    return _server()


def open_with_milvus(folder: Path) -> PostgresStore:
    """The library that belongs to a folder, with its vectors in Milvus."""
    return PostgresWithMilvus(url_of(folder), folder / "cache", POOL, True, connected())


def connected() -> Milvus:
    """A new connection, once the server answers."""
    milvus = Milvus(milvus_server().uri)
    until = time.monotonic() + 120
    while True:
        try:
            with milvus.asked() as client:
                client.list_collections()
            return milvus
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
