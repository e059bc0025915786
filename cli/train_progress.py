"""How far a training run is: a bar on a terminal; in a log a line when something new begins, and each ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmsearch.cli.progress_bar import NowAndThen, duration, pulsing, rate
from mmsearch.cli.streams import console

if TYPE_CHECKING:
    from mmsearch.training.common.progress import TrainProgress

_PHASES = {
    "photos": "Reading photos",
    "dev photos": "Reading dev photos",
    "views": "Frozen layers, photos",
    "captions": "Frozen layers, captions",
    "dev": "Dev figures",
    "writing": "Figures and files",
    "relevance": "Relevance",
}


@contextmanager
def bar() -> Iterator[Any]:
    """Shows on stderr what a run is doing; yields a callback for ``TrainProgress``."""
    if sys.stderr is None or not sys.stderr.isatty():
        lines = TrainLines()
        with pulsing(lines.pulse):
            yield lines
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as shown:
        task = shown.add_task("Starting", total=None)
        yield lambda step: shown.update(task, description=line(step), completed=step.done, total=step.total)


def line(step: TrainProgress) -> str:
    """Where a run stands, in words."""
    if step.phase != "training":
        return _PHASES[step.phase]
    left = int(step.seconds_left)
    clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
    epoch = f"epoch {step.epoch}/{step.epochs}  " if step.epochs else ""
    return f"{epoch}loss {step.loss:.3f}  lr {step.rate:.1e}  {step.pairs_per_second:.0f} pairs/s  {clock} left"


class TrainLines:
    """For a log: each phase when it first begins, the first step too, and then each ten seconds where it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lines = clock, NowAndThen(clock)
        self._seen: set[str] = set()
        self._phase, self._begun, self._first = "", clock(), 0
        self._latest: TrainProgress | None = None

    def pulse(self) -> None:
        """Says where it was when it was last heard of, where nothing was said for long."""
        latest, seconds = self._latest, self._clock() - self._begun
        self._lines.say(lambda: f"Starting: {seconds:.0f} s so far" if latest is None else self._line(latest))

    def __call__(self, step: TrainProgress) -> None:
        self._latest = step
        if step.phase != self._phase:  # the rate is that of the items after its first
            self._phase, self._begun, self._first = step.phase, self._clock(), step.done
        if step.phase not in self._seen:
            self._seen.add(step.phase)
            self._lines.now(lambda: self._line(step))
        else:
            self._lines.say(lambda: self._line(step))

    def _line(self, step: TrainProgress) -> str:
        if step.phase == "training":
            return f"step {step.done:,} of {step.total:,}: {line(step)}"
        if step.phase == "writing":
            return line(step)
        said, seconds = f"{line(step)}: {step.done:,} of {step.total:,}", self._clock() - self._begun
        pace = (step.done - self._first) / seconds if seconds else 0
        if not pace:
            return said
        left = f", {duration((step.total - step.done) / pace)} left" if step.total > step.done else ""
        return f"{said} ({rate(pace)}{left})"
