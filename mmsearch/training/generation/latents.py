"""The space that generators work in: a picture's vector and its region tokens as one latent of unit scale.

Region tokens are many and alike (49 x 80 values), so their principal components stand for them (Pearson 1901).  Scales
are one number a part, not one a direction: noise directions stay small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

AT_ONCE = 512  # pictures whose region tokens are in memory together


@dataclass(frozen=True)
class Moments:
    """What of pictures makes the space."""

    mean: NDArray[np.float32]  # (dim,) of vectors
    scale: float  # root mean variance of vectors
    region_mean: NDArray[np.float32]  # (side² * width,)
    components: NDArray[np.float32]  # (rank, side² * width), orthonormal rows
    region_scale: float  # root mean variance along the components


def moments(vectors: NDArray[np.float16], regions: NDArray[np.float16], rank: int) -> Moments:
    """Of the vectors (p, dim) and region tokens (p, side², width) of pictures; at most ``p - 1`` components."""
    rows = vectors.astype(np.float32)
    mean = rows.mean(axis=0)
    flat = regions.reshape(len(regions), -1)
    total = np.zeros(flat.shape[1], np.float64)
    for start in range(0, len(flat), AT_ONCE):
        total += flat[start : start + AT_ONCE].astype(np.float64).sum(axis=0)
    region_mean = (total / len(flat)).astype(np.float32)
    few = min(len(flat), 2000)  # the leading components of 2,000 pictures are those of all
    centred = flat[:: max(1, len(flat) // few)][:few].astype(np.float32) - region_mean
    rank = min(rank, len(centred) - 1)
    torch.manual_seed(0)
    _, _, found = torch.svd_lowrank(torch.from_numpy(centred), q=rank, niter=4)  # (values, rank)
    components = np.ascontiguousarray(found.numpy().T)
    return Moments(
        mean, float(rows.var(axis=0).mean() ** 0.5), region_mean, components,
        float(max((centred @ components.T).var(axis=0).mean(), 1e-12) ** 0.5),
    )  # fmt: skip


class LatentSpace(nn.Module):
    """Pictures to latents and back; nothing of it learns."""

    mean: Tensor
    region_mean: Tensor
    components: Tensor
    scales: Tensor

    def __init__(self, dim: int, region_values: int, rank: int) -> None:
        super().__init__()
        self.dim, self.rank, self.region_values = dim, rank, region_values
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("region_mean", torch.zeros(region_values))
        self.register_buffer("components", torch.zeros(rank, region_values))
        self.register_buffer("scales", torch.ones(2))

    @classmethod
    def of(cls, found: Moments) -> LatentSpace:
        space = cls(len(found.mean), len(found.region_mean), len(found.components))
        space.mean.copy_(torch.from_numpy(found.mean))
        space.region_mean.copy_(torch.from_numpy(found.region_mean))
        space.components.copy_(torch.from_numpy(found.components))
        space.scales.copy_(torch.tensor([found.scale, found.region_scale]))
        return space

    @property
    def size(self) -> int:
        return self.dim + self.rank

    def encode(self, vectors: Tensor, regions: Tensor) -> Tensor:
        """(n, dim) and (n, side², width) -> latents (n, size)."""
        parts = (regions.flatten(1) - self.region_mean) @ self.components.T  # (n, rank)
        return torch.cat([(vectors - self.mean) / self.scales[0], parts / self.scales[1]], dim=1)

    def vectors(self, latents: Tensor) -> Tensor:
        """(n, size) -> (n, dim), unit rows."""
        return nn.functional.normalize(latents[:, : self.dim] * self.scales[0] + self.mean, dim=1)

    def regions(self, latents: Tensor) -> Tensor:
        """(n, size) -> (n, side² * width)."""
        return self.region_mean + (latents[:, self.dim :] * self.scales[1]) @ self.components
