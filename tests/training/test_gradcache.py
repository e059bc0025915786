"""Accumulation against the plain loss of the whole batch, in value and gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_models import KeptTrainee, small_trainee
from torch import Tensor
from torch.nn import functional as F

from mmsearch.training.contrastive import gradcache
from mmsearch.training.contrastive.objective import contrastive
from mmsearch.training.contrastive.recipe import Recipe

OBJECTIVES = Recipe(sigmoid=0.3, hard=0.2, hard_count=2, text_text=0.5, captions_per_photo=2)
TEXTS = ["a cat", "a woman in space", "a red motorcycle", "old coins"] * 3


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("layers", [(0, 1), (2, 2), (-1, -1)])
def test_parts_give_loss_and_gradients_of_the_whole_batch(layers: tuple[int, int], dropout: float) -> None:
    trainee = small_trainee(*layers, kind=KeptTrainee)
    trainee.train()
    for module in trainee.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
        elif isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = dropout
    torch.manual_seed(0)
    with torch.no_grad():
        prefix = trainee.image_prefix(torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8))
        ids = trainee.tokenize(TEXTS)
        said = trainee.text_prefix(ids, trainee.token_mask(ids))
    photos = torch.tensor([0, 1, 2, 3, 1, 4])

    def forward(part: slice) -> tuple[Tensor, Tensor]:
        states = F.dropout(trainee.image_states(prefix[part]), dropout)
        rows = slice(2 * part.start, 2 * part.stop)
        mask = trainee.token_mask(ids[rows])
        tokens = trainee.text_states(said[rows], mask)
        return trainee.image_pool(states), trainee.text_pool(tokens, mask, ids[rows]).unflatten(0, (-1, 2))

    def loss(features: tuple[Tensor, ...]) -> Tensor:
        scale = trainee.log_scale.exp()
        return torch.stack(
            list(contrastive(features[0], features[1], photos, scale, trainee.bias, OBJECTIVES).values())
        ).sum()

    parts = [slice(0, 2), slice(2, 4), slice(4, 6)]

    def gradients() -> dict[str, Tensor]:
        found = {name: p.grad.clone() for name, p in trainee.named_parameters() if p.grad is not None}
        trainee.zero_grad()
        return found

    torch.manual_seed(1)
    value = gradcache.run(parts, forward, loss)
    cached, after = gradients(), torch.rand(1)
    torch.manual_seed(1)
    columns = zip(*[forward(part) for part in parts], strict=True)  # one graph over all, the same draws
    plain = loss(tuple(torch.cat(column) for column in columns))
    plain.backward()
    wanted = gradients()
    assert torch.equal(after, torch.rand(1))  # the generator goes on as if nothing was run twice
    torch.testing.assert_close(value, plain.detach(), rtol=1e-5, atol=1e-6)
    assert cached.keys() == wanted.keys() == {name for name, p in trainee.named_parameters() if p.requires_grad}
    for name, gradient in wanted.items():
        torch.testing.assert_close(cached[name], gradient, rtol=1e-4, atol=1e-5)
    still = ("score.bias", "bias")  # a softmax does not see what all its scores have in common
    assert [name for name, gradient in wanted.items() if not gradient.any() and not name.endswith(still)] == []

    if not dropout:  # then the draws do not matter, and one part is the ordinary way
        whole = gradcache.run([slice(0, 6)], forward, loss)
        torch.testing.assert_close(whole, value, rtol=1e-5, atol=1e-6)
        for name, gradient in gradients().items():
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5)


def test_scaled_backward_scales_all_gradients() -> None:
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    rows = torch.tensor([[1.0], [2.0], [3.0]])

    def forward(part: Tensor) -> tuple[Tensor]:
        return (part * weight,)

    def loss(features: tuple[Tensor, ...]) -> Tensor:
        return features[0].prod() * weight.sum()  # 6 w^4

    value = gradcache.run(list(rows.split(1)), forward, loss, lambda value: (10 * value).backward())
    assert value.item() == pytest.approx(96)
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(10 * 24 * 8)


def test_recipe_of_this_test_makes_sense() -> None:
    OBJECTIVES.check()
    replace(OBJECTIVES, infonce=0).check()
