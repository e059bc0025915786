"""What generators are trained by."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmsearch.training.generation.models import LATEST, Discriminator, Generator, noisy


def regression_loss(generator: Generator, text: tuple[Tensor, Tensor, Tensor], real: Tensor) -> Tensor:
    """Squared error of the latent; its best answer is the mean of all pictures that fit the text."""
    return F.mse_loss(generator.draw(*text, real.new_empty(len(real), 0)), real)


def flow_matching_loss(generator: Generator, text: tuple[Tensor, Tensor, Tensor], real: Tensor) -> Tensor:
    """Conditional flow matching on straight paths from noise to latents (Lipman et al. 2023, arXiv:2210.02747).

    The network predicts where the path ends, as the prior of DALL-E 2 predicts the clean vector (Ramesh et al. 2022,
    arXiv:2204.06125, section 2.2): velocity is (predicted - x) / (1 - t), so this is its loss times (1 - t)².
    """
    time = LATEST * torch.rand(len(real), 1)
    x = (1 - time) * torch.randn_like(real) + time * real
    guess, told = generator.condition(*text)
    return F.mse_loss(generator.predicted(guess, told, noisy(x, time)), real)


def critic_loss(
    discriminator: Discriminator, real: Tensor, fake: Tensor, texts: Tensor, mismatched: float
) -> Tensor:  # fmt: skip
    """Hinge loss of the discriminator (Lim and Ye 2017).

    ``mismatched`` is the share of the negatives that are real pictures with the text of another (matching-aware, Reed
    et al. 2016, arXiv:1605.05396, section 4.1): without them it may look at pictures alone.  Rows are distinct photos.
    """
    positive = F.relu(1 - discriminator(real, texts)).mean()
    negative = (1 - mismatched) * F.relu(1 + discriminator(fake, texts)).mean()
    if mismatched:
        negative = negative + mismatched * F.relu(1 + discriminator(real, texts.roll(1, dims=0))).mean()
    return positive + negative


def gradient_penalty(discriminator: Discriminator, real: Tensor, texts: Tensor) -> Tensor:
    """R1: half the squared gradient of the score at real pictures (Mescheder et al. 2018, arXiv:1801.04406)."""
    at = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(at, texts).sum(), at, create_graph=True)
    penalty: Tensor = gradient.square().sum(dim=1).mean() / 2
    return penalty


def generator_loss(discriminator: Discriminator, fake: Tensor, texts: Tensor) -> Tensor:
    """Hinge loss of the generator: the discriminator should take what it makes for real pictures of the text."""
    loss: Tensor = -discriminator(fake, texts).mean()
    return loss
