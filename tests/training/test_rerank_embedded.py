"""The map to region tokens of the embedded model: the graph's projection does what was learned on stored grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from drawn import states

from mmsearch.encoders.embedded import EmbeddedConfig, ImageTower, fold_batch_norms
from mmsearch.training import rerank_embedded
from mmsearch.training.rerank_embedded import BACKBONE, DIM, MID, SIDE, SIZE, TOP, WIDTH


def pooled(levels: torch.Tensor) -> torch.Tensor:
    """(n, channels, side, side) -> (n, SIDE², channels): each region is the mean of the cells that it touches."""
    n, channels, side, _ = levels.shape
    cut = [(row * side // SIDE, -(-(row + 1) * side // SIDE)) for row in range(SIDE)]
    found = torch.empty(n, SIDE * SIDE, channels)
    for place, ((top, bottom), (left, right)) in enumerate(itertools.product(cut, cut)):
        found[:, place] = levels[:, :, top:bottom, left:right].mean(dim=(2, 3))
    return found


def test_projection_gives_the_tokens_that_were_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerank_embedded, "EPOCHS", 2)
    rng = np.random.default_rng(0)
    photos, channels = 8, TOP + MID + WIDTH
    grids = rng.standard_normal((photos, 2, SIDE**2, channels))
    grids = 3 * grids + np.linspace(-2, 2, channels)  # the channels have means and spreads of their own
    grids[..., TOP : TOP + MID] *= 10
    stored = np.concatenate([grids.reshape(photos, 2, -1), np.zeros((photos, 2, 5))], axis=2).astype(np.float16)
    lines = states([5 + row % 3 for row in range(photos)], 384, rng)
    learner = rerank_embedded.token_map(stored, lines, [np.array([row]) for row in range(photos)])
    plain = stored[:, 0, :-5].astype(np.float32).reshape(-1, channels)
    assert learner.mean.numpy() == pytest.approx(plain.mean(axis=0), abs=1e-3)
    for start, end in ((0, TOP), (TOP, TOP + MID), (TOP + MID, channels)):  # one scale a level
        wanted_spread = float(plain[:, start:end].std())
        assert learner.spread[start:end].numpy() == pytest.approx(np.full(end - start, wanted_spread), rel=1e-3)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = ImageTower(EmbeddedConfig(image_backbone=BACKBONE, backbone_size=SIZE))
        fold_batch_norms(images)
        images.eval()
        pixels, top, mid = torch.rand(2, 3, 260, 260), torch.randn(2, TOP, 9, 9), 10 * torch.randn(2, MID, 17, 17)
    made = rerank_embedded.projection(learner, images)
    with torch.no_grad():
        second = images.backbone(images.prepared(pixels))
        wanted = learner.tokens(torch.cat([pooled(top), pooled(mid), pooled(second)], dim=2))
        found = made(top, mid, pixels)
        without = made(top, mid, torch.zeros_like(pixels))
    assert found.shape == (2, SIDE**2, DIM)
    assert float(wanted.abs().mean()) > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(found, without, atol=1e-2)  # the second backbone is heard
