"""Three kinds of attention between the words of a text and the regions of a photo, with one interface.

Each takes words (n, t, d), a mask (n, t) bool that is True where a word counts, and regions (n, r, d), which all count.
Each gives ``Attended``.  Attention is written out as products and softmax, linear layers see flat rows and all their
weights are matrices: so a block exports to ONNX with any n and t, and its weights can be stored as int8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.errors import ConfigError


@dataclass(frozen=True)
class AttentionConfig:
    """The shape of a block; the same for all kinds."""

    width: int = 256  # of a word and of a region
    heads: int = 4  # attention maps at a time; must divide the width
    feed_forward: int = 2  # hidden units of the feed-forward layers, in widths
    dropout: float = 0.1  # of what each step adds to the states


class Attended(NamedTuple):
    """What a block gives back."""

    words: Tensor  # (n, t, d), what was added to them included; rows of padding mean nothing
    regions: Tensor  # (n, r, d)
    weights: Tensor  # (n, t, r): how much each word looked at each region, mean of the heads; rows sum to 1


class RowLinear(nn.Linear):
    """A linear layer over (n, s, d) as one product of matrices, (n s, d) x (d, out)."""

    def forward(self, states: Tensor) -> Tensor:
        rows: Tensor = super().forward(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        return rows


class FeedForward(nn.Module):
    """States (n, s, d) -> states with two pre-normed layers added (Vaswani et al. 2017, with GELU)."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        hidden = config.feed_forward * config.width
        self.norm = nn.LayerNorm(config.width)
        self.widen = RowLinear(config.width, hidden)
        self.narrow = RowLinear(hidden, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, states: Tensor) -> Tensor:
        added: Tensor = self.drop(self.narrow(F.gelu(self.widen(self.norm(states)))))
        return states + added


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017): each of ``asking`` (n, s, d) reads from ``context`` (n, u, d).

    ``bias`` (n, u, 1) is added to the scores of the context, see ``padding_bias``.  Gives what was read (n, s, d) and
    the weights (n, s, u), mean of the heads.  Keys have no bias: it would shift all scores of a row alike.
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = RowLinear(config.width, config.width)
        self.key = RowLinear(config.width, config.width, bias=False)
        self.value = RowLinear(config.width, config.width)
        self.out = RowLinear(config.width, config.width)

    def forward(self, asking: Tensor, context: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        query, key, value = (split(x, self.heads) for x in (self.query(asking), self.key(context), self.value(context)))
        scores = affinity(query, key)  # (n, h, s, u)
        if bias is not None:
            scores = scores + bias.unsqueeze(1).transpose(2, 3)  # (n, 1, 1, u)
        weights = scores.softmax(dim=-1)
        return self.out(merge(weights @ value)), weights.mean(dim=1)


def padding_bias(mask: Tensor, states: Tensor) -> Tensor:
    """(n, t, 1) in the dtype of ``states``: 0 where a word counts and -1e4 where not, which float16 can hold."""
    return torch.zeros_like(mask, dtype=states.dtype).masked_fill(~mask, -1e4).unsqueeze(2)


def split(states: Tensor, heads: int) -> Tensor:
    """(n, s, d) -> (n, h, s, d / h)"""
    parts: Tensor = states.unflatten(2, (heads, -1)).transpose(1, 2)
    return parts


def merge(states: Tensor) -> Tensor:
    """(n, h, s, d / h) -> (n, s, d)"""
    return states.transpose(1, 2).flatten(2)


def affinity(queries: Tensor, keys: Tensor) -> Tensor:
    """(n, h, t, c) and (n, h, r, c) -> (n, h, t, r), products divided by the square root of c."""
    scale: float = queries.shape[3] ** -0.5
    return (queries * scale) @ keys.transpose(2, 3)


def both_ways(scores: Tensor, bias: Tensor, words: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One affinity matrix read along both sides: words look at regions, and regions at words.

    ``scores`` (n, h, t, r); ``bias`` (n, t, 1) takes padding out; values of ``words`` (n, h, t, c) and of ``regions``
    (n, h, r, c).  Gives what the words saw (n, t, d), what the regions read (n, r, d) and the weights (n, t, r).
    """
    looks = scores.softmax(dim=3)
    reads = (scores + bias.unsqueeze(1)).softmax(dim=2)
    seen = merge(looks @ regions)  # (n, h, t, r) x (n, h, r, c) -> (n, t, d)
    read = merge(reads.transpose(2, 3) @ words)  # (n, h, r, t) x (n, h, t, c) -> (n, r, d)
    return seen, read, looks.mean(dim=1)


class Bidirectional(nn.Module):
    """Each side attends to the other through one shared affinity matrix, then a feed-forward layer a side.

    The matrix is that of BiDAF (Seo et al. 2017) and of parallel co-attention (Lu et al. 2016), multi-head as in
    GLIP (Li et al. 2022): a softmax along the regions for the words, along the words for the regions.
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm_words, self.norm_regions = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = RowLinear(width, width), RowLinear(width, width)
        self.word_value, self.region_value = RowLinear(width, width), RowLinear(width, width)
        self.word_out, self.region_out = RowLinear(width, width), RowLinear(width, width)
        self.drop = nn.Dropout(config.dropout)
        self.word_forward, self.region_forward = FeedForward(config), FeedForward(config)

    def forward(self, words: Tensor, word_mask: Tensor, regions: Tensor) -> Attended:
        w, r = self.norm_words(words), self.norm_regions(regions)
        scores = affinity(split(self.query(w), self.heads), split(self.key(r), self.heads))  # (n, h, t, r)
        values = split(self.word_value(w), self.heads), split(self.region_value(r), self.heads)
        seen, read, weights = both_ways(scores, padding_bias(word_mask, words), *values)
        words = self.word_forward(words + self.drop(self.word_out(seen)))
        regions = self.region_forward(regions + self.drop(self.region_out(read)))
        return Attended(words, regions, weights)


class Stream(nn.Module):
    """One side of co-attention: it attends to the other side, then to itself, then a feed-forward layer.

    ``this`` and ``other`` are the states of both sides before the block, normed.  Gives the states (n, s, d) and the
    weights of the attention to the other side (n, s, u).
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.cross, self.within = Attention(config), Attention(config)
        self.norm = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)
        self.feed_forward = FeedForward(config)

    def forward(
        self, states: Tensor, this: Tensor, bias: Tensor | None, other: Tensor, other_bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        seen, weights = self.cross(this, other, other_bias)
        states = states + self.drop(seen)
        normed = self.norm(states)
        states = states + self.drop(self.within(normed, normed, bias)[0])
        return self.feed_forward(states), weights


class CoAttention(nn.Module):
    """Two parallel streams with weights of their own that exchange keys and values.

    ViLBERT (Lu et al. 2019); each stream in the order of LXMERT (Tan and Bansal 2019): cross-attention,
    self-attention, feed-forward.  Both streams see the other's states from before the block.
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.norm_words, self.norm_regions = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.words, self.regions = Stream(config), Stream(config)

    def forward(self, words: Tensor, word_mask: Tensor, regions: Tensor) -> Attended:
        bias = padding_bias(word_mask, words)
        w, r = self.norm_words(words), self.norm_regions(regions)
        attended_words, weights = self.words(words, w, bias, r, None)
        attended_regions, _ = self.regions(regions, r, None, w, bias)
        return Attended(attended_words, attended_regions, weights)


class Phrases(nn.Module):
    """Words (n, t, d) -> phrases (n, t, d): the largest of the 1-, 2- and 3-gram that start at each word.

    An n-gram is tanh(W [word, next, …]) with zeros after the last word (Lu et al. 2016, section 3.2): a convolution
    over the words, written as matrices.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.grams = nn.ModuleList(RowLinear(size * width, width) for size in (1, 2, 3))

    def forward(self, words: Tensor, word_mask: Tensor) -> Tensor:
        padded = F.pad(words * word_mask.unsqueeze(2), (0, 0, 0, 2))  # (n, t + 2, d)
        window = torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], dim=2)  # (n, t, 3 d)
        one, two, three = (gram(window[:, :, : gram.in_features]) for gram in self.grams)
        return torch.maximum(torch.maximum(one, two), three).tanh()  # tanh grows, so it may come after the maximum


class Level(nn.Module):
    """What a level of ``Hierarchical`` has of its own: it meets the regions and joins with the level below."""

    def __init__(self, config: AttentionConfig, below: bool) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.query, self.value = RowLinear(width, width), RowLinear(width, width)
        self.join = RowLinear(2 * width if below else width, width)

    def forward(
        self, states: Tensor, bias: Tensor, keys: Tensor, values: Tensor, below: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``keys`` and ``values`` (n, h, r, c).  Gives states (n, t, d), what regions read (n, r, d), weights."""
        scores = affinity(split(self.query(states), self.heads), keys)  # (n, h, t, r)
        seen, read, weights = both_ways(scores, bias, split(self.value(states), self.heads), values)
        joined = states + seen if below is None else torch.cat([states + seen, below], dim=2)
        return self.join(joined).tanh(), read, weights


class Hierarchical(nn.Module):
    """Words, phrases and the sentence each attend to the regions, and the regions to them (Lu et al. 2016).

    At each level words and regions share an affinity matrix, as in ``Bidirectional``.  Levels are joined from below:
    h = tanh(W [q + v, h below]) with q the states and v what they saw; the last h is added to the words.  The regions
    get what they read at all levels.  Two things differ from the paper.  The sentence level is one layer of
    self-attention where the paper has an LSTM: it exports to ONNX well, and words from an encoder carry their context
    already.  All levels use the same keys and values of the regions: that saves 4 of 6 products over the regions,
    which are most of the work.  ``weights`` is the mean of the three levels.
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm_words, self.norm_regions = nn.LayerNorm(width), nn.LayerNorm(width)
        self.phrases = Phrases(width)
        self.norm_phrases, self.within = nn.LayerNorm(width), Attention(config)
        self.key, self.value = RowLinear(width, width), RowLinear(width, width)
        self.levels = nn.ModuleList(Level(config, below) for below in (False, True, True))
        self.region_out = RowLinear(width, width)
        self.drop = nn.Dropout(config.dropout)
        self.word_forward, self.region_forward = FeedForward(config), FeedForward(config)

    def forward(self, words: Tensor, word_mask: Tensor, regions: Tensor) -> Attended:
        bias = padding_bias(word_mask, words)
        r = self.norm_regions(regions)
        keys, values = split(self.key(r), self.heads), split(self.value(r), self.heads)

        w = self.norm_words(words)
        phrases = self.phrases(w, word_mask)
        normed = self.norm_phrases(phrases)
        sentence = phrases + self.within(normed, normed, bias)[0]

        joined, reads, looks = None, [], []
        for level, states in zip(self.levels, (w, phrases, sentence), strict=True):
            joined, read, weights = level(states, bias, keys, values, joined)
            reads.append(read)
            looks.append(weights)
        words = self.word_forward(words + self.drop(joined))
        regions = self.region_forward(regions + self.drop(self.region_out(sum(reads) / 3)))
        return Attended(words, regions, sum(looks) / 3)


KINDS: dict[str, Callable[[AttentionConfig], nn.Module]] = {
    "bidirectional": Bidirectional,
    "co-attention": CoAttention,
    "hierarchical": Hierarchical,
}


def attention(kind: str, config: AttentionConfig) -> nn.Module:
    """A block of one of ``KINDS``: ``forward(words, word_mask, regions) -> Attended``.

    Raises ConfigError when the kind is unknown or the heads do not divide the width.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no attention of kind {kind!r}; there are: {', '.join(KINDS)}")
    if config.width % config.heads:
        raise ConfigError(f"a width of {config.width} cannot be split over {config.heads} heads: give a multiple")
    return KINDS[kind](config)
