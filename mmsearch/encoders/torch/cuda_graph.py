"""A function of batches as a CUDA graph: its hundreds of kernels are started as one, which spares the CPU's part of it.

A graph knows one shape, is made in a moment, and needs no compiler, where ``torch.compile`` takes a minute at first.
Not run on a GPU yet: whatever goes wrong here, the function itself is called instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mmsearch.encoders.agreement import ENOUGH

Run = Callable[[Tensor], tuple[Tensor, ...]]  # (n, ...) -> some of (n, ...)
Capture = Callable[[Run, Tensor], Run]  # what does the same for batches of that shape, type and device

logger = logging.getLogger(__name__)
_capturing = threading.Lock()  # torch allows one capture at a time in a process
_WARM = 3  # runs before a capture: libraries choose kernels and take their memory in the first ones


def captured(run: Run, like: Tensor) -> Run:
    """``run`` as a CUDA graph.  Call it by one thread at a time.

    Raises RuntimeError where CUDA does: ``run`` waits for the GPU, or there is too little memory.
    """
    with _capturing, torch.cuda.device(like.device):
        current = torch.cuda.current_stream()
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()  # torch's own stream is of the first GPU only
        given = torch.zeros_like(like)
        stream.wait_stream(current)
        try:
            with torch.cuda.stream(stream):
                for _ in range(_WARM):
                    run(given)
            current.wait_stream(stream)
            # Other threads may go on using CUDA meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                made = run(given)
        finally:
            torch.cuda.set_stream(current)  # a capture that fails leaves its own

    def replay(batch: Tensor) -> tuple[Tensor, ...]:
        given.copy_(batch)
        graph.replay()
        return tuple(rows.clone() for rows in made)  # the next replay writes over them

    return replay


class Graphed:
    """``run``, for full batches of ``size`` rows through a captured copy of it.

    The copy is made when the first batch of more than half of ``size`` comes; short ones are padded.  Smaller batches
    go through ``run``: a single picture to search with is not worth a capture.  The copy must give what ``run`` gives,
    to a cosine of ``agreement.ENOUGH``.  Where it does not, or anything raises, a line in the log says why, and
    ``run`` does all from then on.  For one thread at a time, in inference mode.
    """

    def __init__(self, run: Run, size: int, capture: Capture = captured) -> None:
        self._run, self._size = run, size
        self._capture: Capture | None = capture  # None after a failure
        self._copy: Run | None = None

    def __call__(self, given: Tensor) -> tuple[Tensor, ...]:
        if self._capture is not None and self._size < 2 * len(given) <= 2 * self._size:
            try:
                return self._through_copy(given, self._capture)
            except Exception as error:  # of CUDA, of torch, or of the check below
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                logger.warning("pictures are encoded without a CUDA graph: %s", reason)
                self._capture = self._copy = None
        return self._run(given)

    def _through_copy(self, given: Tensor, capture: Capture) -> tuple[Tensor, ...]:
        missing = self._size - len(given)
        full = torch.cat([given, given.new_zeros(missing, *given.shape[1:])]) if missing else given
        if self._copy is None:
            copy = capture(self._run, full)
            cosine = least_cosine(copy(full), self._run(full))
            if not cosine > ENOUGH:
                raise RuntimeError(f"it gives other vectors (cosine {cosine:.4f})")
            self._copy = copy
        return tuple(rows[: len(given)] for rows in self._copy(full))


def least_cosine(some: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> float:
    """Of each row of each output; nan when one is not finite."""
    pairs = zip(some, others, strict=True)
    cosines = [F.cosine_similarity(one.flatten(1).float(), other.flatten(1).float()).min() for one, other in pairs]
    return float(torch.stack(cosines).min())
