"""Contrastive losses on plain tensors.

All take unit rows that belong together row by row.  Where a photo can stand in a batch more than once, ``photos`` (n,)
numbers the photo of each row: other rows of the same photo are no negatives and are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NEVER = -1e9  # a logit that takes no part in a softmax; -inf would make gradients nan


def info_nce(
    images: Tensor, texts: Tensor, scale: Tensor | float, smoothing: float = 0.0, photos: Tensor | None = None
) -> Tensor:
    """Symmetric InfoNCE, the loss of CLIP (Radford et al. 2021, figure 3); a scalar.

    ``images`` and ``texts`` are (n, dim) with unit rows; row i of one belongs to row i of the other and to no other
    row, unless ``photos`` says so.  ``scale`` is the inverse temperature.  ``smoothing`` in [0, 1) spreads that share
    of the target evenly over all rows that count.
    """
    logits = scale * images @ texts.T  # (n, d) x (d, n) -> (n, n)
    negatives = _negatives(len(logits), photos, logits.device)
    return (_softmax_loss(logits, negatives, smoothing) + _softmax_loss(logits.T, negatives, smoothing)) / 2


def sigmoid(
    images: Tensor, texts: Tensor, scale: Tensor | float, bias: Tensor | float, photos: Tensor | None = None
) -> Tensor:
    """The pairwise sigmoid loss of SigLIP (Zhai et al. 2023, algorithm 1); a scalar.

    Each of the n x n pairs is a yes-or-no question of its own; the sum is divided by n.  ``bias`` makes up for there
    being so many more noes; SigLIP starts it at -10 with a ``scale`` of 10.
    """
    logits = scale * images @ texts.T + bias  # (n, n)
    negatives = _negatives(len(logits), photos, logits.device)
    yes = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    each = -F.logsigmoid(torch.where(yes, logits, -logits))
    return torch.where(yes | negatives, each, 0).sum() / len(logits)


def hard_negatives(
    images: Tensor, texts: Tensor, scale: Tensor | float, count: int, photos: Tensor | None = None
) -> Tensor:
    """Symmetric InfoNCE against the ``count`` nearest wrong rows of the batch only; a scalar.

    The softmax form of learning from the hardest negatives (VSE++, Faghri et al. 2018): with ``count`` 1 it is a smooth
    version of their loss, with n - 1 it is ``info_nce``.  Easy negatives get no gradient at all.
    """
    logits = scale * images @ texts.T  # (n, n)
    negatives = _negatives(len(logits), photos, logits.device)
    losses = []
    for rows in (logits, logits.T):
        wrong = rows.masked_fill(~negatives, NEVER)
        hardest = wrong.topk(min(count, len(rows) - 1), dim=1).values  # (n, count)
        losses.append(rows.diagonal().neg() + torch.cat([rows.diagonal()[:, None], hardest], 1).logsumexp(1))
    return (losses[0] + losses[1]).mean() / 2


def _negatives(rows: int, photos: Tensor | None, device: torch.device) -> Tensor:
    """(n, n), True where column j is a wrong answer to row i."""
    if photos is None:
        return ~torch.eye(rows, dtype=torch.bool, device=device)
    photos = photos.to(device)
    return photos[:, None] != photos[None, :]


def _softmax_loss(logits: Tensor, negatives: Tensor, smoothing: float) -> Tensor:
    counts = negatives | torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logs = logits.masked_fill(~counts, NEVER).log_softmax(dim=1)
    right = logs.diagonal()
    if smoothing:
        even = logs.masked_fill(~counts, 0).sum(dim=1) / counts.sum(dim=1)
        right = (1 - smoothing) * right + smoothing * even
    return -right.mean()


def several_right(
    images: Tensor, texts: Tensor, scale: Tensor | float, right: Tensor, smoothing: float = 0.1
) -> Tensor:
    """Symmetric InfoNCE where a row has several right answers (UniCL, Yang et al. 2022); a scalar.

    ``images`` and ``texts`` are (n, dim) with unit rows, ``right`` (n, n) bool says which text belongs to which
    image, at least one in each row and column; the right ones share the target evenly.
    """
    logits = scale * images @ texts.T  # (n, n)
    losses = []
    for rows, answers in ((logits, right.float()), (logits.T, right.float().T)):
        target = answers / answers.sum(dim=1, keepdim=True)
        losses.append(F.cross_entropy(rows, target, label_smoothing=smoothing))
    return (losses[0] + losses[1]) / 2
