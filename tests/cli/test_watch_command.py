"""``mmsearch watch`` as it runs for days: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from filelock import FileLock
from samples import CLI, SAMPLES, interruptible

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


class Running:
    """A command line that goes on; its lines come one by one."""

    def __init__(self, *arguments: str | Path, home: Path) -> None:
        environment = {**os.environ, "HOME": str(home), "MMSEARCH_OFFLINE": "1"}
        command = [sys.executable, "-m", "mmsearch.cli", "watch", *map(str, arguments)]
        with interruptible():
            self.process = subprocess.Popen(
                command, env=environment, cwd=home.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        self.readers: list[threading.Thread] = []
        self.out, self.err = (self._lines(stream) for stream in (self.process.stdout, self.process.stderr))

    def _lines(self, stream: IO[str] | None) -> queue.SimpleQueue[str]:
        assert stream is not None
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()

        def read() -> None:
            with stream:
                for line in stream:
                    lines.put(line.rstrip("\n"))

        self.readers.append(threading.Thread(target=read, daemon=True))
        self.readers[-1].start()
        return lines

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.get(timeout=90))
        return found

    def said(self, beginning: str) -> str:
        """The next line on stderr that begins so."""
        while not (line := self.err.get(timeout=90)).startswith(beginning):
            assert "Traceback" not in line
        return line

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=90)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []
    (tmp_path / "home").mkdir(exist_ok=True)

    def run(*arguments: str | Path) -> Running:
        started.append(Running(*arguments, home=tmp_path / "home"))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        for reader in one.readers:
            reader.join()


def test_one_object_a_run(start: Callable[..., Running], mmsearch: CLI, photos: Path) -> None:
    watching = start(photos, "--json")
    first = watching.report()
    assert (first["added"], first["model"]) == (5, "embedded")
    assert watching.said("watching") == "watching 1 folder"
    shutil.copy(SAMPLES / "coffee.png", photos)
    found = watching.report()
    assert (found["added"], found["unchanged"], found["encoded"]) == (1, 5, 1)
    assert set(found) == set(first) == set(json.loads(mmsearch("index", photos, "--json").stdout))
    (photos / "trips").rename(photos / "travels")
    found = watching.report()
    assert (found["moved"], found["encoded"], found["removed"]) == (2, 0, 0)
    assert watching.stop(signal.SIGTERM) == 0
    assert watching.said("stopped") == "stopped: 6 photos can be found, nothing is lost"
    assert "photos/travels/rocket.jpg" in mmsearch("query", "a rocket", "-k", "1").stdout


def test_ctrl_c_ends_it(start: Callable[..., Running], photos: Path) -> None:
    watching = start(photos)
    watching.said("5 added in ")
    watching.said("watching")
    assert watching.stop(signal.SIGINT) == 130
    assert watching.said("stopped") == "stopped: 5 photos can be found, nothing is lost"
    assert watching.out.empty()


@pytest.mark.slow
def test_a_signal_in_a_run_loses_nothing(start: Callable[..., Running], mmsearch: CLI, photos: Path) -> None:
    for number in range(80):
        (photos / f"{number}.jpg").write_bytes((SAMPLES / "rocket.jpg").read_bytes() + bytes(number + 1))
    watching = start(photos, "--json")
    watching.said("using the embedded model")
    assert watching.stop(signal.SIGTERM) == 0
    kept = int(watching.said("stopped").split()[1])
    (report,) = (json.loads(line) for line in mmsearch("index", photos, "--json").stdout.splitlines())
    assert (kept + report["added"], report["encoded"]) == (85, report["added"])


def test_a_vanished_folder_and_polling(start: Callable[..., Running], photos: Path) -> None:
    watching = start(photos, "--poll", "0.2")
    watching.said("watching")
    photos.rename(photos.with_name("unplugged"))
    assert watching.said("photos") == "photos is not there now: waiting for it, nothing is marked missing"
    photos.with_name("unplugged").rename(photos)
    assert watching.said("photos") == "photos is there again"
    (photos / "cat.png").unlink()
    assert watching.said("4 unchanged").startswith("4 unchanged, 1 gone in ")


def test_another_writer_is_waited_for(start: Callable[..., Running], photos: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with FileLock(tmp_path / "own" / "writer.lock"):
        watching = start(photos, "--library", tmp_path / "own", "--json")
        watching.said("another mmsearch is writing to the library: waiting for it")
    assert watching.report()["added"] == 5


def test_wrong_usage_ends_it(mmsearch: CLI, photos: Path) -> None:
    assert "no such file or folder" in mmsearch("watch", "nowhere", check=1).stderr
    assert "knows no folder yet" in mmsearch("watch", check=1).stderr
    assert "--poll" in mmsearch("watch", photos, "--poll", "0", check=2).stderr
    assert "there is no model 'nonsense'" in mmsearch("watch", photos, check=1, MMSEARCH_MODEL="nonsense").stderr


def test_nothing_comforting_is_said_of_a_library_that_is_gone(start: Callable[..., Running], photos: Path) -> None:
    library = photos.with_name("own")
    watching = start(photos, "--library", library, "--poll", "600")
    watching.said("watching")
    library.rename(photos.with_name("elsewhere"))
    assert watching.stop(signal.SIGTERM) == 1
    assert " was moved or deleted while its folders were watched" in watching.said("")
    assert watching.err.empty()
