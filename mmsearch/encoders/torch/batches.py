"""Batches of pictures through an image tower in torch, as its device likes them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmsearch.encoders.agreement import ENOUGH
from mmsearch.encoders.torch.cuda_graph import Capture, Graphed, Run, captured, least_cosine
from mmsearch.types import Pixels

logger = logging.getLogger(__name__)

ON_GPU = 128  # pictures a GPU is given at once; chosen, not measured


@dataclass(frozen=True)
class Setup:
    """How pictures are brought to a device and encoded there.  The vectors are the same in each way."""

    batch: int = 0  # pictures at once; 0 is as many as are given
    pinned: bool = False  # through memory that a GPU reads by itself, while the CPU goes on
    channels_last: bool = False  # weights of convolutions in the order that tensor cores want
    capture: Capture | None = None  # makes a graph of a batch

    @classmethod
    def of(cls, device: torch.device) -> Setup:
        return cls(ON_GPU, True, True, captured) if device.type == "cuda" else cls()


class Batches:
    """Pixels (n, size, size, 3) uint8 -> what ``run`` makes of them, float32.  Safe to call from several threads.

    ``run`` gets them on the device, at most ``setup.batch`` at once; after it has run out of memory there, half as many
    from then on.  Raises torch.OutOfMemoryError where there is no room for one.
    """

    def __init__(self, run: Run, device: torch.device, setup: Setup) -> None:
        self._plain, self._device, self._pinned = run, device, setup.pinned
        self._batch = setup.batch
        self._run = run if setup.capture is None else Graphed(run, setup.batch, setup.capture)
        self._lock = threading.Lock()  # one thread gives the device work while others wait for their results

    def __call__(self, pixels: Pixels) -> list[NDArray[np.float32]]:
        while True:
            size = self._batch or max(len(pixels), 1)
            try:
                with torch.inference_mode():
                    parts = [self._part(pixels[at : at + size]) for at in range(0, max(len(pixels), 1), size)]
                    return [torch.cat(rows).float().cpu().numpy() for rows in zip(*parts, strict=True)]
            except torch.OutOfMemoryError as error:
                if min(size, len(pixels)) < 2:
                    raise
                reason = str(error).partition(". ")[0]
            # Outside of the except clause, whose traceback would keep the tensors that did not fit.
            self._batch, self._run = min(size, len(pixels)) // 2, self._plain
            logger.warning("%d pictures at once from now on: %s", self._batch, reason)

    def _part(self, pixels: Pixels) -> tuple[Tensor, ...]:
        with self._lock:
            return self._run(self._moved(pixels))

    def _moved(self, pixels: Pixels) -> Tensor:
        # torch wants its memory writable; it writes nothing
        given = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
        if self._pinned:
            try:
                given = given.pin_memory()
            except RuntimeError as error:  # a system may limit how much memory is pinned
                reason = str(error).partition("\n")[0]
                logger.warning("pictures are moved to the device without pinned memory: %s", reason)
                self._pinned = False
        return given.to(self._device, non_blocking=self._pinned)


def channels_last(tower: nn.Module, run: Run, given: Tensor) -> None:
    """Puts the weights of convolutions in the order (out, height, width, in), in place; their values stay.

    ``run`` uses the tower and must give the same for ``given`` as before.  Where it does not, or anything raises, the
    order is again what it was, and a line in the log says why.
    """
    convolutions = [module for module in tower.modules() if isinstance(module, nn.Conv2d)]
    try:
        with torch.inference_mode():
            wanted = run(given)
        for convolution in convolutions:
            convolution.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            cosine = least_cosine(run(given), wanted)
        if not cosine > ENOUGH:
            raise RuntimeError(f"with it vectors are others (cosine {cosine:.4f})")
    except Exception as error:  # of CUDA and torch
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        logger.warning("weights of convolutions are not ordered by channels: %s", reason)
        for convolution in convolutions:
            convolution.to(memory_format=torch.contiguous_format)
