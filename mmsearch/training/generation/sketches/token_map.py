"""From an imagined picture's vector to region tokens, which the decoder draws: the generator that ships gives vectors.

The principal components of photos' region tokens are Gaussian around a linear map of their vectors: ridge regression,
and the covariance of what it leaves.  In closed form, from the same features that the decoder learns from.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmsearch.training.generation.latents import AT_ONCE, moments
from mmsearch.training.generation.models import ridge_regression


class TokenMap(nn.Module):
    """Vectors (n, dim), unit rows, and standard normal noise (n, rank) -> region tokens (n, side², width)."""

    def __init__(self, dim: int, cells: int, width: int, rank: int) -> None:
        super().__init__()
        self.cells, self.width = cells, width
        self.map = nn.Linear(dim, rank)
        self.spread = nn.Parameter(torch.zeros(rank, rank))  # noise (n, rank) @ spread has the residual's covariance
        self.components = nn.Parameter(torch.zeros(rank, cells * width))
        self.mean = nn.Parameter(torch.zeros(cells * width))

    def forward(self, vectors: Tensor, noise: Tensor) -> Tensor:
        parts = self.map(vectors) + noise @ self.spread
        tokens: Tensor = (parts @ self.components + self.mean).unflatten(1, (self.cells, self.width))
        return tokens


def fit(vectors: NDArray[np.float16], regions: NDArray[np.float16], rank: int, ridge: float = 0.01) -> TokenMap:
    """Of the vectors (p, dim) and region tokens (p, side², width) of photos; at most ``p - 1`` components."""
    found = moments(vectors, regions, rank)
    _, cells, width = regions.shape
    rows = vectors.astype(np.float32)
    parts = np.concatenate(
        [
            (regions[start : start + AT_ONCE].reshape(-1, cells * width).astype(np.float32) - found.region_mean)
            @ found.components.T for start in range(0, len(regions), AT_ONCE)
        ]
    )  # fmt: skip
    weights, bias = ridge_regression(rows, parts, ridge)
    left = parts - (rows @ weights.T + bias)
    covariance = np.cov(left, rowvar=False).reshape(len(found.components), -1)
    covariance[np.diag_indices_from(covariance)] += 1e-6 * float(np.trace(covariance)) / len(covariance) + 1e-12
    made = TokenMap(rows.shape[1], cells, width, len(found.components)).requires_grad_(False)
    made.map.weight.copy_(torch.from_numpy(weights))
    made.map.bias.copy_(torch.from_numpy(bias))
    made.spread.copy_(torch.from_numpy(np.linalg.cholesky(covariance).T.astype(np.float32)))
    made.components.copy_(torch.from_numpy(found.components))
    made.mean.copy_(torch.from_numpy(found.region_mean))
    return made.eval()
