"""What is known of a reranker: ``reranker.json`` in its folder."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmsearch.encoders.protocol import LARGEST, MOST_REGIONS, ModelCard, said, whole_number
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import read_text
from mmsearch.rerank.fusion_rules import RULES, Rule
from mmsearch.rerank.vocabulary import SPECIAL

GRAPHS = ("words.onnx", "match.onnx", "caption.onnx")


def region_key(card: ModelCard) -> str:
    """What tells the region tokens of one encoder from those of every other; "" where it gives none.

    A model that was trained further with its image tower as it was gives those of the model before it.
    """
    if card.regions is None:
        return ""
    return f"{card.regions.model or card.fingerprint}-{card.regions.fingerprint}"


@dataclass(frozen=True)
class RerankCard:
    """What a reranker is, and how its scores are used."""

    name: str
    regions: str  # ``region_key`` of the encoder whose region tokens it was trained on
    side: int  # of the grid of regions
    region_dim: int  # of a region token
    rule: Rule  # how first-stage score and match become one, see combine.py
    weight: float  # of the match in the rule "weighted"
    helps: bool  # whether it was measured to help: then it is on by default
    answers: tuple[str, ...]  # that it can give
    caption_words: tuple[str, ...]  # that it can say; the first ones are vocabulary.SPECIAL
    # Log-odds of the answer yes: so much of those of the answer head, of the match of what is asked about, and of 1.
    yes: tuple[float, float, float] = (1.0, 0.0, 0.0)
    weights: str = ""  # sha256 over the graphs
    recipe: dict[str, Any] = field(default_factory=dict)  # how it was trained, and the figures on dev

    @classmethod
    def of(cls, folder: Path, **values: Any) -> RerankCard:
        """The card of the graphs in ``folder``."""
        digest = hashlib.sha256()
        for name in GRAPHS:
            digest.update((folder / name).read_bytes())
        return replace(cls(**values), weights=digest.hexdigest())

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the weights and what words they stand for."""
        identity = json.dumps([self.weights, self.regions, self.answers, self.caption_words])
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, folder: Path) -> RerankCard:
        """Raises ModelError when ``folder`` is no reranker's folder."""
        if not folder.is_dir():
            raise ModelError(f"there is no folder {folder}, which should hold a reranker")
        missing = [name for name in ("reranker.json", *GRAPHS) if not (folder / name).is_file()]
        if missing:
            raise ModelError(f"{folder} is no reranker's folder: {', '.join(missing)} missing")
        try:
            values: dict[str, Any] = json.loads(read_text(folder / "reranker.json"))
            for name in ("answers", "caption_words"):
                if not isinstance(values[name], list):
                    raise TypeError(f"{name} is no list")
                values[name] = tuple(values[name])
            of_head, of_match, constant = map(float, values.get("yes", cls.yes))
            values["yes"] = of_head, of_match, constant
            card = cls(**values)
            _check(card)
            return card
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise ModelError(f"{folder / 'reranker.json'} is no description of a reranker: {said(error)}") from error


def _check(card: RerankCard) -> None:
    """Raises ValueError for what no reranker has."""
    if card.rule not in RULES:
        raise ValueError(f"there is no rule {str(card.rule)[:60]!r}")
    whole_number("side", card.side, 1, MOST_REGIONS)
    whole_number("region_dim", card.region_dim, 1, LARGEST)
    if not all(math.isfinite(number) for number in (card.weight, *card.yes)):
        raise ValueError("weight and yes must be finite numbers")
    if type(card.helps) is not bool or not isinstance(card.recipe, dict):
        raise ValueError("helps must be true or false, recipe an object")
    words = (card.name, card.regions, card.weights, *card.answers, *card.caption_words)
    if not all(isinstance(word, str) and len(word) <= LARGEST for word in words):
        raise ValueError("a name, an answer or a word is no text")
    if card.caption_words[: len(SPECIAL)] != SPECIAL or len(card.caption_words) == len(SPECIAL):
        raise ValueError(f"its caption_words must begin with {' '.join(SPECIAL)}, and have more")
