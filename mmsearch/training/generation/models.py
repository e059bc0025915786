"""Generators of a picture's latent from a text, and the discriminator that some are trained against.

All generators share one text encoder and one trunk, and all but the linear map go on from it: what they give is the
ridge regression of the text plus what the trunk adds.  So they differ in how they are trained, not in size.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from mmsearch.training.generation.recipe import FLOW, LINEAR, GenerationRecipe

TIMES = 32  # sines and cosines of the time of a flow
LATEST = 0.98  # of the time a flow is trained at: at 1 the noisy latent is the answer


def averaged(states: Tensor, mask: Tensor) -> Tensor:
    """Word states (n, t, width) to their mean over the words that count, (n, width)."""
    weights = mask.float().unsqueeze(2)
    mean: Tensor = (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return mean


def plain_features(vectors: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """What the linear map sees of a text, (n, dim + width): its vector at unit scale, and the mean of its words."""
    return torch.cat([vectors * vectors.shape[1] ** 0.5, averaged(states, mask)], dim=1)


def ridge_regression(
    inputs: NDArray[np.float32], targets: NDArray[np.float32], share: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (out, in) and bias (out,) of ridge regression (Hoerl and Kennard 1970).

    ``share`` of the mean variance of the inputs (n, in) is added to every variance.
    """
    mean, aim = inputs.mean(axis=0), targets.mean(axis=0)
    x, y = (inputs - mean).astype(np.float64), (targets - aim).astype(np.float64)
    covariance = x.T @ x / len(x)
    covariance[np.diag_indices_from(covariance)] += share * float(np.diag(covariance).mean())
    weights = np.linalg.solve(covariance, x.T @ y / len(x)).T  # (out, in)
    return weights.astype(np.float32), (aim - weights @ mean).astype(np.float32)


class WordPool(nn.Module):
    """Learned queries over the states of a text's words: (n, t, width) -> (n, dim)."""

    def __init__(self, width: int, dim: int, heads: int) -> None:
        super().__init__()
        self.scores, self.values, self.heads = nn.Linear(width, heads), nn.Linear(width, dim), heads

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        weights = self.scores(states).masked_fill(~mask.unsqueeze(2), -1e4).softmax(dim=1)  # (n, t, heads)
        values = self.values(states).unflatten(2, (self.heads, -1))  # (n, t, heads, dim / heads)
        pooled: Tensor = (weights.unsqueeze(3) * values).sum(dim=1).flatten(1)
        return pooled


class Block(nn.Module):
    """Residual MLP whose norm is scaled and moved by the condition (FiLM, Perez et al. 2018)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 2 * width)
        self.inner, self.outer, self.dropout = nn.Linear(width, width), nn.Linear(width, width), nn.Dropout(dropout)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition).chunk(2, dim=1)
        added: Tensor = x + self.outer(self.dropout(F.gelu(self.inner(self.norm(x) * (1 + scale) + shift))))
        return added


class Generator(nn.Module):
    """A text, and noise where the way has any, to a picture's latent (n, size).

    ``draw`` is what all ways have in common.  A flow's ``forward`` predicts the clean latent from a noisy one and its
    time in [0, 1); the others' noise is an input beside the text.
    """

    def __init__(self, recipe: GenerationRecipe, dim: int, word_width: int, size: int) -> None:
        super().__init__()
        self.way, self.size, self.steps = recipe.way, size, recipe.integration
        self.noise = size if recipe.way == FLOW else recipe.noise if recipe.draws else 0
        self.linear = nn.Linear(dim + word_width, size)
        if recipe.way == LINEAR:
            return
        width, given = recipe.width, size + TIMES if recipe.way == FLOW else self.noise
        self.pool = WordPool(word_width, 32 * recipe.heads, recipe.heads)
        self.text = nn.Linear(dim + 32 * recipe.heads, width)
        self.start = nn.Linear(max(given, 1), width)
        self.blocks = nn.ModuleList(Block(width, recipe.dropout) for _ in range(recipe.blocks))
        self.norm, self.end = nn.LayerNorm(width), nn.Linear(width, size)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)

    def condition(self, vectors: Tensor, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The linear guess (n, size), and what the trunk is told of the text (n, width)."""
        guess = self.linear(plain_features(vectors, states, mask))
        if self.way == LINEAR:
            return guess, guess
        told = torch.cat([vectors * vectors.shape[1] ** 0.5, self.pool(states, mask)], dim=1)
        return guess, F.gelu(self.text(told))

    def predicted(self, guess: Tensor, told: Tensor, given: Tensor) -> Tensor:
        """The latent from the condition and from ``given``: noise, or a noisy latent and its time (n, given)."""
        x = self.start(given) + told
        for block in self.blocks:
            x = block(x, told)
        added: Tensor = self.end(self.norm(x))
        return guess + added

    def draw(self, vectors: Tensor, states: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """Latents (n, size) of texts; ``noise`` (n, noise) is standard normal, (n, 0) where there is none."""
        return self.from_condition(*self.condition(vectors, states, mask), noise)

    def from_condition(self, guess: Tensor, told: Tensor, noise: Tensor) -> Tensor:
        """Latents (n, size) from what ``condition`` gives, and noise (n, noise)."""
        if self.way == LINEAR:
            return guess
        if self.way != FLOW:
            given = noise if self.noise else guess.new_ones(len(guess), 1)
            return self.predicted(guess, told, given)
        x = noise
        for step in range(self.steps):
            time = step / self.steps
            clean = self.predicted(guess, told, noisy(x, torch.full_like(x[:, :1], time)))
            x = x + (clean - x) / (self.steps - step)  # dt / (1 - t): the last step ends in ``clean``
        return x


def noisy(latents: Tensor, time: Tensor) -> Tensor:
    """Noisy latents (n, size) with sines and cosines of their times (n, 1) beside them."""
    rates = torch.exp(torch.arange(TIMES // 2, device=time.device) * (math.log(100.0) / (TIMES // 2 - 1)))
    angles = time * rates  # (n, TIMES / 2)
    return torch.cat([latents, angles.sin(), angles.cos()], dim=1)


class Discriminator(nn.Module):
    """Whether a latent is a real picture of a text: (n, size) and the text -> scores (n,).

    By projection (Miyato and Koyama 2018, cGANs with projection discriminator): how real it looks, plus the product of
    its features with the text's.  Every layer has spectral norm (Miyato et al. 2018).
    """

    def __init__(self, dim: int, word_width: int, size: int, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            spectral_norm(nn.Linear(size, width)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(width, width)), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.real = spectral_norm(nn.Linear(width, 1))
        self.text = spectral_norm(nn.Linear(dim + word_width, width))

    def forward(self, latents: Tensor, texts: Tensor) -> Tensor:
        """``texts`` (n, dim + width) are ``plain_features``."""
        seen = self.features(latents)
        scores: Tensor = self.real(seen).squeeze(1) + (seen * self.text(texts)).sum(dim=1) / seen.shape[1] ** 0.5
        return scores
