"""Batches larger than the memory, with exactly the gradient of the whole batch (GradCache, Gao et al. 2021).

A contrastive loss needs the features of all rows at once, so adding up the gradients of small batches is not the same:
each row would see fewer negatives.  Here every part is run without a graph, the loss is taken on all features, and each
part is run again, from the same random state, to carry the features' gradients on to the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part")
Features = tuple[Tensor, ...]


def run(
    parts: Sequence[Part],
    forward: Callable[[Part], Features],
    loss: Callable[[Features], Tensor],
    backward: Callable[[Tensor], None] = lambda value: value.backward(),
) -> Tensor:
    """The loss of all parts together, its gradients added to the weights' ``grad``; detached.

    ``forward`` gives a part's features, each with a row per row of the part; ``loss`` takes the features of all parts,
    joined along the rows, and may use weights of its own.  ``backward`` starts the backward pass, for a loss that must
    be scaled first.  A single part is run once, the ordinary way.
    """
    if len(parts) == 1:
        value = loss(forward(parts[0]))
        backward(value)
        return value.detach()
    states, found = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state())
            found.append(forward(part))
    joined = tuple(torch.cat(column).requires_grad_() for column in zip(*found, strict=True))
    value = loss(joined)
    backward(value)
    after = _random_state()
    starts = [0] * len(joined)
    for part, state in zip(parts, states, strict=True):
        _set_random_state(state)
        again = forward(part)
        used, gradients = [], []
        for column, feature in enumerate(again):
            stop = starts[column] + len(feature)
            whole = joined[column].grad
            if whole is not None and feature.requires_grad:
                used.append(feature)
                gradients.append(whole[starts[column] : stop].to(feature.dtype))
            starts[column] = stop
        if used:
            torch.autograd.backward(used, gradients)
    _set_random_state(after)
    return value.detach()


def _random_state() -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None


def _set_random_state(state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
