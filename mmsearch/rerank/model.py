"""The reranker in torch: one trunk over words and regions, and its heads.

In: states of a text's words from a frozen text encoder, and the region tokens of a photo as they are stored.  A few
blocks of cross-modal attention (``attention.py``) let both sides see each other; what they make of it is pooled, fused
(``fusion.py``) and read by the heads:

- match: does this text describe this photo?  (Image-text matching: ALBEF, Li et al. 2021.)  Its logit is what the
  blocks say plus the similarity of both sides pooled before they have met, the contrastive head of ALBEF.
- answer: which answer to this question does the photo give?  A softmax over a vocabulary of answers (VQA, Antol et
  al. 2015).
- caption: ``decoder.py``, which sees the regions alone.
- masked words: guesses hidden words from the photo; it only helps training (BERT, Devlin et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders.torch.embedded_towers import AttentionPool
from mmsearch.rerank.attention import AttentionConfig, RowLinear, attention
from mmsearch.rerank.decoder import CaptionDecoder
from mmsearch.rerank.fusion import FusionConfig, fusion


@dataclass(frozen=True)
class RerankConfig:
    """The shape of a reranker; saved in ``reranker.json`` beside the weights."""

    region_dim: int  # of a stored region token
    side: int = 7  # the grid has side x side regions
    text_width: int = 384  # of a word's state
    attention: str = "bidirectional"  # see attention.KINDS
    fusion: str = "gated"  # see fusion.KINDS
    blocks: int = 2  # of cross-modal attention
    width: int = 192  # of a state in the trunk
    heads: int = 4
    dropout: float = 0.1
    pooled: int = 256  # dimensions of the space in which pooled words and pooled regions are compared
    answers: int = 0  # of the answer vocabulary
    caption_words: int = 0  # of the caption vocabulary, special ones included
    caption_blocks: int = 2


class Joined(NamedTuple):
    """Words and regions after the blocks."""

    words: Tensor  # (n, t, width)
    regions: Tensor  # (n, r, width)
    weights: Tensor  # (n, t, r): how much each word looks at each region, mean of the blocks; rows sum to 1
    fused: Tensor  # (n, width)


class Summary(nn.Module):
    """States (n, s, width) and a mask (n, s) -> one row (n, width): their mean, weighed by a learned score."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.score = RowLinear(width, 1)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        states = self.norm(states)
        scores = self.score(states)  # (n, s, 1)
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(2), -1e4)
        mean: Tensor = (scores.softmax(dim=1).transpose(1, 2) @ states).squeeze(1)  # (n, 1, s) x (n, s, w)
        return mean


class RerankModel(nn.Module):
    """Trunk and heads.  All methods take and give tensors of n pairs; ``mask`` (n, t) is True where a word counts."""

    def __init__(self, config: RerankConfig) -> None:
        super().__init__()
        width, drop = config.width, config.dropout
        self.config = config
        self.word_norm = nn.LayerNorm(config.text_width)
        self.word_in = RowLinear(config.text_width, width)
        self.region_in = RowLinear(config.region_dim, width)
        self.places = nn.Parameter(torch.zeros(config.side**2, width))  # where a region is
        self.region_mix = nn.Sequential(nn.LayerNorm(width), RowLinear(width, 2 * width), nn.GELU())
        self.region_out = RowLinear(2 * width, width)
        self.drop = nn.Dropout(drop)

        shape = AttentionConfig(width, config.heads, 2, drop)
        self.blocks = nn.ModuleList(attention(config.attention, shape) for _ in range(config.blocks))
        self.word_summary, self.region_summary = Summary(width), Summary(width)
        self.fusion = fusion(config.fusion, FusionConfig(width, dropout=drop))
        self.fused_norm = nn.LayerNorm(width)

        self.word_pool = AttentionPool(config.text_width, config.pooled, 8)
        self.region_pool = AttentionPool(width, config.pooled, 8)
        self.log_scale = nn.Parameter(torch.tensor(20.0).log())  # of the pooled similarity
        self.match_head = nn.Linear(width, 1)
        self.answer_head = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(drop), nn.Linear(2 * width, config.answers)
        )
        self.decoder = CaptionDecoder(config.caption_words, width, config.heads, config.caption_blocks, drop)
        nn.init.normal_(self.places, std=0.02)

    def see(self, tokens: Tensor) -> Tensor:
        """Stored region tokens (n, r, region_dim) -> regions (n, r, width)."""
        regions: Tensor = self.region_in(tokens) + self.places
        added: Tensor = self.region_out(self.region_mix(regions))
        seen: Tensor = regions + self.drop(added)
        return seen

    def read(self, states: Tensor) -> Tensor:
        """States of words (n, t, text_width) -> words (n, t, width)."""
        words: Tensor = self.drop(self.word_in(self.word_norm(states)))
        return words

    def pooled_texts(self, states: Tensor, mask: Tensor) -> Tensor:
        """States of words -> unit rows (n, pooled)."""
        return F.normalize(self.word_pool(states, mask), dim=-1)

    def pooled_photos(self, regions: Tensor, mask: Tensor | None = None) -> Tensor:
        """Regions (n, r, width) -> unit rows (n, pooled)."""
        return F.normalize(self.region_pool(regions, mask), dim=-1)

    def join(self, words: Tensor, mask: Tensor, regions: Tensor) -> Joined:
        """Words and regions through the blocks, and fused."""
        looks = []
        for block in self.blocks:
            words, regions, weights = block(words, mask, regions)
            looks.append(weights)
        fused = self.fusion(self.word_summary(words, mask), self.region_summary(regions))
        return Joined(words, regions, torch.stack(looks).mean(dim=0), self.fused_norm(fused))

    def matches(self, fused: Tensor) -> Tensor:
        """What the blocks say of the match, (n,)."""
        logits: Tensor = self.match_head(fused).squeeze(1)
        return logits

    def answers(self, fused: Tensor) -> Tensor:
        """Logits over the answer vocabulary, (n, answers)."""
        logits: Tensor = self.answer_head(fused)
        return logits

    def scale(self) -> Tensor:
        """The inverse temperature of the pooled similarity; CLIP's limit of 100."""
        return self.log_scale.exp().clamp(max=100.0)

    def forward(self, states: Tensor, mask: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Everything about n pairs: match logits (n,), answer logits (n, answers), attention (n, t, r)."""
        regions = self.see(tokens)
        joined = self.join(self.read(states), mask, regions)
        pooled = self.pooled_texts(states, mask) * self.pooled_photos(regions)  # (n, pooled)
        match = self.matches(joined.fused) + self.scale() * pooled.sum(dim=1)
        return match, self.answers(joined.fused), joined.weights
