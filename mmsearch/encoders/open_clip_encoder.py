"""open_clip's models in torch: any name of its list, a folder, or a repository on the hub.

Used on a GPU, and on a CPU once, to export the model for ONNX Runtime (``export.py``).
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import huggingface_hub
import numpy as np
import open_clip
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders import hub, registry, tokenizer_export
from mmsearch.encoders.protocol import ModelCard
from mmsearch.encoders.registry import Source
from mmsearch.encoders.texts import TextEncoder
from mmsearch.errors import ModelError
from mmsearch.records import Pixels, Preprocess, Vectors

logger = logging.getLogger(__name__)
_loading = threading.Lock()  # models are loaded one at a time: see _quiet

AGREEMENT = 0.999  # least cosine between the vectors of one model in two precisions or two engines


class ImageTower(nn.Module):
    """``pixels`` (n, size, size, 3) uint8 -> unit rows (n, dim), normalisation included."""

    def __init__(self, model: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.model = model
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1))
        self.dtype = torch.float32  # of the model's weights

    def forward(self, pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255  # (n, 3, size, size)
        images = (images - self.mean.float()) / self.std.float()
        vectors: Tensor = self.model.encode_image(images.to(self.dtype))  # type: ignore[operator]
        return F.normalize(vectors.float(), dim=-1)


class TextTower(nn.Module):
    """``ids`` (n, context) int64 -> unit rows (n, dim)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.model.encode_text(ids)  # type: ignore[operator]
        return F.normalize(vectors.float(), dim=-1)


class OpenClipEncoder:
    """An ``Encoder`` over an open_clip model in torch."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        card: ModelCard,
        device: str = "cpu",
        precision: Literal["fp32", "fp16"] | None = None,
    ) -> None:
        """``precision`` is that of the arithmetic; by default fp16 on CUDA and fp32 on a CPU.

        Half precision is tried on a few inputs first, and not used when its vectors differ.
        """
        self.card = card
        self.device = torch.device(device)
        self._tokens = TextEncoder(tokenizer, card.tokens)
        self.tokenizer = tokenizer
        self.images = ImageTower(model, card.preprocess).eval()
        self.texts = TextTower(model).eval()
        if precision is None:
            precision = "fp16" if self.device.type == "cuda" else "fp32"
        if precision == "fp16":
            self._halve()
        else:
            self.images.to(self.device)
            self.texts.to(self.device)

    @classmethod
    def load(cls, name: str, device: str = "cpu", precision: Literal["fp32", "fp16"] | None = None) -> OpenClipEncoder:
        """The model of that name, downloaded when it is not on this machine.

        ``name`` is as ``registry.find`` takes it.  Raises ModelError when there is no such model, or when it cannot be
        downloaded, read, or used for searching.
        """
        source = registry.find(name)
        model, tokenizer = _load(source)
        converted, rules = tokenizer_export.convert(tokenizer)
        with torch.inference_mode():
            dim = int(model.encode_text(torch.zeros((1, rules.context), dtype=torch.int64)).shape[-1])
        card = ModelCard(source.name, dim, _preprocess(model, source.name), rules, weights_hash(model))
        return cls(model, converted, card, device, precision)

    def encode_images(self, pixels: Pixels) -> Vectors:
        if not len(pixels):
            return np.empty((0, self.card.dim), np.float32)
        with torch.inference_mode():
            return _array(self.images(_tensor(pixels).to(self.device)))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.card.dim), np.float32)
        with torch.inference_mode():
            return _array(self.texts(torch.from_numpy(self._tokens(texts)).to(self.device)))

    def _halve(self) -> None:
        """To half precision and to the device, unless that changes the vectors."""
        pixels, texts = self.probes()
        wanted = np.concatenate([self._on_cpu().encode_images(pixels), self._on_cpu().encode_texts(texts)])
        full = self.images, self.texts
        model = copy.deepcopy(self.images.model).half().to(self.device)
        self.images = ImageTower(model, self.card.preprocess).to(self.device).eval()
        self.images.dtype = torch.float16
        self.texts = TextTower(model).eval()
        try:
            got = np.concatenate([self.encode_images(pixels), self.encode_texts(texts)])
            cosine = float((got * wanted).sum(axis=1).min())  # nan when half precision overflows
        except RuntimeError as error:  # a layer that has no half precision
            logger.debug("%s cannot run in half precision: %s", self.card.name, error)
            cosine = float("nan")
        if not cosine > AGREEMENT:
            logger.warning("%s needs full precision on %s (cosine %.4f)", self.card.name, self.device, cosine)
            self.images, self.texts = (tower.to(self.device) for tower in full)

    def _on_cpu(self) -> OpenClipEncoder:
        return OpenClipEncoder(self.images.model, self.tokenizer, self.card, "cpu", "fp32")

    def probes(self) -> tuple[Pixels, tuple[str, ...]]:
        """Pictures of noise, from fine to coarse, and texts: what two ways to run a model are compared on."""
        size = self.card.preprocess.size
        random = np.random.default_rng(0)
        grids = (random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (size, 16, 3))
        rows = [np.arange(size) * len(grid) // size for grid in grids_list] if False else None
        del rows
        pixels = []
        for grid in grids:
            nearest = np.arange(size) * len(grid) // size
            pixels.append(grid[nearest][:, nearest])
        return np.stack(pixels), tokenizer_export.PROBES
