"""How the adapter of a model's short texts is learned: ``search/text_adapter.py``, from captioned photos' vectors.

The bilinear form of ``presence.py`` is learned once more, with the phrases of captions beside the things that they
name.  Of each phrase every photo that it is said of must score more than all others together: the contrastive loss
with several right answers (supervised contrastive learning, Khosla et al. 2020).  What the form adds to a photo's
cosine is linear in its vector, so it can be added to the text's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mmsearch.search.text_adapter import TextAdapter
from mmsearch.training.common import presence
from mmsearch.training.common.phrases import Phrases, often
from mmsearch.training.common.presence import Encode, Odds
from mmsearch.types import Vectors

# Phrases, else nothing general is learned.  From 798 and 1,602 an adapter was learned that found less than none (-3.0
# and -2.0 points of mean average precision), from 3,170 one that found more (+2.6), from 6,294 +4.0:
# ``python -m benchmarks.text_adapter``.
NEEDED = 3000
TEXTS, PHOTOS = 256, 1200  # of a step
NEAR = 0.3  # what a photo counts for as a wrong answer whose captions have a word of the phrase
WEIGHT, DECAY, STEPS = 3.0, 1e-2, 1000  # beside the losses of presence, and in place of its own
FARTHER = 2.0  # how much farther photos are apart by what the form adds than by the text itself
OFTEN = 12  # photos whose captions must have a word for texts with it to be moved
SAMPLE = 2000  # photos, and as many phrases at most, that tell how far


class _Ranking:
    """The loss of phrases."""

    def __init__(self, phrases: Phrases, vectors: Tensor) -> None:
        self._phrases, self._vectors = phrases, vectors
        often = np.sqrt(phrases.shown.sum(axis=1))  # rare ones are drawn more often than they are said
        self._often = often / often.sum()
        self._photos = [np.flatnonzero(row) for row in phrases.shown]

    def __call__(self, odds: Odds, seen: Tensor, rng: np.random.Generator) -> Tensor:
        count = len(self._often)
        some = rng.choice(count, min(TEXTS, count), replace=False, p=self._often)
        drawn = rng.choice(len(seen), min(PHOTOS, len(seen)), replace=False)
        photos = np.unique(np.concatenate([drawn, [rng.choice(self._photos[one]) for one in some]]))
        shown = torch.from_numpy(self._phrases.shown[np.ix_(some, photos)])
        wrong = torch.where(torch.from_numpy(self._phrases.near(some, photos)), NEAR, 1.0).masked_fill(shown, 0.0)
        scores = odds(self._vectors[some], seen[photos])
        others = torch.logsumexp(scores + wrong.clamp_min(1e-9).log(), dim=1, keepdim=True)
        return ((F.softplus(others - scores) * shown).sum(dim=1) / shown.sum(dim=1)).mean()


def teaches(captions: Sequence[Sequence[str]]) -> bool:
    """Whether captions have enough phrases for ``fit``."""
    return len(Phrases.of(captions).texts) >= NEEDED


def fit(
    views: Vectors, captions: Sequence[Sequence[str]], encode: Encode, told: NDArray[np.int64] | None = None,
    seed: int = 0, needed: int = NEEDED,
) -> TextAdapter | None:  # fmt: skip
    """The adapter of a model, from ``views`` (v, n, dim) of n photos, unit rows, and their ``captions``.

    ``told`` are the photos whose captions say what else is not there, by default all.  None where captions have fewer
    phrases than are ``needed``, or name too few things.
    """
    phrases = Phrases.of(captions)
    if len(phrases.texts) < needed:
        return None
    vectors = encode(list(phrases.texts))
    lesson = presence.lesson(views, captions, encode, told, seed)
    if lesson is None:
        return None
    ranking = _Ranking(phrases, torch.from_numpy(vectors))
    form = presence.learned(lesson, seed, STEPS, DECAY, lambda *given: WEIGHT * ranking(*given)).form
    added = np.concatenate([form[:-1, :-1], form[-1:, :-1]])
    rng = np.random.default_rng([seed, 2])
    texts = vectors[rng.permutation(len(vectors))[:SAMPLE]]
    photos = views[0][rng.permutation(views.shape[1])[:SAMPLE]]
    given = _apart(texts, photos)
    added *= FARTHER * given / _apart(texts @ added[:-1] + added[-1], photos)
    added[np.diag_indices(added.shape[1])] += 1  # now the moved text …
    added *= given / _apart(texts @ added[:-1] + added[-1], photos)
    added[np.diag_indices(added.shape[1])] -= 1
    return TextAdapter(added.astype(np.float32), often(captions, OFTEN))


def _apart(texts: Vectors, photos: Vectors) -> float:
    """How far apart photos are by a text: the spread of its scores, mean of the texts."""
    return float((texts @ photos.T).std(axis=1).mean())
