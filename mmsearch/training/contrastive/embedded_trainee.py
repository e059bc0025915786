"""The embedded architecture as a ``Trainee``: from its own model folder, or from towers that are handed over."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders.export import graphs, model_folder, region_graph
from mmsearch.encoders.protocol import TokenRules
from mmsearch.encoders.texts import TextEncoder
from mmsearch.encoders.torch.embedded_towers import (
    EmbeddedConfig,
    ImageTower,
    TextTower,
    fold_batch_norms,
)
from mmsearch.media.filesystem import read_regular
from mmsearch.training.common.optimize import Group
from mmsearch.training.contrastive.recipe import ALL
from mmsearch.types import Preprocess

log = logging.getLogger(__name__)

AT_ONCE = 8  # photos through the frozen stages together; more is slower
SAME = 1e-2  # of the largest state: how far the states of a graph may be from those of torch
TOGETHER = 128  # texts of like length that go through the layers together


class EmbeddedTrainee(nn.Module):
    """Backbone stages and transformer layers below the trained ones are frozen; the poolings are always trained.

    ``image_layers`` counts the upper stages of each backbone (of 7; 1 and more include its last convolution),
    ``text_layers`` the upper transformer layers.  Batch norms are folded into the convolutions: there are no running
    means to keep.  The states of a second branch follow those of the first.
    """

    hides_states = True
    base: Path | None = None  # what ``load`` was given: the graphs there are tried before anything is traced

    def __init__(
        self, images: ImageTower, texts: TextTower, config: EmbeddedConfig, tokenizer: Tokenizer,
        image_layers: int = 0, text_layers: int = 0, card_name: str = "embedded", scale: float = 20.0,
    ) -> None:  # fmt: skip
        super().__init__()
        fold_batch_norms(images)
        self.images, self.texts, self.config, self.card_name = images, texts, config, card_name
        self.log_scale = nn.Parameter(torch.tensor(scale).log())
        self.bias = nn.Parameter(torch.tensor(-10.0))
        stages, layers = min(len(branch.backbone.blocks) for branch in images.branches), len(texts.layers)
        self._whole_image = image_layers == ALL or image_layers > stages
        self._whole_text = text_layers == ALL or text_layers > layers
        self._kept_stages = stages if self._whole_image else image_layers  # that are trained, of each backbone
        self._layer = 0 if self._whole_text else layers - text_layers
        self.freezes_images, self.freezes_texts = not self._whole_image, not self._whole_text
        mean, std = config.image_mean, config.image_std
        self.preprocess = Preprocess(config.image_size, (mean,) * 3, (std,) * 3, "bicubic", "squash")
        self.dim, self.image_width = config.dim, config.image_width
        self.text_width = len(texts.branches) * config.text_width
        self.tokenizer = tokenizer
        self._tokens = TextEncoder(tokenizer, TokenRules(config.context, config.pad_id, fixed_length=False))
        mask_id = tokenizer.token_to_id("[MASK]")
        self.mask_id = config.pad_id if mask_id is None else int(mask_id)
        self._runner: Callable[[NDArray[Any]], NDArray[Any]] | None = None  # of the frozen stages on a CPU
        self.images.to(memory_format=torch.channels_last)
        with torch.no_grad():
            black = torch.zeros(1, config.image_size, config.image_size, 3, dtype=torch.uint8)
            self._shapes = [part.shape[1:] for part in self._frozen(black)]  # of what each branch's frozen stages give
            given = black.permute(0, 3, 1, 2).float()
            self._cells = [branch.last(given)[0, 0].numel() for branch in images.branches]  # of each branch's grid
        self.requires_grad_(False)
        for group in self.groups():
            for parameter in group.parameters:
                parameter.requires_grad_(True)
        self.log_scale.requires_grad_(True)
        self.bias.requires_grad_(True)
        self.eval()

    @classmethod
    def load(
        cls, folder: Path, image_layers: int = 0, text_layers: int = 0, card_name: str | None = None
    ) -> EmbeddedTrainee:
        """From a model folder.  Raises ModelError."""
        images, texts, config, card = model_folder.read(folder)
        tokenizer = Tokenizer.from_buffer(read_regular(folder / "tokenizer.json"))
        made = cls(images, texts, config, tokenizer, image_layers, text_layers, card_name or card.name)
        made.base = folder
        return made

    @property
    def module(self) -> nn.Module:
        return self

    def train(self, mode: bool = True) -> EmbeddedTrainee:
        """Dropout in the trained text layers only; the backbone has nothing that differs."""
        super().train(False)
        for level in self.texts.stacked()[self._layer :]:
            for layer in level:
                layer.train(mode)
        self.training = mode
        return self

    def image_prefix(self, pixels: Tensor) -> Tensor:
        """The states before the first trained stage, (n, h, w, channels), as they lie in memory; for 0 trained stages
        the whole grid, (n, h * w, width).  With a second branch those of both, flat, one after the other.

        On a CPU through ONNX Runtime: 190 photos/s up to stage 5 of EfficientNet-Lite2 where torch makes 50.  The graph
        is that of the model's folder, cut off; without a folder the stages are traced.
        """
        if self._whole_image:
            return pixels
        if pixels.device.type == "cpu":
            if self._runner is None:
                self._runner = self._cut_off() or graphs.runner(_Prefix(self), pixels[:1].repeat(2, 1, 1, 1))
            given = pixels.numpy()
            parts = [self._runner(given[start : start + AT_ONCE]) for start in range(0, len(given), AT_ONCE)]
            return torch.from_numpy(np.concatenate(parts))
        return self.frozen_stages(pixels)

    def frozen_stages(self, pixels: Tensor) -> Tensor:
        return _beside(self._frozen(pixels))

    def _cut_off(self) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """The frozen stages of the image graph that the model was loaded from; None where there is no such graph."""
        if self.base is None:
            return None
        file, size = self.base / "image.onnx", self.config.image_size
        try:
            image = onnx.load(file)
            run = graphs.up_to(image, self._frozen_tensors(image, self.base))

            def prefix(pixels: NDArray[Any]) -> NDArray[Any]:
                found = [torch.from_numpy(states).permute(0, 2, 3, 1) for states in run(pixels)]
                parts = [part if self._kept_stages else part.flatten(1, 2) for part in found]
                return _beside(parts).contiguous().numpy()

            some = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
            found, wanted = torch.from_numpy(prefix(some)), self.frozen_stages(torch.from_numpy(some))
            if found.shape != wanted.shape or not bool((found - wanted).abs().max() <= SAME * wanted.abs().max()):
                raise ValueError("it gives other states")
        except Exception as error:  # onnx and ONNX Runtime raise many kinds
            log.info("%s is not cut off, and is traced: %s", file, " ".join(repr(error).split())[:200])
            return None
        return prefix

    def _frozen_tensors(self, image: onnx.ModelProto, folder: Path) -> list[str]:
        """What the frozen stages of each branch give, (n, channels, h, w), by their names in the image graph."""
        if not self._kept_stages:
            levels = region_graph.levels(image, folder)
            return [levels[name][0] for name in ("top", "second")[: len(self.images.branches)]]
        found = []
        for number, branch in enumerate(self.images.branches):
            below, place = self._below(branch), "tower.second" if number else "tower"
            stage = branch.backbone.blocks[below]
            first = next(name for name, part in stage.named_modules() if isinstance(part, nn.Conv2d))
            found.append(region_graph.convolved_with(f"{place}.backbone.blocks.{below}.{first}.weight", image))
        return found

    def _frozen(self, pixels: Tensor) -> list[Tensor]:
        """What the frozen stages of each branch give."""
        given = pixels.permute(0, 3, 1, 2).float() / 255
        found = []
        for branch in self.images.branches:
            backbone = branch.backbone
            below = self._below(branch)
            states = backbone.blocks[:below](backbone.bn1(backbone.conv_stem(branch.prepared(given))))
            top = below == len(backbone.blocks)
            found.append(_top(branch, states) if top else states.permute(0, 2, 3, 1).contiguous())
        return found

    def _below(self, branch: ImageTower) -> int:
        """How many stages of a branch lie below the trained ones."""
        return len(branch.backbone.blocks) - self._kept_stages

    def image_states(self, prefix: Tensor) -> Tensor:
        """In float32 on a CPU whatever the precision: convolutions by depth are slower in bfloat16 there."""
        if prefix.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return self._image_states(prefix)
        return self._image_states(prefix)

    def _image_states(self, prefix: Tensor) -> Tensor:
        branches = self.images.branches
        if self._whole_image:
            given = prefix.permute(0, 3, 1, 2).float() / 255
            return torch.cat([branch.last(given).flatten(2).transpose(1, 2) for branch in branches], dim=1)
        flat = prefix.float().flatten(1).split([shape.numel() for shape in self._shapes], dim=1)
        found = []
        for branch, part, shape in zip(branches, flat, self._shapes, strict=True):
            states = part.unflatten(1, shape)
            if self._kept_stages:
                stages = branch.backbone.blocks[self._below(branch) :]
                states = _top(branch, stages(states.permute(0, 3, 1, 2)))  # channels_last, nothing is copied
            found.append(states)
        return torch.cat(found, dim=1)

    def image_pool(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        masks = [None] * len(self._cells) if mask is None else mask.split(self._cells, dim=1)
        own = zip(self.images.branches, states.split(self._cells, dim=1), masks, strict=True)
        vectors: Tensor = self.images.join([branch.pool(part, kept) for branch, part, kept in own])
        return vectors

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(self._tokens(texts))

    def token_mask(self, ids: Tensor) -> Tensor:
        return ids != self.config.pad_id

    def text_prefix(self, ids: Tensor, mask: Tensor) -> Tensor:
        if self._whole_text:
            return ids
        return self.texts.run(self.texts.embed(ids), mask, 0, self._layer)

    def text_states(self, prefix: Tensor, mask: Tensor) -> Tensor:
        """Texts of like length go through the layers together: captions vary from 6 to 40 tokens, and padding all to
        the longest makes a step on a CPU 1.7 times as long."""
        states = self.texts.embed(prefix) if self._whole_text else prefix.float()
        places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        lengths = (mask * places).amax(dim=1)  # up to the last token that counts
        order = lengths.argsort(stable=True)
        found = []
        for rows in order.split(TOGETHER):
            longest = int(lengths[rows].max())
            states_of = self.texts.run(
                states[rows, :longest], mask[rows, :longest], self._layer, len(self.texts.layers)
            )
            found.append(F.pad(states_of.float(), (0, 0, 0, mask.shape[1] - longest)))
        return torch.cat(found)[order.argsort(stable=True)]

    def text_pool(self, states: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
        return self.texts.finish(states, mask)

    def word_table(self) -> Tensor:
        return torch.cat([self.texts.words.weight] * len(self.texts.branches), dim=1)

    def groups(self) -> list[Group]:
        texts = self.texts
        pools: list[nn.Module] = [branch.pool for branch in self.images.branches]
        pools += [self.images.join, *(pool for _, pool in texts.branches), texts.join]
        found = [Group("pool", 0, [parameter for pool in pools for parameter in pool.parameters()])]
        for branch in self.images.branches:
            backbone = branch.backbone
            stages = list(backbone.blocks)[self._below(branch) :]
            if stages:
                found.append(Group("image", 0, [*backbone.conv_head.parameters(), *backbone.bn2.parameters()]))
            found += [Group("image", depth, list(stage.parameters())) for depth, stage in enumerate(stages[::-1])]
            if self._whole_image:
                below = [*backbone.conv_stem.parameters(), *backbone.bn1.parameters()]
                found.append(Group("image", len(stages), below))
        layers = texts.stacked()[self._layer :]
        found += [
            Group("text", depth, [parameter for layer in level for parameter in layer.parameters()])
            for depth, level in enumerate(layers[::-1])
        ]
        if self._whole_text:
            below = [*texts.words.parameters(), *texts.positions.parameters(), *texts.norm.parameters()]
            found.append(Group("text", len(layers), below))
        return found

    def save(self, folder: Path, facts: dict[str, Any], name: str | None = None) -> None:
        images, texts = copy.deepcopy(self.images).cpu().eval(), copy.deepcopy(self.texts).cpu().eval()
        images.to(memory_format=torch.contiguous_format)
        name = f"local-dir:{folder.absolute()}" if name is None else name
        model_folder.write(folder, images, texts, self.config, self.tokenizer, name, facts, self.base)


def _beside(found: list[Tensor]) -> Tensor:
    """The states of both branches, flat, one after the other; those of one alone as they are."""
    return found[0] if len(found) == 1 else torch.cat([part.flatten(1) for part in found], dim=1)


def _top(branch: ImageTower, states: Tensor) -> Tensor:
    """The last stage's states through the backbone's last convolution: (n, h * w, width)."""
    grid: Tensor = branch.backbone.bn2(branch.backbone.conv_head(states))  # (n, width, h, w)
    return grid.permute(0, 2, 3, 1).flatten(1, 2)


class _Prefix(nn.Module):
    """The frozen stages of a trainee as a module of their own, to be exported."""

    def __init__(self, trainee: EmbeddedTrainee) -> None:
        super().__init__()
        self.images, self._stages = trainee.images, trainee.frozen_stages

    def forward(self, given: Tensor) -> Tensor:
        return self._stages(given)
