"""From an image tower's states to region tokens: pooled to one grid, then a linear map, learned or drawn at random.

The grid of a tower's second branch joins in: what it sees that the first one does not is what a reranker gains most
from (``docs/reranker.md``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 7  # regions a side, at most: a finer grid is pooled to it
DIM = 64  # of a token, at most; 49 tokens of 64 take 3,234 bytes, see mmsearch.encoders.region_codec
SEED = 0  # of the random maps


def pool_matrix(height: int, width: int, side: int) -> NDArray[np.float32]:
    """Adaptive average pooling of a (height, width) grid to (side, side) as a matrix (side * side, height * width).

    A region averages the cells that it touches, as ``adaptive_avg_pool2d`` does.
    """

    def along(length: int) -> NDArray[np.float32]:
        rows = np.zeros((side, length), np.float32)
        for row in range(side):
            first, after = row * length // side, -(-(row + 1) * length // side)
            rows[row, first:after] = 1 / (after - first)
        return rows

    return np.kron(along(height), along(width))


def random_map(dim: int, width: int, seed: int = SEED) -> NDArray[np.float32]:
    """Orthonormal rows (dim, width) over the root of dim; dim is at most width.

    Inner products survive it on average (Johnson and Lindenstrauss 1984), and a token is about as long as the root mean
    square of the state that it is made of.
    """
    drawn = np.random.default_rng(seed).standard_normal((width, dim))
    rows: NDArray[np.float32] = (np.linalg.qr(drawn)[0].T / np.sqrt(dim)).astype(np.float32)
    return rows


class Projection(nn.Module):
    """Tokens of the levels of an ``ImageTower``: scaled and pooled to one grid, joined and mapped linearly.

    ``mid_width`` 0 leaves the finer level out.  The scales are fixed: they bring the levels to like sizes.  The last
    states of the tower's second branch, ``second_width`` channels, are a third level; 0 leaves it out.
    """

    def __init__(
        self, top_width: int, mid_width: int, dim: int = DIM, side: int = SIDE,
        top_scale: float = 1.0, mid_scale: float = 1.0, second_width: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.side, self.dim, self.top_scale, self.mid_scale = side, dim, top_scale, mid_scale
        self.top = nn.Linear(top_width, dim)
        self.mid = nn.Linear(mid_width, dim, bias=False) if mid_width else None
        self.second = nn.Linear(second_width, dim, bias=False) if second_width else None

    @classmethod
    def random(cls, top_width: int, mid_width: int, side: int = SIDE, seed: int = SEED) -> Projection:
        """One that needs no data."""
        dim = min(DIM, top_width + mid_width)
        made = cls(top_width, mid_width, dim, side)
        drawn = torch.from_numpy(random_map(dim, top_width + mid_width, seed))
        with torch.no_grad():
            made.top.weight.copy_(drawn[:, :top_width])
            made.top.bias.zero_()
            if made.mid is not None:
                made.mid.weight.copy_(drawn[:, top_width:])
        return made

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Those of ``ImageTower.levels`` -> (n, side * side, dim) in the type of the weights."""
        tokens: Tensor = self.top(self._pooled(levels[0], self.top_scale))
        if self.mid is not None:
            tokens = tokens + self.mid(self._pooled(levels[1], self.mid_scale))
        if self.second is not None:
            tokens = tokens + self.second(self._pooled(levels[2], 1.0))
        return tokens

    def _pooled(self, states: Tensor, scale: float) -> Tensor:
        pooled = F.adaptive_avg_pool2d(states.to(self.top.weight.dtype) * scale, self.side)
        return pooled.flatten(2).transpose(1, 2)  # (n, width, side, side) -> (n, side * side, width)
