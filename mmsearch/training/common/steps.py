"""The loop of steps that trainers share: rate, step, log, dev, checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

from mmsearch.training.common import optimize
from mmsearch.training.common.session import LOG_EVERY, Pace, RunOptions, Session, report_step


class Schedule(Protocol):
    """What a recipe says of the loop."""

    @property
    def steps(self) -> int: ...

    @property
    def warmup(self) -> float: ...

    @property
    def batch(self) -> int: ...

    @property
    def dev_every(self) -> int: ...


class State(Protocol):
    """How far a run is, as it is kept in a checkpoint."""

    step: int


def run_steps(
    session: Session,
    state: State,
    recipe: Schedule,
    options: RunOptions,
    learn: Callable[[int], dict[str, float]],
    evaluate: Callable[[], None],
    more: Callable[[], dict[str, Any]] = dict,
) -> None:
    """All steps from ``state.step`` on, each at the rate of its turn.

    ``learn`` does the step of this number, and returns its terms with the "loss" among them, for the log and for
    whoever listens.  ``evaluate`` is called every ``dev_every`` steps and at the end.  A checkpoint with ``state`` and
    what ``more`` gives is written then, and as often as the options say.
    """
    saved = time.perf_counter()
    pace = Pace(state.step, saved)
    while state.step < recipe.steps:
        optimize.set_rate(session.optimizer, optimize.rate(state.step, recipe.steps, recipe.warmup))
        terms = learn(state.step)
        state.step += 1
        pace.add(recipe.batch)
        now = time.perf_counter()
        pairs = pace.pairs_per_second(now)
        if state.step % LOG_EVERY == 0 or state.step == recipe.steps:
            session.add_event("step", step=state.step, pairs_per_second=round(pairs, 1), **terms)
        report_step(
            options.progress, state.step, recipe.steps, loss=terms["loss"], pairs_per_second=pairs,
            rate=session.optimizer.param_groups[0]["lr"], seconds_left=pace.seconds_left(now, state.step, recipe.steps),
        )  # fmt: skip
        evaluated = state.step % recipe.dev_every == 0 or state.step == recipe.steps
        if evaluated:
            evaluate()
        if evaluated or time.perf_counter() - saved >= options.save_every:
            session.save(vars(state), **more())
            saved = time.perf_counter()


def adam(trained: dict[str, nn.Parameter], lr: float, weight_decay: float, betas: tuple[float, float]) -> Any:
    """AdamW (Loshchilov and Hutter 2019) at one rate; parameters of one dimension, norms and biases, do not decay."""
    groups = [
        {"params": [p for p in trained.values() if (p.ndim > 1) == decays], "lr": lr, "peak": lr,
         "weight_decay": weight_decay if decays else 0.0} for decays in (True, False)
    ]  # fmt: skip
    return torch.optim.AdamW(groups, betas=betas)
