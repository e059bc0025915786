"""What every training run has, whatever it trains: its weights, their average, files, log and randomness.

All randomness of a step comes from its number (``seed_torch``), so a checkpoint needs no generator's state: a run that
was killed and goes on ends with the same bits as one that was not.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmsearch.errors import TrainingError
from mmsearch.training.common import checkpoint, report
from mmsearch.training.common.distributed import World, average_gradients
from mmsearch.training.common.optimize import Average
from mmsearch.training.common.progress import Reporter, TrainProgress

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0  # seconds between checkpoints
LOG_EVERY = 10  # steps between two lines of log.jsonl


@dataclass(frozen=True)
class RunOptions:
    """How a run is run; nothing of it changes what it learns."""

    device: str = "cpu"
    resume: bool = False  # go on from the last checkpoint in the folder
    keep_cache: bool = False  # of what the frozen layers gave
    save_every: float = SAVE_EVERY  # seconds between checkpoints
    progress: Reporter | None = None
    reranker: str = "auto"  # which one a trained model is searched with: the setting of that name
    origin: dict[str, Any] = field(default_factory=dict)  # kept in run.json for whoever resumes the run
    world: World = field(default_factory=World)  # this process among others that train the same model


class Session:
    """One run: the weights that learn, and where they are kept.

    ``trained`` are the parameters by name, ``ema`` the decay a step of their moving average, ``clip`` the largest norm
    of the gradient.  Only the first process of ``options.world`` writes and reports.
    """

    def __init__(
        self, out: Path, trained: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, ema: float,
        clip: float, scaler: torch.amp.GradScaler, options: RunOptions,
    ) -> None:  # fmt: skip
        self.trained, self.optimizer, self.clip, self.scaler = dict(trained), optimizer, clip, scaler
        self.average = Average(list(self.trained.values()), ema)
        self.files = checkpoint.Run(out)
        self.world = options.world
        self.log: report.Log | None = None  # the first process's, from ``restore`` on

    def restore(self, resume: bool) -> dict[str, Any] | None:
        """Weights, average and optimizer from the last checkpoint, which is returned; None where a run begins."""
        found = self.files.load() if resume else None
        if self.world.first:
            self.log = report.Log(self.files.log, found["log"] if found is not None else 0)
        if found is None:
            return None
        self._put(found["weights"])
        self.average.load([found["means"][name] for name in self.trained], found["averaged"])
        self.optimizer.load_state_dict(found["optimizer"])
        if "scaler" in found:
            self.scaler.load_state_dict(found["scaler"])
        if self.world.first:
            log.info("going on after step %d", found["state"]["step"])
        return found

    def save(self, state: dict[str, Any], **more: Any) -> None:
        """A checkpoint with ``state``, which has the "step", and ``more``; all processes wait for it."""
        if self.log is not None:
            self.files.save(
                {
                    "state": state,
                    **more,
                    "weights": {name: p.detach().cpu() for name, p in self.trained.items()},
                    "means": self._means(),
                    "averaged": self.average.steps,
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "log": self.log.position(),
                }
            )
        self.world.wait()

    def keep_best(self) -> None:
        """The average as it is now becomes what the run ends with."""
        if self.world.first:
            self.files.save_best(self._means())

    def load_best(self) -> None:
        """The average that was kept into the weights, in all processes."""
        self.world.wait()
        best = self.files.load_best()
        assert best is not None
        self._put(best)
        self.world.wait()  # all have read them before they are removed

    def begin_step(self) -> None:
        """Forgets the gradients of the step before."""
        self.optimizer.zero_grad()

    def end_step(self) -> None:
        """From the gradients to the weights and their average."""
        average_gradients(self.trained.values())
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(list(self.trained.values()), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update()

    def add_event(self, event: str, **values: Any) -> None:
        """A line of log.jsonl, by the first process."""
        if self.log is not None:
            self.log.add(event, **values)

    def _means(self) -> dict[str, Tensor]:
        return {name: mean.cpu() for name, mean in zip(self.trained, self.average.means, strict=True)}

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self.trained.items():
            parameter.copy_(weights[name])


class Pace:
    """How fast a run is, and how long it will take: since its first step in this process."""

    def __init__(self, first: int, started: float) -> None:
        self._first, self._started, self._shown = first, started, 0

    def add(self, pairs: int) -> None:
        self._shown += pairs

    def pairs_per_second(self, now: float) -> float:
        return self._shown / max(now - self._started, 1e-9)

    def seconds_left(self, now: float, step: int, total: int) -> float:
        """After ``step`` of ``total`` steps."""
        return (now - self._started) / (step - self._first) * (total - step)


def report_step(progress: Reporter | None, done: int, total: int, **values: Any) -> None:
    """Tells whoever listens about a step of training."""
    if progress is not None:
        progress(TrainProgress("training", done, total, **values))


def seed_torch(*numbers: int) -> None:
    """Seeds torch's generators from whole numbers from 0, such as (seed, step, rank)."""
    words = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))


def checked_loss(loss: Tensor, step: int) -> float:
    """The loss as a number.  Raises TrainingError where it is none."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"the loss is no number after {step} steps; resume makes no sense: try a lower lr")
    return value


def random_mask(shape: Sequence[int], share: float, device: torch.device) -> Tensor | None:
    """A mask (n, s), True with probability ``1 - share``; the first state of a row always stays.  None for share 0."""
    if not share:
        return None
    kept = torch.rand(tuple(shape), device=device) >= share
    kept[:, 0] = True
    return kept


def arithmetic(wanted: str, device: torch.device) -> torch.dtype:
    """The type that matrix products are computed in."""
    if wanted == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if wanted == "fp16" and device.type != "cuda":
        raise TrainingError("fp16 needs a GPU; use bf16 or fp32 on a CPU")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
