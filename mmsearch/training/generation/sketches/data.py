"""What the decoder learns from: region tokens of photos, and the same photos at the size of a sketch.

The tokens are those of ``generation/features.py`` (``regions.npy``, ``vectors.npy``); ``pixels.npy`` (p, 128, 128, 3)
uint8 lies beside them: the whole photo, squashed as the encoder sees it.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ImageError, SourceError
from mmsearch.media.decode import decode
from mmsearch.media.filesystem import read_array
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.generation.sketches.recipe import SIDE

log = logging.getLogger(__name__)

PIXELS = "pixels.npy"


@dataclass(frozen=True)
class SketchData:
    """Photos that could be read."""

    regions: NDArray[np.float16]  # (p, side², dim)
    pixels: NDArray[np.uint8]  # (p, SIDE, SIDE, 3)
    rows: NDArray[np.int64]  # those of the p that could be read

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Tokens (n, side², dim) and pixels (n, 3, SIDE, SIDE) in [0, 1] of some of the p."""
        tokens = torch.from_numpy(self.regions[rows].astype(np.float32))
        pixels = torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2).float() / 255
        return tokens, pixels.contiguous(memory_format=torch.channels_last)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and spread (dim,) of the tokens' values, of 2,000 photos at most."""
        some = self.regions[self.rows[:: max(1, len(self.rows) // 2000)]].astype(np.float32)
        flat = torch.from_numpy(some.reshape(-1, some.shape[-1]))
        return flat.mean(dim=0), flat.std(dim=0).clamp(min=1e-6)


def write_pixels(encoder: OnnxEncoder, pairs: Pairs, folder: Path) -> None:
    """``pixels.npy`` of all photos into ``folder``; a photo that cannot be read stays black.  A minute for 12,000."""
    if (folder / PIXELS).is_file():
        return
    preprocess = replace(encoder.card.preprocess, size=SIDE)
    partial = folder / "pixels.partial.npy"
    array = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(pairs), SIDE, SIDE, 3))
    for row, name in enumerate(pairs.names):
        try:
            with pairs.open(row) as file:
                array[row] = decode(file, name, preprocess).pixels
        except (ImageError, OSError) as error:
            log.warning("skipped %s: %s", name, getattr(error, "reason", error))
    array.flush()
    os.replace(partial, folder / PIXELS)


def load(folder: Path) -> SketchData:
    """What ``features.write`` and ``write_pixels`` made, memory-mapped.  Raises SourceError where it is not there."""
    missing = [name for name in ("vectors.npy", "regions.npy", PIXELS) if not (folder / name).is_file()]
    if missing:
        raise SourceError(f"{folder} lacks {', '.join(missing)}; write the features first")
    vectors, regions, pixels = (
        read_array(folder / name, mapped=True) for name in ("vectors.npy", "regions.npy", PIXELS)
    )
    readable = np.abs(vectors[:, :8].astype(np.float32)).sum(axis=1) > 0
    return SketchData(regions, pixels, np.flatnonzero(readable))
