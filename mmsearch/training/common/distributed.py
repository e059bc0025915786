"""Several processes, one batch: started by ``torchrun``, which sets RANK, WORLD_SIZE and the rest.

Every process encodes its share of the rows, gathers the features of all, and takes the loss of the whole batch.
``gather`` adds up the gradients that come back from all processes and ``average_gradients`` takes their mean, so that
the weights get the gradient one process would get from the whole batch; the temperature, and every term that a process
adds by itself, come out as the mean over the processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """This process among the others."""

    rank: int = 0
    size: int = 1
    local: int = 0  # the number of its GPU on this machine

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """The rows of a batch that this process encodes; ``rows`` is a multiple of ``size``."""
        own = rows // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def tell(self, value: Value) -> Value:
        """The first process's ``value``, in all of them."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0)
        told: Value = box[0]
        return told

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The world that torchrun describes; alone where it did not start this process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or dist.is_initialized():
        yield World(dist.get_rank(), dist.get_world_size(), _local()) if dist.is_initialized() else World()
        return
    if device == "cuda":
        torch.cuda.set_device(_local())
    # Two hours: the first process may compute the frozen features while the others wait.
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=timedelta(hours=2))
    try:
        yield World(dist.get_rank(), dist.get_world_size(), _local())
    finally:
        dist.destroy_process_group()


def _local() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous()
        dist.all_reduce(whole)
        start = dist.get_rank() * ctx.rows
        return whole[start : start + ctx.rows]


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of their ranks, (n, ...) -> (size * n, ...), with gradient."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """The mean of each gradient over all processes, in one message."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    own = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in own]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for parameter, mean in zip(own, flat.split([p.numel() for p in own]), strict=True):
        parameter.grad = mean.view_as(parameter).clone()
