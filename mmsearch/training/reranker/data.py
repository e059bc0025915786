"""What a reranker learns from, encoded once: region tokens of photos, states of texts' words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import ModelError
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.contrastive.prefix_cache import TokenStates
from mmsearch.types import Pixels, Vectors

TOGETHER = 64  # texts encoded in one go
Numbers = NDArray[np.int64]
CAPTION_QUESTIONS, WRITTEN_QUESTIONS = 0, 1  # sources of questions


class Photos:
    """Region tokens of photos in several views, and their vectors; rows are photos."""

    def __init__(self, stored: NDArray[np.float16], regions: int, dim: int) -> None:
        """``stored`` (photos, views, regions * dim + vector), as ``RegionTrainee`` makes them."""
        self.stored, self.regions, self.dim = stored, regions, dim

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def views(self) -> int:
        return int(self.stored.shape[1])

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """A view of each photo, (n, regions, dim) float32."""
        return self._tokens(rows, rng.integers(0, self.views, len(rows)))

    def plain(self, rows: NDArray[np.int64]) -> Tensor:
        return self._tokens(rows, np.zeros(len(rows), np.int64))

    def _tokens(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> Tensor:
        found = self.stored[rows, views][:, : self.regions * self.dim].astype(np.float32)
        return torch.from_numpy(found.reshape(len(rows), self.regions, self.dim))

    def vectors(self) -> Vectors:
        """Of the photos as they are, (photos, vector) float32, unit rows."""
        found = self.stored[:, 0, self.regions * self.dim :].astype(np.float32)
        unit: Vectors = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return unit


class RegionTrainee:
    """An encoder in the shape that ``prefix_cache.image_views`` wants: pixels to flat tokens with the vector behind."""

    def __init__(self, encoder: Encoder) -> None:
        if encoder.card.regions is None:
            raise ModelError(f"{encoder.card.name} gives no region tokens, which a reranker needs")
        self._encoder, self.regions = encoder, encoder.card.regions

    def image_prefix(self, pixels: Tensor) -> Tensor:
        given: Pixels = pixels.numpy()
        vectors, regions = self._encoder.encode_pictures(given)
        assert regions is not None
        return torch.from_numpy(np.concatenate([regions.reshape(len(given), -1), vectors], axis=1))


@dataclass(frozen=True)
class Lines:
    """Texts as states of their words; rows are texts."""

    states: TokenStates
    ids: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """States padded to the longest (n, t, width) and a mask (n, t)."""
        lengths = np.array([len(self.ids[row]) for row in rows])
        mask = torch.from_numpy(np.arange(int(lengths.max()))[None, :] < lengths[:, None])
        return self.states.batch(rows), mask


def encode_lines(
    words: WordEncoder, texts: Sequence[str], report: Callable[[int, int], None] | None = None,
    ids: list[NDArray[np.int64]] | None = None,
) -> Lines:  # fmt: skip
    """Texts through the frozen text encoder; ``ids`` where they are not those of the texts (hidden words)."""
    if ids is None:
        ids = []
        for start in range(0, len(texts), 1024):
            rows = words.tokenize(texts[start : start + 1024])
            ids += [row[: int((row != 0).sum())] for row in rows]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
    states: NDArray[np.float16] | None = None
    order = sorted(range(len(ids)), key=lambda text: len(ids[text]))  # little padding
    for start in range(0, len(order), TOGETHER):
        some = order[start : start + TOGETHER]
        given = np.zeros((len(some), len(ids[some[-1]])), np.int64)
        for place, row in enumerate(some):
            given[place, : len(ids[row])] = ids[row]
        found = words.run(given).astype(np.float16)
        if states is None:
            states = np.empty((int(starts[-1]), found.shape[2]), np.float16)
        for place, row in enumerate(some):
            states[starts[row] : starts[row + 1]] = found[place, : len(ids[row])]
        if report is not None:
            report(start + len(some), len(order))
    if states is None:
        states = np.empty((0, 1), np.float16)
    return Lines(TokenStates(states, starts), ids)


def hide(
    ids: list[NDArray[np.int64]], share: float, mask_id: int, rng: np.random.Generator
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.bool_]]]:
    """Copies of texts' ids with a share of the words, at least one, replaced by ``mask_id``; and which ones.

    The first and the last token, which mark the ends, stay.
    """
    hidden_ids, hidden = [], []
    for row in ids:
        chosen = np.zeros(len(row), bool)
        inner = len(row) - 2
        if inner > 0:
            count = max(1, round(share * inner))
            chosen[1 + rng.choice(inner, count, replace=False)] = True
        hidden_ids.append(np.where(chosen, mask_id, row))
        hidden.append(chosen)
    return hidden_ids, hidden


@dataclass(frozen=True)
class Thing:
    """A thing that some photos are said to show, and that others surely do not."""

    line: int  # row of lines
    shown: Numbers  # rows of photos; at least one
    absent: Numbers  # the same


@dataclass(frozen=True)
class TrainData:
    """Everything a run learns from; rows of ``photos`` are photos, rows of ``lines`` texts."""

    photos: Photos
    lines: Lines
    captions: list[Numbers]  # of each captioned photo, rows of lines; the captioned photos come first in ``photos``
    changed: Numbers  # (captions,): the row of a false version of each caption, -1 where there is none
    masked: Numbers  # (m,): rows of lines with hidden words
    masked_photo: Numbers  # (m,)
    masked_words: list[Numbers]  # of each, the hidden words as classes, -1 where a word is not hidden
    said: list[Numbers]  # of each caption, which are the first lines, its words in the caption vocabulary
    describes: NDArray[np.bool_]  # (captions,): whether it is learned as a description, and not only matched
    questions: Numbers  # (q,): rows of lines
    question_photo: Numbers  # (q,)
    answers: list[Numbers]  # the right answers of each question, as classes; at least one
    sources: Numbers  # (q,): questions of one source are drawn as often as those of another
    near: Numbers  # (captioned photos, k): other photos that the first stage finds by this one's captions
    alike: Numbers  # (captioned photos,): the same number where photos share a caption; no wrong answers to each other
    things: list[Thing]  # single words, with photos that show them and photos that do not
    classes: int = 0  # of hidden words


@dataclass(frozen=True)
class EvalData:
    """What a model is judged by."""

    tokens: Tensor  # (photos, regions, dim)
    lines: Lines
    captions: NDArray[np.int64]  # (q,): rows of lines
    owner: NDArray[np.int64]  # (q,): photo of each
    first: NDArray[np.float32]  # (q, k) first-stage scores of the candidates, best first
    candidates: NDArray[np.int64]  # (q, k) photos
    changed: NDArray[np.int64]  # (q,): row of lines of a false version, -1 where there is none
    kinds: list[str]  # of the false version
    near: NDArray[np.float32]  # (q, 2): first-stage scores of the own photo with the caption and with its false version
    questions: NDArray[np.int64]  # (a,): rows of lines
    question_photo: NDArray[np.int64]
    answers: list[str]
    asked: list[str]
    sources: NDArray[np.int64]
    things: NDArray[np.int64]  # (a,): row of lines of what a yes/no question asks about, -1 of other questions
