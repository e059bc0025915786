"""Losses against open_clip's own and a hand-worked example."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mmsearch.training.losses import info_nce


def test_two_pairs_worked_by_hand() -> None:
    images = texts = torch.eye(2)
    # logits [[3, 0], [0, 3]]: each row's loss is -log(e^3 / (e^3 + 1)), in both directions
    assert info_nce(images, texts, 3.0).item() == pytest.approx(math.log(1 + math.exp(-3)))


def test_value_and_gradients_equal_those_of_open_clip() -> None:
    from open_clip.loss import ClipLoss

    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(16, 8, dtype=torch.float64), dim=1).requires_grad_() for _ in range(2))
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    ours = torch.autograd.grad(info_nce(images, texts, scale), (images, texts, scale))
    theirs = torch.autograd.grad(ClipLoss()(images, texts, scale), (images, texts, scale))
    torch.testing.assert_close(info_nce(images, texts, scale), ClipLoss()(images, texts, scale))
    for own, other in zip(ours, theirs, strict=True):
        assert own.abs().max() > 0
        torch.testing.assert_close(own, other)


def test_smoothing_spreads_the_target_evenly() -> None:
    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(5, 8), dim=1) for _ in range(2))
    logs = (4 * images @ texts.T).log_softmax(1), (4 * texts @ images.T).log_softmax(1)
    target = 0.9 * torch.eye(5) + 0.1 / 5
    wanted = sum(-(target * log).sum(1).mean() for log in logs) / 2
    torch.testing.assert_close(info_nce(images, texts, 4.0, 0.1), wanted)
