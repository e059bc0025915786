"""How far a training run is, where stderr is no terminal: what it does from the beginning on."""

from __future__ import annotations

import pytest

from mmsearch.cli.train_progress import TrainLines
from mmsearch.training.common.progress import TrainProgress


@pytest.fixture(autouse=True)
def every_ten_seconds(unhurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsearch.cli.progress_bar.EVERY", 10.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_phase_is_said_when_it_begins_and_each_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = TrainLines(clock)
    for done in range(1, 16):
        show(TrainProgress("photos", done, 15))
        clock.now += 1
    for done in range(1, 4):
        show(TrainProgress("captions", done, 3))
        clock.now += 1
    assert capsys.readouterr().err.splitlines() == [
        "Reading photos: 1 of 15",
        "Reading photos: 11 of 15 (1.0/s, 1 min left)",
        "Frozen layers, captions: 1 of 3",
    ]


def test_steps_are_said_from_the_first_one(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    show = TrainLines(clock)
    for step in range(1, 9):
        clock.now += 4
        epoch = 1 if step < 5 else 2
        show(TrainProgress("training", step, 8, epoch, 2, 2.5 - step / 10, 3e-5, 31.4, 25.0 * (8 - step)))
        if step == 4:
            show(TrainProgress("dev", 1, 1))  # what was said before is not said again with each epoch
    assert capsys.readouterr().err.splitlines() == [
        "step 1 of 8: epoch 1/2  loss 2.400  lr 3.0e-05  31 pairs/s  0:02:55 left",
        "step 4 of 8: epoch 1/2  loss 2.100  lr 3.0e-05  31 pairs/s  0:01:40 left",
        "Dev figures: 1 of 1",
        "step 7 of 8: epoch 2/2  loss 1.800  lr 3.0e-05  31 pairs/s  0:00:25 left",
    ]
