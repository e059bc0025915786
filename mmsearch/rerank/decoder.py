"""The caption head: a small Transformer decoder over the regions of a photo (Vaswani et al. 2017; the words are ours).

``captions.py`` runs it, a word at a time, with beam search.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.rerank.attention import Attention, AttentionConfig, FeedForward, RowLinear, affinity, merge, split
from mmsearch.rerank.vocabulary import LONGEST


class _Before(nn.Module):
    """Self-attention in which a word sees itself and the words before it."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.inner = RowLinear(config.width, 3 * config.width)
        self.out = RowLinear(config.width, config.width)

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        query, key, value = (split(part, self.heads) for part in self.inner(states).chunk(3, dim=2))
        scores = affinity(query, key) + hidden  # (n, h, t, t)
        seen: Tensor = self.out(merge(scores.softmax(dim=-1) @ value))
        return seen


class _Block(nn.Module):
    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.norm, self.look_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.before, self.look = _Before(config), Attention(config)
        self.drop = nn.Dropout(config.dropout)
        self.feed_forward = FeedForward(config)

    def forward(self, states: Tensor, hidden: Tensor, regions: Tensor) -> Tensor:
        states = states + self.drop(self.before(self.norm(states), hidden))
        states = states + self.drop(self.look(self.look_norm(states), regions)[0])
        following: Tensor = self.feed_forward(states)
        return following


class CaptionDecoder(nn.Module):
    """Words so far (n, t) int64, beginning with START, and regions (n, r, width) -> logits of the next, (n, t, words).

    Input and output share one table of word vectors (Press and Wolf 2017).
    """

    def __init__(self, words: int, width: int, heads: int, blocks: int, dropout: float) -> None:
        super().__init__()
        config = AttentionConfig(width, heads, 2, dropout)
        self.words = nn.Embedding(words, width)
        self.positions = nn.Parameter(torch.zeros(LONGEST, width))
        self.region_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(blocks))
        self.drop = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(words))
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, words: Tensor, regions: Tensor) -> Tensor:
        positions = torch.arange(words.shape[1], device=words.device)
        hidden = torch.where(positions[None, :] > positions[:, None], -1e4, 0.0)  # (t, t): what comes later
        states = self.drop(self.words(words) + self.positions[: words.shape[1]])
        regions = self.region_norm(regions)
        for block in self.blocks:
            states = block(states, hidden.to(states.dtype), regions)
        logits: Tensor = F.linear(self.norm(states), self.words.weight) + self.bias  # (n, t, w) x (w, words)
        return logits
