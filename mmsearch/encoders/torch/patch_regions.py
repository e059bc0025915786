"""Region tokens of open_clip's image towers: the last grid of states, pooled, through a random map."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders.agreement import ENOUGH, pictures
from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.torch.projection import DIM, SEED, SIDE, pool_matrix, random_map
from mmsearch.types import Preprocess

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Grid:
    """The last states of an image tower: what its region tokens are made of."""

    width: int  # channels
    rows: int
    columns: int

    @property
    def card(self) -> RegionCard:
        made = f"last states {self.width}x{self.rows}x{self.columns}, pooled, random orthonormal map, seed {SEED}"
        side, dim = min(SIDE, self.rows, self.columns), min(DIM, self.width)
        return RegionCard(side, dim, hashlib.sha256(made.encode()).hexdigest())


class PatchRegions(nn.Module):
    """Normalised images (n, 3, size, size) -> what the tower says of each, (n, dim), and tokens (n, side², dim)."""

    pool: Tensor
    map: Tensor

    def __init__(self, visual: Any, grid: Grid) -> None:
        """``visual`` is the image tower of an open_clip model, in which ``find`` found the grid."""
        super().__init__()
        self.visual = visual
        pool, drawn = pool_matrix(grid.rows, grid.columns, grid.card.side), random_map(grid.card.dim, grid.width)
        self.register_buffer("pool", torch.from_numpy(pool).T, persistent=False)
        self.register_buffer("map", torch.from_numpy(drawn).T, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        vectors, states = features(self.visual, images)
        pooled = states.flatten(2).to(torch.float32) @ self.pool  # (n, width, cells) x (cells, side²)
        return vectors, pooled.transpose(1, 2) @ self.map  # (n, side², width) x (width, dim) -> (n, side², dim)


def features(visual: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """What ``visual(images)`` gives, (n, dim), and the last grid of states on the way to it, (n, width, h, w)."""
    # The last norm is of the width of what is pooled; after an attentional pooler that is not the width of the states.
    normed = getattr(visual, "attn_pool", None) is None
    found = visual.forward_intermediates(images, indices=1, normalize_intermediates=normed, output_fmt="NCHW")
    return found["image_features"], found["image_intermediates"][-1]


def find(visual: Any, preprocess: Preprocess, name: str) -> Grid | None:
    """The last states of an image tower; None, with the reason in the log, for one that has no grid of them.

    The tower is tried on a few pictures: what it says of them must be what it says without tokens.
    """
    given = torch.from_numpy(pictures(preprocess.size)).permute(0, 3, 1, 2) / 255
    given = (given - torch.tensor(preprocess.mean).view(3, 1, 1)) / torch.tensor(preprocess.std).view(3, 1, 1)
    try:
        with torch.inference_mode():
            wanted = visual(given)
            wanted = wanted[0] if isinstance(wanted, tuple) else wanted
            vectors, states = features(visual, given)
    except Exception as error:  # each tower fails in its own way
        logger.info("%s gives no region tokens: %s", name, " ".join(str(error).split())[:200] or type(error).__name__)
        return None
    if states.ndim != 4 or min(states.shape[2:]) < 2 or vectors.shape != wanted.shape:
        logger.info("%s gives no region tokens: its last states have the shape %s", name, tuple(states.shape))
        return None
    if not F.cosine_similarity(vectors, wanted).min() > ENOUGH:
        logger.info("%s gives no region tokens: with them its vectors are others", name)
        return None
    return Grid(*states.shape[1:])
