"""The two towers of the embedded model, in torch: used to train it and to run it on a GPU.

Image: EfficientNet-Lite2 (Tan and Le 2019; the Lite variant of the TPU team) gives a 9x9 grid of 1280 channels;
multi-head attention pooling turns the grid into one vector.  Text: the layers of MiniLM-L6 (Wang et al. 2020,
fine-tuned as all-MiniLM-L6-v2) give token states; the same pooling turns them into one vector.  Both end as unit
rows in one space, so that their inner product is a cosine similarity (CLIP, Radford et al. 2021).

A tower may have two branches: a second image backbone, and upper text layers of its own over the shared lower ones.
Each branch has its pooling and its part of the vector, scaled so that the cosine similarity of two vectors is the mean
of those of their parts: an ensemble of two models whose errors differ, in one vector (``docs/embedded-model.md``).  One
linear map of both towers makes it shorter; its rows are principal directions, so similarities stay what they are.

On a CPU the same weights run as ONNX graphs: see ``onnx/encoder.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import timm
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmsearch.encoders.protocol import LARGEST, LONGEST, said, whole_number
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import read_text

# Beyond, a number would only take all memory: 4,096 but for these.
_MOST = {"vocabulary": 2**20, "context": LONGEST, "text_layers": 256, "pad_id": 2**20}


@dataclass(frozen=True)
class EmbeddedConfig:
    """The shape of both towers; saved in ``model.json`` beside the weights."""

    dim: int = 512  # dimensions of the shared space
    image_size: int = 260  # pixels a side; photos are squashed to a square, nothing is cut off
    backbone_size: int = 0  # pixels a side that the backbone sees, scaled down inside the tower; 0: image_size
    image_backbone: str = "tf_efficientnet_lite2"  # a timm name
    image_width: int = 1280  # channels of the backbone's grid
    image_mean: float = 0.5
    image_std: float = 0.5
    vocabulary: int = 30522  # WordPiece tokens of MiniLM
    context: int = 64  # tokens a text may have; longer ones are cut
    text_width: int = 384
    text_heads: int = 12
    text_layers: int = 6
    pool_heads: int = 8
    pad_id: int = 0
    # A second branch: its backbone, "" for none, and what that sees; its upper text layers.
    second_backbone: str = ""
    second_size: int = 0
    second_layers: int = 0
    branch_dim: int = 0  # what each of two branches gives, before both are mapped to ``dim``

    @property
    def pool_dim(self) -> int:
        """What the pooling of a branch gives."""
        return self.branch_dim if self.second_backbone else self.dim

    @property
    def fork(self) -> int:
        """The text layer from which on each branch has layers of its own."""
        return self.text_layers - self.second_layers

    @classmethod
    def read(cls, folder: Path) -> EmbeddedConfig:
        """That of a model folder.  Raises ModelError, with the name of the file."""
        file = folder / "recipe.json"
        try:
            config = cls(**json.loads(read_text(file))["model"])
            for name, value in vars(config).items():
                if name in ("image_backbone", "second_backbone"):
                    none = name == "second_backbone" and value == ""
                    if not none and (not isinstance(value, str) or not timm.is_model(value)):
                        raise ValueError(f"{name} is {str(value)[:60]!r}, which timm does not know")
                elif name in ("image_mean", "image_std"):
                    if not (isinstance(value, (int, float)) and 0 <= value <= 1):
                        raise ValueError(f"{name} is {str(value)[:60]}; wanted is a number from 0 to 1")
                else:
                    least = (
                        0 if name in ("pad_id", "backbone_size", "second_size", "second_layers", "branch_dim") else 1
                    )
                    whole_number(name, value, least, _MOST.get(name, LARGEST))
            if bool(config.second_backbone) != bool(config.branch_dim):
                raise ValueError("second_backbone and branch_dim go together: both or none must be given")
            if config.second_layers > (config.text_layers if config.second_backbone else 0):
                raise ValueError(f"second_layers is {config.second_layers}, more than there can be")
        except OSError as error:
            raise ModelError(f"{file} cannot be read: {error.strerror or error}") from error
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ModelError(f"{file} is no recipe of a model: {said(error)}") from error
        return config


class AttentionPool(nn.Module):
    """A set of ``width``-wide states -> one ``dim``-wide vector, by ``heads`` learned attention maps.

    Each head weighs the states by a softmax over a learned linear score and projects its weighted mean to its slice of
    the vector (weighing first and projecting then is the same and 13 times cheaper for 49 states); a residual MLP
    mixes the heads.  In: (n, s, width) and a mask (n, s), True where a state counts.  Out: (n, dim).
    """

    def __init__(self, width: int, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)  # score and value would absorb its weights
        self.score = nn.Linear(width, heads)
        self.value = nn.Linear(width, dim)
        self.mix = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        states = self.norm(states)
        scores = self.score(states)  # (n, s, h)
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(-1), -1e4)
        weights = scores.softmax(dim=1).transpose(1, 2)  # (n, h, s)
        means = weights @ states  # (n, h, s) x (n, s, w) -> (n, h, w)
        projections = self.value.weight.unflatten(0, (self.heads, -1)).transpose(1, 2)  # (h, w, d / h)
        slices = means.transpose(0, 1) @ projections  # (h, n, w) x (h, w, d / h) -> (h, n, d / h)
        pooled = slices.transpose(0, 1).flatten(1) + self.value.bias
        mixed: Tensor = pooled + self.mix(pooled)
        return mixed


class Join(nn.Module):
    """The vectors of each branch, (n, pool_dim) each -> unit rows (n, dim).

    The inner product of two rows is the mean of the cosine similarities of their parts, as far as the linear map keeps
    it.
    """

    def __init__(self, config: EmbeddedConfig) -> None:
        super().__init__()
        whole = 2 * config.branch_dim
        self.map = nn.Linear(whole, config.dim, bias=False) if config.second_backbone else None

    def forward(self, parts: list[Tensor]) -> Tensor:
        rows = torch.cat([F.normalize(part.float(), dim=-1) for part in parts], dim=-1)
        return rows if self.map is None else F.normalize(self.map(rows), dim=-1)


class ImageTower(nn.Module):
    """Pixels (n, 3, size, size) in [0, 1] -> unit rows (n, dim)."""

    def __init__(self, config: EmbeddedConfig) -> None:
        super().__init__()
        self.mean, self.std, self.size = config.image_mean, config.image_std, config.backbone_size
        self.backbone = timm.create_model(config.image_backbone, num_classes=0, global_pool="")
        self.pool = AttentionPool(config.image_width, config.pool_dim, config.pool_heads)
        self.second = ImageTower(second_branch(config)) if config.second_backbone else None
        self.join = Join(config)

    @property
    def branches(self) -> list[ImageTower]:
        """The tower itself, and its second branch where it has one."""
        return [self] if self.second is None else [self, self.second]

    def prepared(self, pixels: Tensor) -> Tensor:
        """Pixels as the backbone wants them: its size, its mean and spread."""
        if self.size and self.size != pixels.shape[-1]:
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", align_corners=False)
        return (pixels - self.mean) / self.std

    def levels(self, pixels: Tensor) -> list[Tensor]:
        """What region tokens are made of: the backbone's last states, (n, width, side, side), those of about twice the
        side that its last halving stage gets, and the last states of the second branch where there is one; of
        EfficientNet-Lite2 and -Lite0 (n, 1280, 9, 9), (n, 120, 17, 17) and (n, 1280, 7, 7)."""
        backbone = self.backbone
        states = backbone.bn1(backbone.conv_stem(self.prepared(pixels)))
        states = finer = backbone.blocks[: halving_stage(backbone)](states)
        states = backbone.blocks[halving_stage(backbone) :](states)
        found = [backbone.bn2(backbone.conv_head(states)), finer]
        return found if self.second is None else [*found, self.second.last(pixels)]

    def last(self, pixels: Tensor) -> Tensor:
        """The backbone's last states, (n, width, side, side)."""
        states: Tensor = self.backbone(self.prepared(pixels))
        return states

    def pooled(self, levels: list[Tensor]) -> Tensor:
        """``levels`` -> unit rows (n, dim)."""
        grids = [grid.flatten(2).transpose(1, 2) for grid in (levels[0], *levels[2:])]
        vectors: Tensor = self.join([branch.pool(grid) for branch, grid in zip(self.branches, grids, strict=True)])
        return vectors

    def forward(self, pixels: Tensor) -> Tensor:
        grids = [branch.last(pixels).flatten(2).transpose(1, 2) for branch in self.branches]
        vectors: Tensor = self.join([branch.pool(grid) for branch, grid in zip(self.branches, grids, strict=True)])
        return vectors


