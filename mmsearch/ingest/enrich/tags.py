"""Tags of pictures: which words of a vocabulary fit a picture's vector, with probabilities.

A cosine says little by itself: its scale differs from model to model, from picture to picture and from word to word.
So a picture is compared with some thousand plain sentences, ``language/prompts.py`` and the texts of the vocabulary
that ships, and its cosines are measured in their own spread:

    z(text) = (cosine(text) - mean over the sentences) / standard deviation over the sentences

Two numbers say how well a tag fits.  One is its share of votes: each of the NEAREST sentences votes for the tags that
it speaks of, with the weight exp(z), so that a tag is sure where the sentences that come nearest agree on
it.  This is a nearest neighbour classifier whose examples are sentences (tagging by neighbours: Makadia et al. 2008, A
new baseline for image annotation).  The other is the best z among the tag's own texts.  A logistic map makes a
probability of both.  Nothing of it depends on the other pictures of a library, so a picture has the same tags in every
library, and an affine change of all cosines changes nothing.

``python -m benchmarks.tagging`` fits the constants and measures what comes of it, beside simpler ways.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.language.prompts import scenes
from mmsearch.language.vocabulary import Vocabulary, builtin, comparable
from mmsearch.media.filesystem import atomic_file, read_array
from mmsearch.store.protocol import Store
from mmsearch.store.types import PendingVector, StoredModel
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Vectors

log = logging.getLogger(__name__)

THRESHOLD = 0.55  # probability from which on a picture gets a tag
# Sentences that vote.  With all of them a little more is found, but what looks like none of them is taken for what most
# speak of: all of 199 photos of rooms (DAQUAR; few show people) were tagged "person", and 15 % are now.
NEAREST = 100
# What a vote for these counts, because most sentences speak of people, many others of animals: with 1.0 it was 70 %.
VOTE = {"person": 0.35, "animal": 0.5}
# Votes that a tag has together at least that is not in the vocabulary that ships: rare words of that one are rarely
# right, but a person's own word was chosen.  Of 45 words that no sentence speaks of (taken out for the test), 81 % were
# right at the threshold, and 13 % of the photos of these things were tagged; with the one vote of a text it was 0.5 %.
OWN = 6
LOGISTIC = (1.17, 0.085, 1.828)  # of the log odds of the votes, of the best z, and what is added
RARE = 1e-3  # share of votes below which it hardly matters how few they are
BLOCK = 256  # pictures judged and stored together

Encode = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class TagReport:
    """What a ``tag`` run did."""

    tagged: int  # pictures that were compared with the vocabulary now
    tags: dict[str, int]  # tag -> files that have it now, of those that were asked for; the most frequent first
    seconds: float


class Tagger:
    """Judges pictures by their vectors.

    ``model`` is the fingerprint of the encoder that made them and ``encode`` its ``encode_texts``, which is called for
    texts only that are not in the folder ``cache`` yet.
    """

    def __init__(
        self, vocabulary: Vocabulary, model: str, encode: Encode, cache: Path, threshold: float = THRESHOLD
    ) -> None:
        self.vocabulary, self.threshold = vocabulary, threshold
        common = common_texts()
        own = [text for tag in vocabulary.tags for text in tag.texts]
        place = {text: number for number, text in enumerate(dict.fromkeys([*common, *own]))}
        texts = list(place)
        constants = (NEAREST, VOTE, OWN, LOGISTIC, RARE)
        self.fingerprint = _digest(model, vocabulary.fingerprint, common, constants, threshold)
        self._texts = np.concatenate(
            [cached(part, model, encode, cache) for part in (texts[: len(common)], texts[len(common) :]) if part]
        )
        self._common = len(common)
        self._own = np.array([place[text] for text in own])
        self._starts = np.cumsum([0, *(len(tag.texts) for tag in vocabulary.tags)])[:-1]
        votes, known = vocabulary.mentioned(texts), builtin().mentioned(texts)
        ours = {comparable(name): number for number, name in enumerate(builtin().names)}
        for number, tag in enumerate(vocabulary.tags):
            if comparable(tag.name) in ours:  # what speaks of a man speaks of a person, whether "man" is a tag or not
                votes[known[:, ours[comparable(tag.name)]]] |= vocabulary.implied[number]
            for text in tag.texts:
                votes[place[text]] |= vocabulary.implied[number]
        self._votes = votes.astype(np.float32)
        self._weights = np.ones(len(texts), np.float32)
        for name, weight in VOTE.items():
            self._weights[known[:, ours[name]]] *= weight
        spoken = np.maximum(votes.sum(axis=0), 1)
        for number, tag in enumerate(vocabulary.tags):
            if comparable(tag.name) not in ours:
                for text in tag.texts:
                    self._weights[place[text]] = max(self._weights[place[text]], OWN / spoken[number])
        self._above = [
            (number, parents[parents != number])
            for number, row in enumerate(vocabulary.implied)
            if len(parents := np.flatnonzero(row)) > 1
        ]

    def evidence(self, vectors: Vectors) -> NDArray[np.float32]:
        """Log odds of the votes and best z of each tag, for ``vectors`` (n, dim): (n, tags, 2)."""
        cosines = vectors @ self._texts.T  # (n, d) x (d, t) -> (n, t)
        common = cosines[:, : self._common]
        spread = np.maximum(common.std(axis=1, keepdims=True), 1e-6)
        z = (cosines - common.mean(axis=1, keepdims=True)) / spread
        nearest = min(NEAREST, z.shape[1])
        last = np.partition(z, -nearest, axis=1)[:, [-nearest]]
        weights = np.where(z >= last, self._weights * np.exp(z - z.max(axis=1, keepdims=True)), 0)
        share = (weights @ self._votes) / weights.sum(axis=1, keepdims=True)  # (n, t) x (t, tags) -> (n, tags)
        odds = np.log((share + RARE) / (1 - np.minimum(share, 1) + RARE))
        best = np.maximum.reduceat(z[:, self._own], self._starts, axis=1)
        return np.stack([odds, best], axis=-1)

    def own_texts(self) -> Vectors:
        """The vectors of the tags' own texts, in their order: (texts, dim)."""
        own: Vectors = self._texts[self._own]
        return own

    def probabilities(self, vectors: Vectors) -> NDArray[np.float32]:
        """How likely it is that each tag fits, for ``vectors`` (n, dim): (n, tags).

        A tag is at least as likely as each of those that it is right with.
        """
        votes, best, constant = LOGISTIC
        found = self.evidence(vectors) @ np.array([votes, best], np.float32) + np.float32(constant)
        return self.lifted(1 / (1 + np.exp(-found)))

    def lifted(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, tags), with each tag at least as high as those that it is right with."""
        lifted = found.copy()
        for number, parents in self._above:
            lifted[:, parents] = np.maximum(lifted[:, parents], found[:, [number]])
        return lifted

    def tags(self, vectors: Vectors) -> list[dict[str, float]]:
        """Tag -> probability of each picture, for those above the threshold; the likeliest first."""
        names, found = self.vocabulary.names, []
        for row in self.probabilities(vectors):
            sure = np.argsort(-row, kind="stable")[: np.count_nonzero(row >= self.threshold)]
            found.append({names[place]: float(row[place]) for place in sure})
        return found


def common_texts() -> list[str]:
    """The sentences that every picture is compared with, whatever the vocabulary."""
    return list(dict.fromkeys([*scenes(), *(text for tag in builtin().tags for text in tag.texts)]))


def cached(texts: Sequence[str], model: str, encode: Encode, cache: Path) -> Vectors:
    """The vectors of texts, (n, dim), from a file of ``cache``, where they are written when they are new."""
    file = cache / "tags" / f"{_digest(model, list(texts))}.npy"
    try:
        vectors: Vectors = read_array(file)
        return vectors
    except (OSError, ValueError, EOFError):  # not there, or damaged
        pass
    if len(texts) > BLOCK:
        log.info("encoding %s texts, once for this model and vocabulary", f"{len(texts):,}")
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # like with like: less is padded
    parts = [encode([texts[row] for row in order[start : start + 64]]) for start in range(0, len(texts), 64)]
    vectors = np.empty_like(parts[0], shape=(len(texts), *parts[0].shape[1:]))
    vectors[order] = np.concatenate(parts)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as draft, draft.open("wb") as opened:
            np.save(opened, vectors)
    except OSError as error:
        log.warning("%s cannot be written: %s; the vocabulary will be encoded again next time", file, error.strerror)
    return vectors


class Tags(Enrichment[PendingVector, PendingVector, list[dict[str, float]]]):
    """Tags of what lies in or below these paths and was not compared with this vocabulary yet; without, everything."""

    name = "tags"
    share = "tag"

    def __init__(
        self, store: Store, model: StoredModel, tagger: Tagger, within: Sequence[str] = (), batch: int = BLOCK
    ) -> None:
        self._store, self._model, self._tagger, self._within, self.batch = store, model, tagger, within, batch

    def pending(self) -> list[PendingVector]:
        return self._store.pending_tags(self._model, self._tagger.fingerprint, self._within)

    def compute(self, batch: Sequence[PendingVector]) -> list[dict[str, float]]:
        vectors = np.array([item.vector for item in batch], np.int64)
        return self._tagger.tags(self._store.vectors(vectors, self._model.dim))

    def save(self, writer: StoreWriter, batch: Sequence[PendingVector], result: list[dict[str, float]]) -> int:
        tags = {item.item: own for item, own in zip(batch, result, strict=True)}
        writer.put_tags(self._tagger.fingerprint, tags)
        return len(batch)

    def path(self, job: PendingVector) -> str:
        return job.path


def _digest(*facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
