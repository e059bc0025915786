"""Building in a process of its own: the same index, and nothing that befalls it harms the one who asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_vectors import DIM, brute_force, clustered, shared, texts

from mmsearch.indexes import ann_files
from mmsearch.indexes.build_process import Apart
from mmsearch.indexes.faiss_files import hashed
from mmsearch.indexes.index import StoredIndex
from mmsearch.indexes.maintenance import best
from mmsearch.indexes.policy import Choice
from mmsearch.indexes.vector_file import Rows
from mmsearch.types import Vectors

COUNT = 21_000  # more than are compared one by one
LISTS = [Choice("ivf-rabitq", 200, 0)]
SLOW = [Choice("ivf-rabitq", 8_000, 0)]  # k-means takes long


@pytest.fixture(scope="module")
def pictures() -> Vectors:
    return clustered(np.random.default_rng(0), COUNT)


@pytest.fixture(scope="module")
def asked(pictures: Vectors) -> Vectors:
    return texts(np.random.default_rng(1), pictures, 60)


@pytest.fixture
def rows(tmp_path: Path, pictures: Vectors) -> Rows:
    return Rows(DIM).plus(np.arange(COUNT), pictures).written(tmp_path / "rows-1")


def children(parent: int) -> set[int]:
    """Processes that another one has started."""
    found = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    lines = [line.split() for line in found.stdout.splitlines()]
    return {int(pid) for pid, own, state in lines if int(own) == parent and state[0] != "Z"}


def builder(apart: Apart) -> int:
    """Its process, as soon as it has one; other processes of this one, such as those of other tests, do not count."""
    until(lambda: apart._process is not None)
    assert apart._process is not None
    return apart._process.pid


def _is_there(pid: int) -> bool:
    shown = subprocess.run(
        ["ps", "-ww", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False
    ).stdout
    return "indexes.build_process" in shown


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_it_is_what_would_be_built_here(tmp_path: Path, rows: Rows, pictures: Vectors, asked: Vectors) -> None:
    told: list[int] = []
    apart = Apart(tmp_path)
    ann = apart(rows, LISTS, asked, 0.9, told.append)
    here = best(rows, LISTS, asked, 0.9, None)
    assert (ann.index.kind, len(ann.index), ann.built, ann.asked) == ("ivf-rabitq", COUNT, COUNT, 0.9)
    assert told == sorted(told)
    assert told[-1] == COUNT
    assert ann.file is not None
    assert ann_files.entry(ann)["hash"] == hashed(tmp_path / ann.file)
    found = StoredIndex(rows, ann=ann).search(asked, 10).ids.tolist()
    truth = brute_force(dict(enumerate(pictures)), asked, 10)
    assert shared(found, truth) > 0.85
    for query in asked[:10]:
        assert ann.index.candidates(query, 50, 32).tolist() == here.index.candidates(query, 50, 32).tolist()
    assert not _is_there(builder(apart))


def test_it_is_ended_at_once_and_builds_nothing_more(tmp_path: Path, rows: Rows, asked: Vectors) -> None:
    apart = Apart(tmp_path, gently=True)
    failed: list[str] = []

    def work() -> None:
        try:
            apart(rows, SLOW, asked, 0.9)
        except RuntimeError as error:
            failed.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    built = builder(apart)
    apart.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert apart.stopped
    assert failed == ["the process that built it broke off (-9)"]
    with pytest.raises(RuntimeError, match="stopped"):
        apart(rows, LISTS, asked, 0.9)
    assert not _is_there(built)
    assert list(tmp_path.glob("likely-*")) == []


def test_its_death_is_an_error_here(tmp_path: Path, rows: Rows, asked: Vectors) -> None:
    apart = Apart(tmp_path)

    def kill() -> None:
        os.kill(builder(apart), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(RuntimeError, match=r"broke off \(-9\)"):
        apart(rows, SLOW, asked, 0.9)
    thread.join()


def test_what_it_cannot_do_is_said_here(tmp_path: Path, rows: Rows, asked: Vectors) -> None:
    with pytest.raises(RuntimeError, match="cannot be written"):
        Apart(tmp_path / "no such folder")(rows, LISTS, asked, 0.9)
    (tmp_path / "rows-1.f16").unlink()
    apart = Apart(tmp_path)
    with pytest.raises(RuntimeError, match="No such file"):
        apart(rows, LISTS, asked, 0.9)
    assert not _is_there(builder(apart))


def test_ctrl_c_ends_it(tmp_path: Path, rows: Rows, asked: Vectors) -> None:
    apart = Apart(tmp_path)

    def interrupt() -> None:
        builder(apart)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            apart(rows, SLOW, asked, 0.9)
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    until(lambda: not _is_there(builder(apart)))  # one that was just being started ends when nobody holds its pipes


def test_it_ends_with_the_one_who_asked(tmp_path: Path, rows: Rows, asked: Vectors) -> None:
    np.save(tmp_path / "asked.npy", asked)
    script = (
        "import sys, numpy, pathlib; from mmsearch.indexes.build_process import Apart;"
        "from mmsearch.indexes.vector_file import Rows;"
        "from mmsearch.indexes.policy import Choice; folder = pathlib.Path(sys.argv[1]);"
        f"rows = Rows.mapped(folder / 'rows-1', {DIM}, {COUNT});"
        "Apart(folder)(rows, [Choice('ivf-rabitq', 8000, 0)], numpy.load(folder / 'asked.npy'), 0.9)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as asking:
        until(lambda: len(children(asking.pid)) == 1)
        (built,) = children(asking.pid)
        asking.kill()
    until(lambda: not _is_there(built))
    assert list(tmp_path.glob("likely-*")) == []


def test_where_no_process_can_be_started_it_is_built_here(
    tmp_path: Path, rows: Rows, asked: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    ann = Apart(tmp_path)(rows, LISTS, asked, 0.9)
    assert (len(ann.index), ann.file) == (COUNT, None)


def test_rows_that_are_not_on_disk_are_built_from_here(
    tmp_path: Path, rows: Rows, pictures: Vectors, asked: Vectors
) -> None:
    more = rows.plus(np.array([COUNT]), pictures[:1])
    ann = Apart(tmp_path)(more, LISTS, asked, 0.9)
    assert (len(ann.index), ann.file) == (COUNT + 1, None)
