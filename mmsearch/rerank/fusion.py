"""Four ways to make one vector of a text's summary and a photo's: ``forward(texts, images)``, each (n, d) -> (n, d).

Scales differ: rows of ``Bilinear`` have length 1, values of ``Gated`` lie in [-1, 1].  Norm them before use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.errors import ConfigError


@dataclass(frozen=True)
class FusionConfig:
    """The shape of a fusion; the same for all kinds."""

    width: int = 256  # of both summaries and of the result
    factor: int = 4  # products summed a value, for "tensor" alone; more can say more and cost more
    dropout: float = 0.1  # of what, says each class


class Concatenation(nn.Module):
    """W [a, b]: a linear layer over both, side by side.  Dropout is on the inputs."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.drop = nn.Dropout(config.dropout)
        self.mix = nn.Linear(2 * config.width, config.width)

    def forward(self, texts: Tensor, images: Tensor) -> Tensor:
        both = torch.cat([texts, images], dim=1)  # (n, 2 d)
        fused: Tensor = self.mix(self.drop(both))
        return fused


class Transform(nn.Module):
    """An MLP over [a, b, a * b, |a - b|] (Mou et al. 2016): both, where they agree and where they differ.

    Dropout is on the hidden units.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(4 * config.width, config.width)
        self.drop = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, texts: Tensor, images: Tensor) -> Tensor:
        features = torch.cat([texts, images, texts * images, (texts - images).abs()], dim=1)  # (n, 4 d)
        fused: Tensor = self.out(self.drop(F.gelu(self.hidden(features))))
        return fused


class Gated(nn.Module):
    """The gated multimodal unit (Arevalo et al. 2017): z * tanh(W a) + (1 - z) * tanh(V b), z = sigmoid(G [a, b]).

    Linear layers have biases here.  Dropout is on the result.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.text = nn.Linear(config.width, config.width)
        self.image = nn.Linear(config.width, config.width)
        self.gate = nn.Linear(2 * config.width, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, texts: Tensor, images: Tensor) -> Tensor:
        gate = self.gate(torch.cat([texts, images], dim=1)).sigmoid()  # (n, d), 1 where the text speaks
        text, image = self.text(texts).tanh(), self.image(images).tanh()
        fused: Tensor = self.drop(gate * text + (1 - gate) * image)
        return fused


class Bilinear(nn.Module):
    """All products of a value of a and a value of b, through a tensor of low rank: MFB (Yu et al. 2017).

    Each value is the sum of ``factor`` products of a projection of a and one of b; then a signed square root and
    length 1.  Dropout is on the products, as in the paper.  Chosen over
    MUTAN (Ben-younes et al. 2017), which has a core tensor and a rank to choose besides: MFB is two linear layers and
    a product, and has one number to choose.
    """

    TINY = 1e-4  # keeps the slope of the square root finite at 0, where dropout puts whole sums

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.factor = config.factor
        self.text = nn.Linear(config.width, config.factor * config.width)
        self.image = nn.Linear(config.width, config.factor * config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, texts: Tensor, images: Tensor) -> Tensor:
        products = self.drop(self.text(texts) * self.image(images))  # (n, d k)
        sums = products.unflatten(1, (-1, self.factor)).sum(dim=2)  # (n, d)
        roots = sums * (sums.abs() + self.TINY).rsqrt()
        return F.normalize(roots, dim=1)


KINDS: dict[str, Callable[[FusionConfig], nn.Module]] = {
    "concatenation": Concatenation,
    "transform": Transform,
    "gated": Gated,
    "tensor": Bilinear,
}


def fusion(kind: str, config: FusionConfig) -> nn.Module:
    """A fusion of one of ``KINDS``: ``forward(texts, images)``, (n, d) and (n, d) -> (n, d).

    Raises ConfigError when the kind is unknown.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no fusion of kind {kind!r}; there are: {', '.join(KINDS)}")
    return KINDS[kind](config)
