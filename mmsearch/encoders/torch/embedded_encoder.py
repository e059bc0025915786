"""The embedded model in torch, for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmsearch.encoders import agreement
from mmsearch.encoders.export import graphs, region_graph
from mmsearch.encoders.protocol import ModelCard
from mmsearch.encoders.texts import TextEncoder
from mmsearch.encoders.torch.batches import Batches, Setup, channels_last
from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, TextTower, fold_batch_norms
from mmsearch.types import Pixels, Regions, Vectors


class TorchEmbeddedEncoder:
    """An ``Encoder`` with the weights of the embedded model's ONNX graphs; half precision on CUDA."""

    def __init__(self, folder: Path, device: str, setup: Setup | None = None) -> None:
        """``setup`` is by default what the device likes."""
        self.folder = folder
        self.measured: Path | None = None  # nothing is measured
        self.card = ModelCard.read(folder)
        config = EmbeddedConfig.read(folder)
        self._device = torch.device(device)
        self.device = str(self._device)
        self._dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        self._images, self._texts = ImageTower(config), TextTower(config)
        fold_batch_norms(self._images)
        self._images.load_state_dict(graphs.read_weights(folder / "image.onnx"))
        self._texts.load_state_dict(graphs.read_weights(folder / "text.onnx"))
        for tower in (self._images, self._texts):
            tower.eval().to(self._device, self._dtype)
        # In float32 also on a GPU: it is little work, and its sums are long.
        self._regions = region_graph.read(folder).to(self._device) if self.card.regions is not None else None
        self._tokens = TextEncoder.load(folder / "tokenizer.json", self.card.tokens)
        self._setup = setup or Setup.of(self._device)
        if self._setup.channels_last:
            given = torch.from_numpy(agreement.pictures(self.card.preprocess.size)).to(self._device)
            channels_last(self._images, self._alone, given)
        self.batch = self._setup.batch  # pictures that are best given at once; 0 where it does not matter
        self._vectors = Batches(self._alone, self._device, self._setup)
        self._both = Batches(self._levels, self._device, self._setup)

    def copy(self, device: str, setup: Setup | None = None) -> TorchEmbeddedEncoder:
        """The same on another device, or set up otherwise.  Raises RuntimeError where there is no room for it."""
        return type(self)(self.folder, device, setup or self._setup)

    def encode_images(self, pixels: Pixels) -> Vectors:
        return self._vectors(pixels)[0]

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        if self._regions is None:
            return self.encode_images(pixels), None
        vectors, regions = self._both(pixels)
        return vectors, regions

    def _alone(self, pixels: Tensor) -> tuple[Tensor]:
        return (self._images(self._given(pixels)),)

    def _levels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors and region tokens."""
        assert self._regions is not None
        levels = self._images.levels(self._given(pixels))
        return self._images.pooled(levels), self._regions(levels)

    def _given(self, pixels: Tensor) -> Tensor:
        """(n, size, size, 3) uint8 -> (n, 3, size, size) in [0, 1]."""
        return pixels.permute(0, 3, 1, 2).to(self._dtype) / 255

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.card.dim), np.float32)
        with torch.inference_mode():
            ids = torch.from_numpy(self._tokens(texts)).to(self._device)
            vectors: Vectors = self._texts(ids).float().cpu().numpy()
        return vectors
