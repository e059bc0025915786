"""One encoder on several devices: a copy on each, and each batch of pictures shared among them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.types import Pixels, Regions, Vectors

Part = TypeVar("Part")
logger = logging.getLogger(__name__)


class Copied(Encoder, Protocol):
    """An encoder that can be had on another device too."""

    def copy(self, device: str) -> Encoder:
        """The same encoder there.  Raises RuntimeError where that device has no room for it."""
        ...


def on_all(encoder: Copied, devices: Sequence[str]) -> Encoder:
    """The encoder, which is on the first of ``devices``, on all of them; itself where there is one."""
    return Several(encoder, [partial(encoder.copy, device) for device in devices[1:]]) if len(devices) > 1 else encoder


class Several:
    """An ``Encoder`` over copies of one: pictures are shared among all, texts go to the first.

    ``others`` make the copies, when the first pictures come that can be shared: a search needs none.  A copy that
    cannot be made is left out, and a line in the log says why.  What a copy raises while it encodes is raised.
    """

    def __init__(self, first: Encoder, others: Sequence[Callable[[], Encoder]]) -> None:
        self.card, self.device, self.folder = first.card, first.device, first.folder
        self.batch = (1 + len(others)) * first.batch
        self.measured: Path | None = None  # nothing is measured
        self._encoders, self._others = [first], list(others)
        self._pool = ThreadPoolExecutor(1 + len(others), thread_name_prefix="mmsearch-device")
        self._lock = threading.Lock()

    def encode_images(self, pixels: Pixels) -> Vectors:
        return np.concatenate(self._shared(pixels, lambda encoder, part: encoder.encode_images(part)))

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        vectors, regions = zip(*self._shared(pixels, lambda encoder, part: encoder.encode_pictures(part)), strict=True)
        return np.concatenate(vectors), None if self.card.regions is None else np.concatenate(regions)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return self._encoders[0].encode_texts(texts)

    def _shared(self, pixels: Pixels, encode: Callable[[Encoder, Pixels], Part]) -> list[Part]:
        if len(pixels) < 2:
            return [encode(self._encoders[0], pixels)]
        encoders = self._all()
        parts = np.array_split(pixels, min(len(encoders), len(pixels)))
        return list(self._pool.map(encode, encoders, parts))  # in order; as many as there are parts

    def _all(self) -> list[Encoder]:
        with self._lock:
            while self._others:
                make = self._others.pop(0)
                try:
                    self._encoders.append(make())
                except Exception as error:  # of CUDA and torch
                    reason = str(error).strip().partition("\n")[0] or type(error).__name__
                    logger.warning("pictures are encoded on one device less: %s", reason)
            return list(self._encoders)