def second_branch(config: EmbeddedConfig) -> EmbeddedConfig:
    """The second branch as a model of its own."""
    return replace(
        config, dim=config.branch_dim, image_backbone=config.second_backbone, backbone_size=config.second_size,
        second_backbone="", second_size=0, second_layers=0, branch_dim=0,
    )  # fmt: skip


def halving_stage(backbone: nn.Module) -> int:
    """The number of the last of the backbone's stages that halves its grid."""
    stages = [
        number
        for number, stage in enumerate(backbone.blocks)  # type: ignore[arg-type]
        if any(isinstance(part, nn.Conv2d) and max(part.stride) > 1 for part in stage.modules())
    ]
    return stages[-1]


def fold_batch_norms(tower: ImageTower) -> None:
    """Put each batch norm of the backbone into the convolution before it: the same function with a third fewer steps.

    What ships has them folded; a fresh tower must be folded before it takes those weights.
    """
    tower.eval()
    for parent in [module for branch in tower.branches for module in branch.backbone.modules()]:
        before = ""  # name of the convolution that the next batch norm follows
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                before = name
            elif isinstance(child, BatchNormAct2d):
                folded = fuse_conv_bn_eval(getattr(parent, before), child)
                setattr(parent, before, folded)
                setattr(parent, name, child.act)


