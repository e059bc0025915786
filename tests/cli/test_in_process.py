"""What the tests trust: a command called in this process says what a process of its own says, and leaves no trace."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import warnings
from pathlib import Path

import pytest
from samples import CLI

from mmsearch.encoders.onnx import session


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["query", "--json", "a cat", "--no-rerank"], 0),
        (["query", "--paths", "a cat"], 0),
        (["status", "--library", "nowhere"], 1),
        (["query", "date:2024-13"], 2),
        (["query", "a cat", "--wher", "x"], 2),
        (["--help"], 0),
    ],
)
def test_it_says_what_a_process_says(
    mmsearch: CLI, mmsearch_process: CLI, photos: Path, arguments: list[str], code: int
) -> None:
    """In processes: they are what is compared with."""
    mmsearch("index", photos)
    here, there = (run(*arguments, check=code, TZ="Asia/Tokyo") for run in (mmsearch, mmsearch_process))
    assert (here.stdout, here.stderr, here.returncode) == (there.stdout, there.stderr, there.returncode)


def test_it_leaves_this_process_as_it_was(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    def state() -> list[object]:
        loggers = [logging.getLogger(), logging.getLogger("mmsearch")]
        return [
            dict(os.environ), os.getcwd(), list(sys.argv), sys.stdin, sys.stdout, sys.stderr, gc.get_threshold(),
            list(warnings.filters), warnings.showwarning, signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM), [(list(one.handlers), one.level, one.propagate) for one in loggers],
            session.load,
        ]  # fmt: skip

    before = state()
    mmsearch("index", photos, "--trust-pickle")
    mmsearch("query", "a cat", TZ="Asia/Tokyo")
    mmsearch("watch", "nowhere", check=1)
    mmsearch("query", check=2)
    assert state() == before


def test_settings_of_one_call_are_not_those_of_the_next(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos, MMSEARCH_LIBRARY=str(tmp_path / "other"))
    assert mmsearch("status", check=1).stderr.startswith(f"mmsearch: there is no library in {tmp_path / 'home'}")


def test_a_process_that_a_command_starts_is_heard(
    mmsearch: CLI, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its words go to where those of the command go, not to where those of the tests go."""
    mmsearch("index", photos)
    (photos / "cat.png").unlink()
    viewer = f"{sys.executable} -c 'print(\"seen\")' %s"
    done = mmsearch("query", "a cat", "-k", "1", "--in", photos / "trips", "--open", BROWSER=viewer)
    assert capfd.readouterr() == ("", "")
    assert done.returncode == 0
