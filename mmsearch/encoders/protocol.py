"""What every encoder can do, and the plain facts of a model that any engine needs to run it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from mmsearch.types import Pixels, Preprocess, Regions, Vectors


@dataclass(frozen=True)
class TokenRules:
    """How a model wants its texts; ``tokenizer.json`` (of the tokenizers library) holds the vocabulary."""

    context: int  # tokens of a full row
    pad_id: int = 0
    clean: Literal["none", "lower", "whitespace", "canonicalize"] = "none"  # open_clip's name of the cleaning
    fixed_length: bool = True  # rows are always padded to ``context``
    strip_sep_id: int | None = None  # replaced by 0 (SigLIP's strip_sep_token)


@dataclass(frozen=True)
class RegionCard:
    """The facts of a model's region tokens."""

    side: int  # a grid of side * side regions a picture
    dim: int
    projection: str  # hash of what makes tokens of the image tower's states

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all of it; tokens are comparable where it and the model's own fingerprint are the same."""
        return _digest(asdict(self))


@dataclass(frozen=True)
class ModelCard:
    """The facts of one model; ``model.json`` beside its weights or exported graphs."""

    name: str  # as the user would give it to --model
    dim: int
    preprocess: Preprocess
    tokens: TokenRules
    weights: str  # sha256 over the weights
    precision: str = "float32"  # of the stored weights, such as "float32" or "int8"
    regions: RegionCard | None = None  # None where the model gives vectors only

    @functools.cached_property  # each search asks several times
    def fingerprint(self) -> str:
        """16 hex digits over everything that changes a vector; the name and the region tokens do not."""
        return _digest({key: value for key, value in asdict(self).items() if key not in ("name", "regions")})

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        facts = json.loads(text)
        preprocess: Any = {key: tuple(v) if isinstance(v, list) else v for key, v in facts.pop("preprocess").items()}
        regions = facts.pop("regions", None)  # older files have none
        return cls(
            preprocess=Preprocess(**preprocess),
            tokens=TokenRules(**facts.pop("tokens")),
            regions=None if regions is None else RegionCard(**regions),
            **facts,
        )


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


class Encoder(Protocol):
    """Pictures and texts into one space.  Safe to call from several threads.

    Every engine of a model answers these alike (``tests/encoders/test_encoder_contract.py``).
    """

    measured: Path | None  # a file that remembers what is measured of this machine; None forgets it with the process

    @property
    def card(self) -> ModelCard:
        """The facts of the model, the same in every engine."""
        ...

    @property
    def device(self) -> str:
        """Where it runs, as torch calls it: ``cpu``, ``cuda`` or ``cuda:0``; of several devices the first."""
        ...

    @property
    def batch(self) -> int:
        """How many pictures are best given at once, for all its devices together; 0 where it does not matter."""
        ...

    @property
    def folder(self) -> Path | None:
        """The model folder, where files about the model lie beside its graphs, such as its calibration and its bank.

        The same in every engine that runs a model out of a folder; None for a model that has none.
        """
        ...

    def encode_images(self, pixels: Pixels) -> Vectors:
        """``pixels`` (n, size, size, 3) uint8, prepared as ``card.preprocess`` says -> (n, dim) float32, unit rows."""
        ...

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        """Vectors as ``encode_images`` gives them, and the tokens of ``card.regions`` from the same run.

        The tokens are (n, side * side, dim) float32 of any length; None where the card has no regions.
        """
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """n texts -> (n, dim) float32, unit rows."""
        ...
