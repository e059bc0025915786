"""Each kind of fusion written out value by value, and any attention with any fusion."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmsearch.errors import ConfigError
from mmsearch.rerank import attention as attentions
from mmsearch.rerank import fusion as fusions
from mmsearch.rerank.attention import AttentionConfig, attention
from mmsearch.rerank.fusion import Bilinear, FusionConfig, fusion

Vector = NDArray[Any]
Weights = dict[str, Vector]


def affine(weights: Weights, name: str, values: Vector) -> list[float]:
    matrix, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return [sum(matrix[i, j] * values[j] for j in range(len(values))) + bias[i] for i in range(len(bias))]


def concatenation(weights: Weights, a: Vector, b: Vector) -> list[float]:
    return affine(weights, "mix", np.concatenate([a, b]))


def transform(weights: Weights, a: Vector, b: Vector) -> list[float]:
    features = [*a, *b, *[x * y for x, y in zip(a, b, strict=True)], *[abs(x - y) for x, y in zip(a, b, strict=True)]]
    hidden = affine(weights, "hidden", np.array(features))
    return affine(weights, "out", np.array([x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in hidden]))


def gated(weights: Weights, a: Vector, b: Vector) -> list[float]:
    gates = [1 / (1 + math.exp(-x)) for x in affine(weights, "gate", np.concatenate([a, b]))]
    texts, images = affine(weights, "text", a), affine(weights, "image", b)
    return [g * math.tanh(x) + (1 - g) * math.tanh(y) for g, x, y in zip(gates, texts, images, strict=True)]


def tensor(weights: Weights, a: Vector, b: Vector) -> list[float]:
    texts, images = affine(weights, "text", a), affine(weights, "image", b)
    factor = len(texts) // len(a)
    sums = [sum(texts[j] * images[j] for j in range(i * factor, (i + 1) * factor)) for i in range(len(a))]
    roots = [x / math.sqrt(abs(x) + 1e-4) for x in sums]  # nearly the signed square root
    return [x / math.sqrt(sum(y * y for y in roots)) for x in roots]


PLAIN: dict[str, Callable[[Weights, Vector, Vector], list[float]]] = {
    "concatenation": concatenation,
    "transform": transform,
    "gated": gated,
    "tensor": tensor,
}


def summaries(n: int, d: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    texts, images = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    return texts, images


def ready(kind: str, factor: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return fusion(kind, FusionConfig(width=6, factor=factor)).double().eval()


def test_every_kind_has_an_oracle() -> None:
    assert list(PLAIN) == list(fusions.KINDS)


@pytest.mark.parametrize("kind", PLAIN)
def test_fusion_is_the_formula(kind: str) -> None:
    module = ready(kind)
    weights = {name: np.asarray(values) for name, values in module.state_dict().items()}
    texts, images = summaries(5, 6)
    wanted = [PLAIN[kind](weights, a.numpy(), b.numpy()) for a, b in zip(texts, images, strict=True)]
    np.testing.assert_allclose(module(texts, images).detach().numpy(), wanted, atol=1e-12)


def test_tensor_by_hand() -> None:
    """Identity projections, factor 1: products (4, -9), signed roots (2, -3), length sqrt(13)."""
    module = Bilinear(FusionConfig(width=2, factor=1)).eval()
    for layer in (module.text, module.image):
        layer.weight.data, layer.bias.data = torch.eye(2), torch.zeros(2)
    got = module(torch.tensor([[1.0, 3.0]]), torch.tensor([[4.0, -3.0]]))
    torch.testing.assert_close(got, torch.tensor([[2.0, -3.0]]) / math.sqrt(13), atol=1e-4, rtol=0)


def test_tensor_has_finite_gradients_where_all_products_are_zero() -> None:
    module = ready("tensor")
    texts = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    for parameter in module.parameters():
        parameter.data.zero_()
    module(texts, texts).sum().backward()
    gradients = [texts.grad, *(parameter.grad for parameter in module.parameters())]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("kind", PLAIN)
def test_pairs_do_not_see_each_other(kind: str) -> None:
    module = ready(kind)
    texts, images = summaries(5, 6)
    torch.testing.assert_close(module(texts[2:3], images[2:3]), module(texts, images)[2:3])


@pytest.mark.parametrize("kind", PLAIN)
def test_gradients_reach_every_parameter(kind: str) -> None:
    module = ready(kind)
    fused = module(*summaries(5, 6))
    (fused * torch.randn(5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)).sum().backward()
    still = [name for name, values in module.named_parameters() if values.grad is None or values.grad.norm() < 1e-6]
    assert still == []


@pytest.mark.parametrize("fused_by", fusions.KINDS)
@pytest.mark.parametrize("attended_by", attentions.KINDS)
def test_any_attention_goes_with_any_fusion(attended_by: str, fused_by: str) -> None:
    torch.manual_seed(0)
    block = attention(attended_by, AttentionConfig(width=8, heads=2))
    mixer = fusion(fused_by, FusionConfig(width=8))
    words, regions = torch.randn(3, 5, 8), torch.randn(3, 6, 8)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    attended = block(words, mask, regions)  # with dropout: both are in training mode
    shares = mask / mask.sum(dim=1, keepdim=True)  # (n, t)
    texts = (shares.unsqueeze(1) @ attended.words).squeeze(1)  # (n, 1, t) x (n, t, d) -> (n, d)
    fused = mixer(texts, attended.regions.mean(dim=1))
    assert (attended.words.shape, attended.regions.shape, attended.weights.shape) == ((3, 5, 8), (3, 6, 8), (3, 5, 6))
    assert fused.shape == (3, 8)
    fused.square().sum(dim=0)[0].backward()
    gradients = [values.grad for values in [*block.parameters(), *mixer.parameters()]]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'melting'; there are: concatenation, transform, gated, tensor"):
        fusion("melting", FusionConfig())
