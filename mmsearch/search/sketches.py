"""Rough pictures from region tokens: what a text makes the engine look for, and photos whose files are away.

A small decoder was trained on photos and their tokens by the embedded model (``training/generation/sketches``).  It
draws where things are and in which colours; it invents the rest.  ``docs/imagine.md`` says what is to be expected.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.protocol import ModelCard, said
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import read_text
from mmsearch.search.imagination import FOLDER
from mmsearch.types import Pixels, Regions, Vectors

DECODER, TOKENS, CARD = "sketch.onnx", "tokens.onnx", "sketch.json"


@dataclass(frozen=True)
class SketchCard:
    """What a decoder is for."""

    encoder: str  # fingerprint of the model whose region tokens it draws
    regions: str  # fingerprint of these tokens' card
    noise: int  # values of noise that imagined tokens take
    spread: float  # of imagined tokens, as a share of that of photos whose vectors are alike
    mean: list[float]  # of the tokens' values, for comparing regions
    scale: list[float]  # their spread

    @classmethod
    def read(cls, folder: Path) -> SketchCard:
        """Raises ModelError for a folder without a card that can be read."""
        try:
            given = json.loads(read_text(folder / CARD))
            return cls(**{name: given[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder / CARD} cannot be used: {said(error)}") from error


class Sketches:
    """Region tokens to pixels, and vectors to region tokens.  Safe to use from several threads."""

    def __init__(self, folder: Path = FOLDER, threads: int = 0) -> None:
        """Each graph is loaded when it is first used.  Raises ModelError where the folder has no card."""
        self.card = SketchCard.read(folder)
        self._decoder, self._tokens = folder / DECODER, folder / TOKENS
        self._graphs = {file: onnx_session.Graph([file], threads) for file in (self._decoder, self._tokens)}

    def fits(self, model: ModelCard) -> bool:
        """Whether it draws the region tokens of this model."""
        regions = None if model.regions is None else model.regions.fingerprint
        return (self.card.encoder, self.card.regions) == (model.fingerprint, regions)

    def draw(self, tokens: Regions) -> Pixels:
        """Sketches of region tokens (n, side², dim) as the embedded model gives them: (n, 128, 128, 3) uint8, RGB.

        A photo of another shape is squashed to a square, as the model saw it.  Raises ModelError.
        """
        session = self._graphs[self._decoder].session()
        found: Pixels = onnx_session.run(session, self._decoder, ["pixels"], {"tokens": tokens})[0]  # type: ignore[assignment]  # uint8
        return found

    def tokens(self, vectors: Vectors, seed: int = 0) -> Regions:
        """Region tokens (n, side², dim) that pictures with these vectors (n, dim) may have; the same for one seed."""
        noise = self.card.spread * np.random.default_rng(seed).standard_normal((len(vectors), self.card.noise))
        given = {"vectors": vectors, "noise": noise.astype(np.float32)}
        found: Regions = onnx_session.run(self._graphs[self._tokens].session(), self._tokens, ["tokens"], given)[0]
        return found

    def standardized(self, tokens: Regions) -> Regions:
        """Tokens whose values have mean 0 and spread 1 over photos: so inner products tell what regions share."""
        mean, scale = np.array(self.card.mean, np.float32), np.array(self.card.scale, np.float32)
        rows: Regions = ((tokens - mean) / scale).astype(np.float32)
        return rows
