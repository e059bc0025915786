"""The ImageNet classifier's own knowledge as extra pairs: a made-up grid for each class, and its name.

Flickr8k has dogs and beaches but no coffee cups.  The classifier on top of the image tower knows 1,000 things: its
weight vector for a class says which channels that thing excites.  Added to the mean features of photos it gives
features that the classifier takes for the class, and the name of the class is their text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.encoders.embedded import EmbeddedConfig, TextTower
from mmsearch.training import pretrained
from mmsearch.training.features import TokenStates, token_states

TEMPLATES = ("{}", "a {}", "a photo of a {}")


def class_names() -> list[str]:
    """The names of the 1,000 classes, in the classifier's order."""
    from torchvision.models import EfficientNet_B0_Weights

    names: list[str] = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    return names


@dataclass(frozen=True)
class Prototypes:
    """Features of every class, (1000, width), and the token states of its names, template by template."""

    features: NDArray[np.float32]
    states: TokenStates

    def batch(
        self, grids: NDArray[np.float16], size: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``size`` different classes: grids (n, 49, width) spread as photos' are, token states, mask."""
        classes = rng.choice(len(self.features), size, replace=False)
        photos = grids[rng.integers(0, len(grids), size), 0].astype(np.float32)
        made = np.maximum(photos - photos.mean(axis=1, keepdims=True) + self.features[classes, None], 0)
        texts = classes + len(self.features) * rng.integers(0, len(TEMPLATES), size)
        states, mask = self.states.batch(texts)
        return torch.from_numpy(made), states, mask


def make(grids: NDArray[np.float16], tower: TextTower, model: EmbeddedConfig, layers: int) -> Prototypes:
    """Move the mean feature of photos along each class's weights until it is as long as a photo's features are.

    The classifier is 90 % sure of a class when the feature has hardly left the mean (length 10.9, where photos have
    17.0); features like that drown in the spread of real grids.
    """
    weights, _ = pretrained.classifier()
    photos = grids[:, 0].mean(axis=1, dtype=np.float32)  # (n, width)
    mean, length = photos.mean(axis=0), np.linalg.norm(photos, axis=1).mean()
    directions = weights / np.linalg.norm(weights, axis=1, keepdims=True)

    def moved(steps: NDArray[np.float64]) -> NDArray[np.float32]:
        made: NDArray[np.float32] = (mean + steps[:, None] * directions).astype(np.float32)
        return np.maximum(made, 0)  # activations are never negative

    low, high = np.zeros(len(weights)), np.full(len(weights), 1000.0)
    for _ in range(20):  # bisection, all classes at once
        steps = (low + high) / 2
        far = np.linalg.norm(moved(steps), axis=1) > length
        low, high = np.where(far, low, steps), np.where(far, steps, high)
    features = moved(high)
    texts = [template.format(name) for template in TEMPLATES for name in class_names()]
    return Prototypes(features, token_states(tower, pretrained.tokenizer(), texts, layers, model.context))
