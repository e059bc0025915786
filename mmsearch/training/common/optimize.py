"""Rates, decay, schedule and the moving average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Group:
    """Parameters that learn at one rate."""

    name: str  # "pool" for what is above the layers, "image" or "text"
    depth: int  # layers of its tower above it
    parameters: list[nn.Parameter]


@dataclass(frozen=True)
class Rates:
    """How fast the groups learn, and how much their matrices decay."""

    pool: float  # peak rate of what is above the layers, and of what belongs to no layer
    image: float = 0.0  # peak rate of the topmost layer of the image tower
    text: float = 0.0  # that of the text tower
    layer_decay: float = 1.0  # each layer further down learns at this share of the rate of the one above
    weight_decay: float = 0.0  # of matrices


def optimizer(groups: Sequence[Group], extra: Sequence[nn.Parameter], rates: Rates) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) with a rate for each layer (layer-wise decay: Clark et al. 2020, ELECTRA).

    ``extra`` are parameters of no layer, which learn at the full rate.  Parameters of one dimension, norms and biases,
    are not decayed.
    """
    peaks = {"pool": rates.pool, "image": rates.image, "text": rates.text}
    found = [(peaks[group.name] * rates.layer_decay**group.depth, group.parameters) for group in groups]
    made: list[dict[str, Any]] = []
    for peak, parameters in [*found, (rates.pool, list(extra))]:
        for decay, chosen in (
            (rates.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            if chosen:
                made.append({"params": chosen, "lr": peak, "peak": peak, "weight_decay": decay})
    return torch.optim.AdamW(made, betas=(0.9, 0.98))


def rate(step: int, steps: int, warmup: float) -> float:
    """The share of the peak rate in ``step`` of ``steps`` (from 0): a straight rise, then a cosine (SGDR, 2017)."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise + 1) / max(1, steps - rise + 1)))


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = share * group["peak"]


class Average:
    """The exponential moving average of the weights over the steps, better than the last step's weights."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        """``decay`` is per step; 0 makes it the live weights."""
        self._parameters, self._decay, self.steps = list(parameters), decay, 0
        self.means: list[Tensor] = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self._decay, (self.steps + 1) / (self.steps + 10))  # the first steps count for little
        for mean, parameter in zip(self.means, self._parameters, strict=True):
            mean.lerp_(parameter, 1 - decay)

    def load(self, means: Sequence[Tensor], steps: int) -> None:
        self.steps = steps
        with torch.no_grad():
            for mean, value in zip(self.means, means, strict=True):
                mean.copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averaged weights are the model's inside, the live ones again after."""
        own = [p.detach().clone() for p in self._parameters]
        with torch.no_grad():
            for parameter, mean in zip(self._parameters, self.means, strict=True):
                parameter.copy_(mean)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._parameters, own, strict=True):
                    parameter.copy_(value)
