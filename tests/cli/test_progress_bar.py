"""How far a run is, where stderr is no terminal: lines in a log."""

from __future__ import annotations

import pytest

from mmsearch.cli.progress_bar import Lines, NowAndThen
from mmsearch.types import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_long_run_says_how_far_it_is_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = Lines("Indexing", clock)
    for done in range(1, 200):
        clock.now += 1
        show(Progress(done, 12_000, "/a.jpg"))
    assert capsys.readouterr().err.splitlines() == [
        "Indexing: 60 of 12,000 (1.0/s, 3 h left)",
        "Indexing: 120 of 12,000 (1.0/s, 3 h left)",
        "Indexing: 180 of 12,000 (1.0/s, 3 h left)",
    ]


def test_each_step_has_its_own_rate(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = Lines("Indexing", clock)
    for done in range(1, 51):
        clock.now += 0.01
        show(Progress(done, 50, "/a.jpg"))
    for done in range(1, 9):
        clock.now += 20
        show(Progress(done, 30, "/a.jpg", "text"))
    assert capsys.readouterr().err.splitlines() == [
        "Text: 3 of 30 (3.0/min, 9 min left)",
        "Text: 6 of 30 (3.0/min, 8 min left)",
    ]


def test_a_run_of_seconds_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = Lines("Indexing", clock)
    for done in range(1, 1001):
        clock.now += 0.05
        show(Progress(done, 1000, "/a.jpg"))
    assert capsys.readouterr().err == ""


def test_other_lines_come_now_and_then_too(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = NowAndThen(clock)
    for step in range(150):
        clock.now += 1
        lines.say(lambda step=step: f"step {step}")  # type: ignore[misc]
    assert capsys.readouterr().err == "step 59\nstep 119\n"
