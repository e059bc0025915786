"""All choices of a reranker's training; saved as JSON beside what it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmsearch.errors import ConfigError
from mmsearch.rerank import attention, fusion
from mmsearch.rerank.model import RerankConfig
from mmsearch.rerank.vocabulary import SPECIAL
from mmsearch.training.reranker.answers import ALWAYS


@dataclass(frozen=True)
class RerankRecipe:
    """The defaults are those of the reranker that ships, on two CPU cores."""

    steps: int = 800
    # The trunk: see rerank.model.RerankConfig
    attention: str = "bidirectional"
    fusion: str = "gated"
    blocks: int = 2
    width: int = 192
    dropout: float = 0.1
    # A step
    batch: int = 384  # about so many photos, whose pooled sides are compared, all with all
    group: int = 8  # photos that the first stage takes for each other; each caption of a group meets each photo
    groups: int = 12  # groups a step that go through the trunk: groups x group² pairs
    near: int = 50  # of this many nearest photos of the first stage the others of a group are drawn
    questions: int = 64  # with their photos
    things: int = 48  # single words, each with a photo that shows it and one that does not
    captions: int = 64  # photos to be described
    masked: int = 48  # captions with hidden words
    # Weights of the objectives; 0 leaves one out
    pooled: float = 1.0  # softmax over the batch, both sides pooled before they meet
    match: float = 1.0  # softmax over the group, both directions
    changed: float = 0.5  # the caption before the same one with nouns swapped, an attribute or a number changed
    thing: float = 0.25  # a word's photo before one without it
    answer: float = 0.5
    caption: float = 0.5
    masked_words: float = 0.25
    masked_share: float = 0.2  # of the words are hidden for that
    smoothing: float = 0.1  # label smoothing of all of them
    # Rates
    lr: float = 1e-3  # peak
    weight_decay: float = 0.05  # of matrices
    warmup: float = 0.1  # share of the steps in which the rate rises; then it falls as a cosine
    clip: float = 1.0
    ema: float = 0.995  # decay a step of the moving average of the weights, which is what is kept
    # Against learning by heart
    views: int = 4  # augmented views of each photo
    token_dropout: float = 0.1  # share of the values of region tokens and word states set to 0
    region_dropout: float = 0.2  # share of regions hidden from the pooling
    word_dropout: float = 0.1  # share of words hidden
    # Choosing
    dev_every: int = 100  # steps between two looks at dev
    dev_queries: int = 500  # captions of dev that are reranked then
    dev_candidates: int = 30  # photos of the first stage that are reranked then
    answers: int = 1000  # most frequent answers that can be given
    caption_words: int = 2000  # most frequent words that can be said
    caption_least: int = 6  # words; what is shorter names a thing and teaches nobody to describe a photo
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0

    def check(self) -> None:
        """Raises ConfigError for values that make no sense."""
        least = dict.fromkeys(
            ("steps", "groups", "blocks", "width", "views", "dev_every", "dev_queries", "dev_candidates"), 1
        )
        least |= {"group": 2, "batch": self.group, "answers": len(ALWAYS), "caption_words": len(SPECIAL) + 1}
        least |= {"caption_least": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                why = {"group": ": a caption needs another photo to be told from", "batch": ", the size of a group"}
                raise ConfigError(f"{name} must be at least {value}{why.get(name, '')}, not {getattr(self, name)}")
        for name, kinds in (("attention", attention.KINDS), ("fusion", fusion.KINDS)):
            if getattr(self, name) not in kinds:
                raise ConfigError(f"{name} must be one of {', '.join(kinds)}, not {getattr(self, name)!r}")
        if self.width % RerankConfig.heads:
            raise ConfigError(f"width must be a multiple of {RerankConfig.heads}, not {self.width}")
        for name in ("questions", "things", "captions", "masked", "near", "lr", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        for name in ("ema", "smoothing", "dropout", "token_dropout", "region_dropout", "word_dropout", "masked_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if not 0 <= self.warmup <= 1:
            raise ConfigError(f"warmup must be between 0 and 1, not {self.warmup}")
        if not self.clip > 0:
            raise ConfigError(f"clip must be above 0, not {self.clip}")
        weights = (
            self.pooled, self.match, self.changed, self.thing, self.answer, self.caption, self.masked_words,
        )  # fmt: skip
        if min(weights) < 0 or self.match + self.pooled <= 0:
            raise ConfigError("match or pooled must be above 0, and no objective below")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ConfigError(f"precision must be auto, fp32 or bf16, not {self.precision!r}")
