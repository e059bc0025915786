"""Captions word by word: beam search over a decoder."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.rerank.vocabulary import END, LONGEST, PAD, START, UNKNOWN

PENALTY = 0.7  # power of the length that log-probabilities are divided by; 0 prefers short captions
GRAM = 2  # words that may not come twice in the same order
LEAD = re.compile(r"(?:an? |the )?(?:photo|photograph|picture|image) of (?=.)")  # said of any caption: it tells nothing

Step = Callable[[NDArray[np.int64]], NDArray[np.float32]]  # words so far (n, t) -> logits of the next (n, words)


@dataclass(frozen=True)
class Caption:
    """What a photo shows, in words."""

    text: str
    confidence: float  # geometric mean of the probabilities of its words, in (0, 1]


@dataclass(frozen=True)
class Beam:
    """A sentence that is complete, or as far as it got."""

    words: tuple[int, ...]  # START first; END last where it is complete
    log_probability: float

    @property
    def score(self) -> float:
        """The log-probability divided by a power of the number of words (Wu et al. 2016, section 7)."""
        return float(self.log_probability / max(len(self.words) - 1, 1) ** PENALTY)

    @property
    def confidence(self) -> float:
        return math.exp(self.log_probability / max(len(self.words) - 1, 1))


def search(step: Step, beams: int = 3, alternatives: int = 1, longest: int = LONGEST) -> list[Beam]:
    """The best ``alternatives`` complete sentences that a beam of ``max(beams, alternatives)`` finds, best first.

    <pad>, <start> and <unknown> are never said, and no two words twice in the same order.
    """
    width = max(beams, alternatives)
    open_beams = [Beam((START,), 0.0)]
    done: list[Beam] = []
    while open_beams and len(open_beams[0].words) < longest:
        words = np.array([beam.words for beam in open_beams], np.int64)
        logs = _log_softmax(step(words))  # (n, words)
        last = words.shape[1] == longest - 1
        logs[:, [PAD, START, UNKNOWN]] = -np.inf
        following: list[Beam] = []
        for beam, row in zip(open_beams, logs, strict=True):
            row[list(_said(beam.words))] = -np.inf
            chosen = [END] if last else np.argsort(-row, kind="stable")[: width + 1].tolist()
            following += [
                Beam((*beam.words, word), beam.log_probability + float(row[word]))
                for word in chosen
                if np.isfinite(row[word])
            ]
        following.sort(key=lambda beam: -beam.log_probability)
        done += [beam for beam in following[: 2 * width] if beam.words[-1] == END]
        open_beams = [beam for beam in following if beam.words[-1] != END][:width]
        best = sorted(done, key=lambda beam: -beam.score)[:alternatives]
        if len(best) == alternatives and open_beams and best[-1].score > _hope(open_beams[0], longest):
            break
    return sorted(done, key=lambda beam: -beam.score)[:alternatives]


def worded(beams: Sequence[Beam], names: Sequence[str]) -> list[Caption]:
    """Sentences in words, in the same order, without "a photo of" before them, and each only once; ``names`` are those
    of the vocabulary."""
    found: dict[str, Caption] = {}
    for beam in beams:
        text = " ".join(names[word] for word in beam.words[1:-1])
        lead = LEAD.match(text)
        text = text[lead.end() :] if lead else text
        found.setdefault(text, Caption(text, round(beam.confidence, 4)))
    return list(found.values())


def _hope(beam: Beam, longest: int) -> float:
    """The best score that an open sentence could still get: all words to come are sure."""
    return float(beam.log_probability / max(longest - 1, 1) ** PENALTY)


def _said(words: tuple[int, ...]) -> set[int]:
    """Words that would say ``GRAM`` words again that were said in this order."""
    if len(words) < GRAM:
        return set()
    ending = words[-(GRAM - 1) :]
    grams = (words[start : start + GRAM] for start in range(len(words) - GRAM + 1))
    return {gram[-1] for gram in grams if gram[:-1] == ending}


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return logs
