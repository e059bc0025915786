"""Pictures that a query's words make a small generator imagine, as vectors that real pictures are compared with.

The generator was trained on the embedded model's vectors and word states (``mmsearch/training/generation``), so it
serves libraries that are searched with that model.  What it gains and loses is measured in ``docs/imagine.md``: it is
for those who ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.encoder import OnnxEncoder, unit_rows
from mmsearch.encoders.protocol import Encoder, said
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import read_text
from mmsearch.rerank.resolve import SHIPPED as RERANKER
from mmsearch.rerank.words import WordEncoder
from mmsearch.search.retrieval import ParsedQuery, QueryVector
from mmsearch.types import Vectors

FOLDER = EMBEDDED.parent / "imagination"
GRAPH, CARD = "imagination.onnx", "imagination.json"


@dataclass(frozen=True)
class ImaginationCard:
    """What a generator is for."""

    encoder: str  # fingerprint of the model whose pictures it imagines
    noise: int  # values of noise a picture
    pictures: int  # imagined for a query
    weight: float  # what they count for beside the query's words, together

    @classmethod
    def read(cls, folder: Path) -> ImaginationCard:
        """Raises ModelError for a folder without a card that can be read."""
        try:
            given = json.loads(read_text(folder / CARD))
            return cls(**{name: given[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder / CARD} cannot be used: {said(error)}") from error


class Imagination:
    """A text to vectors of pictures.  The same text gets the same ones; safe to use from several threads."""

    def __init__(self, folder: Path, encoder: OnnxEncoder, card: ImaginationCard) -> None:
        self.card, self._encoder, self._file = card, encoder, folder / GRAPH
        self._words = WordEncoder(EMBEDDED, RERANKER / "words.onnx", graph=encoder.text_graph)
        self._graph = onnx_session.Graph([self._file], encoder.threads)
        # Pages are cut from one order, so every search of a text must imagine the same.
        self._noise = np.random.default_rng(0).standard_normal((card.pictures, card.noise), np.float32)

    @classmethod
    def load(cls, encoder: Encoder, folder: Path = FOLDER) -> Imagination:
        """That of this encoder.  Raises ModelError where the folder has none that fits."""
        card = ImaginationCard.read(folder)
        if card.encoder != encoder.card.fingerprint or not isinstance(encoder, OnnxEncoder):
            raise ModelError(
                f"pictures can be imagined for the embedded model only: {encoder.card.name} has vectors of another kind"
            )
        return cls(folder, encoder, card)

    def __call__(self, text: str) -> Vectors:
        """Imagined pictures of a text, (pictures, dim), unit rows.  Raises ModelError."""
        vector = self._encoder.encode_texts([text])
        states, _ = self._words([text])
        given = {"vector": vector, "words": states, "noise": self._noise}
        (found,) = onnx_session.run(self._graph.session(), self._file, ["pictures"], given)
        return unit_rows(found)


def joined(parsed: ParsedQuery, imagined: Vectors, weight: float, each: bool) -> ParsedQuery:
    """The query with imagined pictures (n, dim) beside its words: their mean, or ``each`` by itself.

    Each by itself brings candidates of its own, which is what somebody wants who asks for hits that differ.
    """
    rows = imagined if each else unit_rows(imagined.mean(axis=0, keepdims=True))
    share = weight * parsed.wanted[0].weight / len(rows)
    added: Sequence[QueryVector] = [QueryVector(row, share) for row in rows]
    return replace(parsed, wanted=(*parsed.wanted, *added))
