"""What every encoder can do, and the plain facts of a model that any engine needs to run it."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from mmsearch.errors import ModelError
from mmsearch.media.filesystem import read_text
from mmsearch.types import Pixels, Preprocess, Regions, Vectors

Cleaning = Literal["none", "lower", "whitespace", "canonicalize"]  # of texts, by open_clip's names

# Wider than any model known: what is beyond would only take all memory.
WIDEST, LARGEST, LONGEST, MOST_REGIONS = 2**16, 4096, 2**14, 64  # dimensions, pixels, tokens, regions a side


@dataclass(frozen=True)
class TokenRules:
    """How a model wants its texts; ``tokenizer.json`` (of the tokenizers library) holds the vocabulary."""

    context: int  # tokens of a full row
    pad_id: int = 0
    clean: Cleaning = "none"
    fixed_length: bool = True  # rows are always padded to ``context``
    strip_sep_id: int | None = None  # replaced by 0 (SigLIP's strip_sep_token)


@dataclass(frozen=True)
class RegionCard:
    """The facts of a model's region tokens."""

    side: int  # a grid of side * side regions a picture
    dim: int
    projection: str  # hash of what makes tokens of the image tower's states
    model: str = ""  # fingerprint of the model whose very tokens these are, where that is another than this one

    @property
    def fingerprint(self) -> str:
        """16 hex digits over what makes them; tokens are comparable where it and their model's are the same."""
        return _digest({key: value for key, value in asdict(self).items() if key != "model"})


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
    def read(cls, folder: Path) -> ModelCard:
        """That of a model folder.  Raises ModelError, with the name of the file."""
        file = folder / "model.json"
        try:
            return cls.from_json(read_text(file))
        except OSError as error:
            raise ModelError(f"{file} cannot be read: {error.strerror or error}") from error
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ModelError(f"{file} is no model description: {said(error)}") from error

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """What ``to_json`` wrote.  Raises ValueError, TypeError, LookupError, AttributeError or RecursionError."""
        facts = json.loads(text)
        preprocess: Any = {key: tuple(v) if isinstance(v, list) else v for key, v in facts.pop("preprocess").items()}
        regions = facts.pop("regions", None)  # older files have none
        card = cls(
            preprocess=Preprocess(**preprocess),
            tokens=TokenRules(**facts.pop("tokens")),
            regions=None if regions is None else RegionCard(**regions),
            **facts,
        )
        _check(card)
        return card


def _check(card: ModelCard) -> None:
    """Raises ValueError for what no model has."""
    prepared, tokens, regions = card.preprocess, card.tokens, card.regions
    whole_number("dim", card.dim, 1, WIDEST)
    whole_number("size", prepared.size, 1, LARGEST)
    whole_number("fill_color", prepared.fill_color, 0, 255)
    whole_number("context", tokens.context, 1, LONGEST)
    whole_number("pad_id", tokens.pad_id, 0, 2**31)
    if tokens.strip_sep_id is not None:
        whole_number("strip_sep_id", tokens.strip_sep_id, 0, 2**31)
    for name, values in (("mean", prepared.mean), ("std", prepared.std)):
        if len(values) != 3 or not all(isinstance(one, (int, float)) and math.isfinite(one) for one in values):
            raise ValueError(f"{name} is {str(values)[:60]}; wanted are three numbers")
    if 0 in prepared.std:
        raise ValueError("std is 0")
    for name, value, known in (
        ("interpolation", prepared.interpolation, ("bicubic", "bilinear")),
        ("resize_mode", prepared.resize_mode, ("shortest", "longest", "squash")),
        ("clean", tokens.clean, get_args(Cleaning)),
        ("fixed_length", tokens.fixed_length, (True, False)),
    ):
        if value not in known:
            raise ValueError(f"{name} is {str(value)[:60]!r}; known are {', '.join(map(str, known))}")
    texts = [("name", card.name), ("weights", card.weights), ("precision", card.precision)]
    if regions is not None:
        whole_number("side", regions.side, 1, MOST_REGIONS)
        whole_number("dim of the regions", regions.dim, 1, LARGEST)
        texts += [("projection", regions.projection), ("model of the regions", regions.model)]
    for name, text in texts:
        if not isinstance(text, str) or len(text) > LARGEST:
            raise ValueError(f"{name} is {str(text)[:60]!r}; wanted is a text")


def preprocess_from(facts: Mapping[str, Any], name: str) -> Preprocess:
    """What open_clip's ``preprocess_cfg`` of the model ``name`` says about its pictures, in our words.

    Raises ModelError for what is not supported, or makes no sense.
    """
    try:
        size, fill = facts["size"], facts.get("fill_color", 0)
        height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
        interpolation, resize_mode = facts.get("interpolation", "bicubic"), facts.get("resize_mode", "shortest")
        mean, std = (tuple(float(value) for value in facts[key]) for key in ("mean", "std"))
        if height != width:
            raise ModelError(f"{name} wants pictures of {width} x {height} pixels; only square ones are supported")
        if interpolation not in ("bicubic", "bilinear") or resize_mode not in ("shortest", "longest", "squash"):
            raise ModelError(f"{name} resizes by {interpolation} {resize_mode}, which is not supported")
        if len(mean) != 3 or len(std) != 3 or not isinstance(fill, int):
            raise ModelError(f"{name} does not take pictures in RGB")
        return Preprocess(int(height), mean, std, interpolation, resize_mode, fill)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"{name} does not say how its pictures are prepared: {said(error)}") from error


def whole_number(name: str, value: object, least: int, most: int) -> None:
    """Raises ValueError for what is none, or is outside of these."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {str(value)[:60]}; wanted is a whole number from {least} to {most:,}")


def said(error: Exception) -> str:
    """What an error says, cut off where that is long."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return " ".join(str(error).split())[:200] or type(error).__name__


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
