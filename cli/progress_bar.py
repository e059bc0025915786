"""How far a run is: a bar on a terminal, and a line each ten seconds in a pipe or a file."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmsearch.cli import formatting
from mmsearch.cli.streams import cell, console

if TYPE_CHECKING:
    from mmsearch.types import Progress

EVERY = 10.0  # seconds between two lines
SHORT = 1.0  # seconds that a person waits without being shown that something goes on

_STEPS = {
    "regions": "Region tokens",
    "captions": "Captions",
    "reranking": "Reranking",
    "duplicates": "Comparing",
    "facts": "Descriptions",
    "text": "Text",
    "tags": "Tagging",
    "index": "Index",
    "layout": "Layout",
    "placing": "Placing",
    "naming": "Naming",
    "paths": "Paths",
    "small pictures": "Small pictures",
}


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[Progress], None]]:
    """Shows on stderr how far a run is, with rate and time left; yields a callback for ``Progress``.

    A bar where stderr is a terminal, else a line each ten seconds, also where no callback comes: the log of a run of
    seconds has none.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        lines = Lines(what)
        with pulsing(lines.pulse):
            yield lines
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return cell(rate(task.speed) if task.speed else "", "dim")

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate())
    options: dict[str, Any] = {"console": console(stderr=True), "transient": True, "redirect_stdout": False}
    with Bar(*columns, TimeRemainingColumn(), **options) as bar:  # standard output may be a file
        task = bar.add_task(what, total=None)
        yield lambda step: _advance(bar, task, what, step)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shows on stderr that something goes on of which nobody knows how long it takes.

    A spinner where stderr is a terminal and it takes more than a second, else a line each ten seconds.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        with pulsing(Lines(what).pulse):
            yield
        return
    ended = threading.Event()
    spinner = threading.Thread(target=_spin, args=(what, ended), daemon=True)
    spinner.start()
    try:
        yield
    finally:
        ended.set()
        spinner.join()


def _spin(what: str, ended: threading.Event) -> None:
    if ended.wait(SHORT):
        return
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=console(stderr=True), transient=True, redirect_stdout=False) as bar:
        bar.add_task(what, total=None)
        ended.wait()


@contextmanager
def pulsing(pulse: Callable[[], None]) -> Iterator[None]:
    """Calls ``pulse`` once a second meanwhile, in a thread of its own."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(min(SHORT, EVERY)):
            try:
                pulse()
            except (OSError, ValueError):  # nobody reads stderr any more, or it is closed
                return

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()


class NowAndThen:
    """Says a line when ``EVERY`` seconds have gone by since the last one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._said = clock, clock()
        self._turn = threading.RLock()

    def say(self, line: Callable[[], str]) -> None:
        with self._turn:
            if self._clock() - self._said >= EVERY:
                self.now(line)

    def now(self, line: Callable[[], str]) -> None:
        """Says it whatever the time; the next one comes ``EVERY`` seconds later."""
        with self._turn:
            self._said = self._clock()
            formatting.say(line())


class Lines:
    """What is done, how much of it, how fast, and how long it will take, now and then."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock, self._lines = what, clock, NowAndThen(clock)
        self._step, self._begun, self._first = "", clock(), 0
        self._latest: Progress | None = None

    def __call__(self, step: Progress) -> None:
        now, self._latest = self._clock(), step
        if step.step != self._step:  # its first item may be long in coming; the rate is that of those after it
            self._step, self._begun, self._first = step.step, now, step.done
        self._lines.say(lambda: self._line(step, now - self._begun))

    def pulse(self) -> None:
        """Says where it was when it was last heard of, where nothing was said for long."""
        now = self._clock()
        self._lines.say(lambda: self._so_far(now - self._begun))

    def _so_far(self, seconds: float) -> str:
        return f"{self._what}: {seconds:.0f} s so far" if self._latest is None else self._line(self._latest, seconds)

    def _line(self, step: Progress, seconds: float) -> str:
        done = f"{_described(self._what, step)}: {step.done:,} of {step.total:,}"
        pace = (step.done - self._first) / seconds if seconds else 0
        if not pace:
            return done
        left = f", {duration((step.total - step.done) / pace)} left" if step.total > step.done else ""
        return f"{done} ({rate(pace)}{left})"


def _advance(bar: Any, task: Any, what: str, step: Progress) -> None:
    bar.update(task, total=step.total, completed=step.done, description=_described(what, step))


def _described(what: str, step: Progress) -> str:
    return what if step.step == "pictures" else _STEPS.get(step.step, step.step.capitalize())


def rate(a_second: float) -> str:
    """Items a second in words, or a minute where they are few."""
    if a_second < 0.1:
        return f"{60 * a_second:.1f}/min"
    return f"{a_second:.0f}/s" if a_second >= 10 else f"{a_second:.1f}/s"


def duration(seconds: float) -> str:
    """In words, to the minute."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
