"""Losses against open_clip's own and a hand-worked example."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mmsearch.training.common.losses import hard_negatives, info_nce, sigmoid


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


def _rows(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    images, texts = (F.normalize(torch.randn(6, 8, dtype=torch.float64), dim=1).requires_grad_() for _ in range(2))
    return images, texts


def test_sigmoid_equals_that_of_open_clip() -> None:
    from open_clip.loss import SigLipLoss

    images, texts = _rows()
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-3.0, dtype=torch.float64, requires_grad=True)
    given = (images, texts, scale, bias)
    torch.testing.assert_close(sigmoid(*given), SigLipLoss()(*given))
    ours, theirs = torch.autograd.grad(sigmoid(*given), given), torch.autograd.grad(SigLipLoss()(*given), given)
    for own, other in zip(ours, theirs, strict=True):
        assert own.abs().max() > 0
        torch.testing.assert_close(own, other)


def test_all_negatives_are_the_hardest() -> None:
    images, texts = _rows()
    torch.testing.assert_close(hard_negatives(images, texts, 5.0, 5), info_nce(images, texts, 5.0))
    torch.testing.assert_close(hard_negatives(images, texts, 5.0, 99), info_nce(images, texts, 5.0))


def test_one_hard_negative_worked_by_hand() -> None:
    images, texts = _rows()
    logits = (5 * images @ texts.T).detach()
    wanted = 0.0
    for rows in (logits, logits.T):
        for number, row in enumerate(rows.tolist()):
            worst = max(value for place, value in enumerate(row) if place != number)
            wanted += math.log(1 + math.exp(worst - row[number])) / 12
    assert hard_negatives(images, texts, 5.0, 1).item() == pytest.approx(wanted)


def test_other_captions_of_the_same_photo_are_no_negatives() -> None:
    images, texts = _rows()
    images = images[[0, 1, 0, 3, 4, 5]]  # rows 0 and 2 show one photo
    photos = torch.tensor([0, 1, 0, 3, 4, 5])
    logits = (5 * images @ texts.T).detach()
    logits[0, 2] = logits[2, 0] = -torch.inf
    wanted = (-logits.log_softmax(1).diagonal().mean() - logits.T.log_softmax(1).diagonal().mean()) / 2
    torch.testing.assert_close(info_nce(images, texts, 5.0, photos=photos), wanted)
    torch.testing.assert_close(hard_negatives(images, texts, 5.0, 5, photos), wanted)
    every = F.logsigmoid(torch.where(torch.eye(6, dtype=torch.bool), 1, -1) * (5 * images @ texts.T - 3)).detach()
    every[0, 2] = every[2, 0] = 0
    torch.testing.assert_close(sigmoid(images, texts, 5.0, -3.0, photos), -every.sum() / 6)
    smooth = info_nce(images, texts, 5.0, 0.1, photos)
    assert torch.isfinite(torch.cat([g.flatten() for g in torch.autograd.grad(smooth, (images, texts))])).all()