class TextTower(nn.Module):
    """Token ids (n, t) int64, padded with ``pad_id`` -> unit rows (n, dim)."""

    def __init__(self, config: EmbeddedConfig) -> None:
        super().__init__()
        width = config.text_width
        self.pad_id = config.pad_id
        self.words = nn.Embedding(config.vocabulary, width)
        self.positions = nn.Embedding(config.context, width)  # with BERT's token type 0 added in
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(_layer(config) for _ in range(config.text_layers))
        self.pool = AttentionPool(width, config.pool_dim, config.pool_heads)
        self.join = Join(config)
        self.fork, self.width = config.fork, width
        if config.second_backbone:
            self.second_layers = nn.ModuleList(_layer(config) for _ in range(config.second_layers))
            self.second_pool = AttentionPool(width, config.pool_dim, config.pool_heads)

    @property
    def branches(self) -> list[tuple[nn.ModuleList, AttentionPool]]:
        """The layers from ``fork`` on and the pooling of each branch."""
        first = (self.layers[self.fork :], self.pool)
        return [first, (self.second_layers, self.second_pool)] if hasattr(self, "second_pool") else [first]

    def stacked(self) -> list[list[nn.Module]]:
        """The layers from the lowest to the last, those of both branches together."""
        shared = [[layer] for layer in self.layers[: self.fork]]
        return shared + [list(level) for level in zip(*(layers for layers, _ in self.branches), strict=True)]

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (n, t) -> the states that the first layer sees, (n, t, width)."""
        positions = self.positions.weight[: ids.shape[1]]
        states: Tensor = self.norm(self.words(ids) + positions)
        return states

    def run(self, states: Tensor, mask: Tensor, start: int, stop: int) -> Tensor:
        """States after layers ``start`` to ``stop`` (exclusive); ``mask`` (n, t) is True where a token counts.

        Behind the fork they are those of both branches beside each other, (n, t, branches * width).
        """
        bias = torch.zeros_like(mask, dtype=states.dtype).masked_fill(~mask, -1e4)
        for layer in self.layers[start : min(stop, self.fork)]:
            states = layer(states, src_key_padding_mask=bias)
        if stop <= self.fork:
            return states
        own = states.split(self.width, dim=-1) if start > self.fork else [states] * len(self.branches)
        found = []
        for (layers, _), part in zip(self.branches, own, strict=True):
            for layer in layers[max(start - self.fork, 0) : stop - self.fork]:
                part = layer(part, src_key_padding_mask=bias)
            found.append(part)
        return torch.cat(found, dim=-1) if len(found) > 1 else found[0]

    def finish(self, states: Tensor, mask: Tensor) -> Tensor:
        """The last states (n, t, branches * width) -> unit rows (n, dim)."""
        own = states.split(self.width, dim=-1)
        vectors: Tensor = self.join([pool(part, mask) for (_, pool), part in zip(self.branches, own, strict=True)])
        return vectors

    def forward(self, ids: Tensor) -> Tensor:
        mask = ids != self.pad_id
        return self.finish(self.run(self.embed(ids), mask, 0, len(self.layers)), mask)


def _layer(config: EmbeddedConfig) -> nn.Module:
    width = config.text_width
    return nn.TransformerEncoderLayer(
        width, config.text_heads, 4 * width, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    )
