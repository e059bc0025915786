"""How far a run is, where stderr is no terminal: lines in a log."""

from __future__ import annotations

import pytest

from mmsearch.cli.progress_bar import Lines, NowAndThen
from mmsearch.types import Progress


@pytest.fixture(autouse=True)
def every_ten_seconds(unhurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsearch.cli.progress_bar.EVERY", 10.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_long_run_says_how_far_it_is_each_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = Lines("Indexing", clock)
    for done in range(1, 36):
        clock.now += 1
        show(Progress(done, 12_000, "/a.jpg"))
    assert capsys.readouterr().err.splitlines() == [
        "Indexing: 10 of 12,000 (1.0/s, 3 h left)",
        "Indexing: 20 of 12,000 (1.0/s, 3 h left)",
        "Indexing: 30 of 12,000 (1.0/s, 3 h left)",
    ]


def test_each_step_has_its_own_rate(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = Lines("Indexing", clock)
    for done in range(1, 51):
        clock.now += 0.01
        show(Progress(done, 50, "/a.jpg"))
    for done in range(1, 9):
        clock.now += 4
        show(Progress(done, 30, "/a.jpg", "text"))
    assert capsys.readouterr().err.splitlines() == [
        "Text: 3 of 30 (0.2/s, 2 min left)",
        "Text: 6 of 30 (0.2/s, 2 min left)",
    ]


def test_a_run_of_seconds_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = Lines("Indexing", clock)
    for done in range(1, 1001):
        clock.now += 0.009
        show(Progress(done, 1000, "/a.jpg"))
    assert capsys.readouterr().err == ""


def test_other_lines_come_now_and_then_too(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = NowAndThen(clock)
    for step in range(25):
        clock.now += 1
        lines.say(lambda step=step: f"step {step}")  # type: ignore[misc]
    assert capsys.readouterr().err == "step 9\nstep 19\n"


def test_a_run_of_which_nothing_is_heard_says_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = Lines("Indexing", clock)
    for _ in range(12):
        clock.now += 1
        show.pulse()
    show(Progress(7, 20, "/a.jpg"))
    for _ in range(12):
        clock.now += 1
        show.pulse()
    assert capsys.readouterr().err.splitlines() == ["Indexing: 10 s so far", "Indexing: 7 of 20"]
