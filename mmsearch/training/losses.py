"""Contrastive losses on plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(images: Tensor, texts: Tensor, scale: Tensor | float, smoothing: float = 0.0) -> Tensor:
    """Symmetric InfoNCE, the loss of CLIP (Radford et al. 2021, figure 3); a scalar.

    ``images`` and ``texts`` are (n, dim) with unit rows; row i of one belongs to row i of the other and to no other
    row, so a batch holds each photo once.  ``scale`` is the inverse temperature.  ``smoothing`` in [0, 1) spreads that
    share of the target evenly over all rows.
    """
    logits = scale * images @ texts.T  # (n, d) x (d, n) -> (n, n)
    target = torch.arange(len(logits), device=logits.device)
    rows = F.cross_entropy(logits, target, label_smoothing=smoothing)
    columns = F.cross_entropy(logits.T, target, label_smoothing=smoothing)
    return (rows + columns) / 2
