"""How a model learns to tell what a photo shows: ``search/presence.py``, from captioned photos and their vectors.

A logistic regression on pairs of a text and a photo whose log-odds are bilinear in both vectors.  Texts are the things
that captions name, singular and plural, and whole captions.  Of each text photos with and without it count the same,
whatever their numbers: so 0 parts them where as many are wrong on either side.  Words that no caption has are texts
that no photo shows: else a third of all photos would show a "smith" or "2019".
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mmsearch.language.nouns import nouns
from mmsearch.search.presence import Presence
from mmsearch.training.common.mentions import Mentions, counts, mentions
from mmsearch.training.common.optimize import rate
from mmsearch.types import Vectors

log = logging.getLogger(__name__)

NAMED = 5  # photos that must show a thing for it to be learned from
NEEDED = 50  # such things, else nothing general is learned
STEPS, THINGS, CAPTIONS, PHOTOS = 500, 64, 128, 600  # of a step: texts and photos, all with all
CAPTION_WEIGHT, UNNAMED_WEIGHT = 0.5, 0.5  # beside things
UNNAMED = 64  # words of a step that no caption has
DECAY = 1e-3  # of what the form is other than cosines
SCALE = 25.0  # of cosines, to begin with
NUMBERS = tuple(str(number) for number in (*range(0, 100, 7), *range(1900, 2040, 5), *range(1000, 10_000, 487)))
PEOPLE = ("people", "someone", "humans")  # said of persons beside the plural

Encode = Callable[[list[str]], Vectors]  # texts to unit vectors (n, dim)
Odds = Callable[[Tensor, Tensor], Tensor]  # texts (t, dim) and photos (p, dim) to log-odds (t, p)
Term = Callable[[Odds, Tensor, np.random.Generator], Tensor]  # a loss, from a view of all photos (n, dim)


@dataclass(frozen=True)
class _Texts:
    """Things as vectors of their forms."""

    vectors: Tensor  # (forms, dim)
    first: NDArray[np.int64]  # (things,): the first form of each; the others follow
    count: NDArray[np.int64]

    def draw(self, things: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """A form of each thing, (n, dim)."""
        return self.vectors[self.first[things] + rng.integers(0, self.count[things])]


def forms(thing: str) -> tuple[str, ...]:
    """What people say of a thing, a word of ``language/nouns.py``."""
    plural = nouns()[thing].plural
    more = PEOPLE if thing == "person" else ()
    return tuple(dict.fromkeys((thing, *([plural] if plural else []), *more)))


def teaches(captions: Sequence[Sequence[str]]) -> bool:
    """Whether captions name enough things for ``fit``."""
    return len(_often(counts(captions))) >= NEEDED


def _often(count: Counter[str]) -> list[str]:
    return sorted(thing for thing, photos in count.items() if photos >= NAMED)


@dataclass(frozen=True)
class Lesson:
    """What a form is learned from."""

    views: Tensor  # (v, n, dim): of photos
    told: NDArray[np.int64]  # photos whose captions say what is not there …
    named: Mentions  # … and what they name, a row for each
    things: _Texts
    captions: Tensor  # (told, dim): one of each
    unnamed: Tensor  # (m, dim): words that no caption has


def fit(views: Vectors, captions: Sequence[Sequence[str]], encode: Encode, seed: int = 0) -> Presence | None:
    """The form of a model, from ``views`` (v, n, dim) of n photos, unit rows, and their ``captions``.

    None where these name fewer than ``NEEDED`` things.
    """
    found = lesson(views, captions, encode, None, seed)
    return None if found is None else learned(found, seed)


def lesson(
    views: Vectors, captions: Sequence[Sequence[str]], encode: Encode, told: NDArray[np.int64] | None, seed: int
) -> Lesson | None:
    """What there is to learn from, see ``fit``; ``told`` are the photos that captions describe, by default all."""
    rows = np.arange(len(captions)) if told is None else told
    own_captions = [captions[row] for row in rows]
    known = counts(own_captions)
    if len(_often(known)) < NEEDED:
        return None
    named = mentions(own_captions, _often(known))
    own = [forms(thing) for thing in named.things]
    count = np.array([len(one) for one in own])
    texts = _Texts(torch.from_numpy(encode([text for one in own for text in one])), np.cumsum(count) - count, count)
    rng = np.random.default_rng([seed, 0])
    said = torch.from_numpy(encode([str(rng.choice(texts)) for texts in own_captions]))
    unnamed = torch.from_numpy(encode([*(word for word in sorted(nouns()) if word not in known), *NUMBERS]))
    return Lesson(torch.from_numpy(views), rows, named, texts, said, unnamed)


def learned(
    given: Lesson, seed: int, steps: int | None = None, decay: float = DECAY, beside: Term | None = None
) -> Presence:
    """The form after some steps, ``STEPS`` by default; ``beside`` is added to the loss."""
    steps = STEPS if steps is None else steps
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _learned(given, seed, steps, decay, beside)


def _learned(given: Lesson, seed: int, steps: int, decay: float, beside: Term | None) -> Presence:
    views, named, dim, photos = given.views, given.named, given.views.shape[2], len(given.told)
    mean = views[0][given.told].mean(dim=0)
    change, bias = torch.zeros(dim, dim, requires_grad=True), torch.zeros(dim, requires_grad=True)
    offset, scale = torch.zeros((), requires_grad=True), torch.tensor(SCALE).log().requires_grad_()
    slow, quick = {"params": [change], "lr": 2e-3}, {"params": [bias, offset, scale], "lr": 2e-2}
    optimizer = torch.optim.Adam([slow, quick])
    peaks = [group["lr"] for group in optimizer.param_groups]

    def odds(rows: Tensor, seen: Tensor) -> Tensor:
        """(t, dim) x (p, dim) -> (t, p)"""
        return scale.exp() * ((rows + rows @ change) @ (seen - mean).T + (rows @ bias)[:, None]) + offset

    often = np.sqrt(named.shown.sum(axis=0))  # rare things are drawn more often than they are shown
    for step in range(steps):
        rng = np.random.default_rng([seed, step, 1])
        things = rng.choice(len(often), min(THINGS, len(often)), replace=False, p=often / often.sum())
        some = rng.choice(photos, min(PHOTOS, photos), replace=False)
        view = views[int(rng.integers(len(views)))]
        seen = view[given.told[some]]
        shown, absent = (torch.from_numpy(which[np.ix_(some, things)].T) for which in (named.shown, named.absent))
        loss = _balanced(odds(given.things.draw(things, rng), seen), shown, absent)
        told = rng.choice(len(some), min(CAPTIONS, len(some)), replace=False)
        right = torch.zeros(len(told), len(some), dtype=torch.bool)
        right[torch.arange(len(told)), torch.from_numpy(told)] = True
        loss = loss + CAPTION_WEIGHT * _balanced(odds(given.captions[some[told]], seen), right, ~right)
        strange = given.unnamed[rng.choice(len(given.unnamed), min(UNNAMED, len(given.unnamed)), replace=False)]
        loss = loss + UNNAMED_WEIGHT * F.softplus(odds(strange, seen)).mean()
        if beside is not None:
            loss = loss + beside(odds, view, rng)
        loss = loss + decay * (change**2).sum()
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * rate(step, steps, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            log.info("presence, step %d of %d: loss %.3f", step + 1, steps, float(loss.detach()))
    with torch.no_grad():
        return _form(scale.exp() * (torch.eye(dim) + change), scale.exp() * bias, offset, mean)


def _balanced(odds: Tensor, shown: Tensor, absent: Tensor) -> Tensor:
    """Mean log loss of texts, of each its photos with and without it alike; all (texts, photos).

    Texts that no photo shows, or all, are left out."""
    counts = shown.any(dim=1) & absent.any(dim=1)
    parts = [
        (F.softplus(-sign * odds) * which).sum(dim=1)[counts] / which.sum(dim=1)[counts]
        for sign, which in ((1, shown), (-1, absent))
    ]
    return torch.stack(parts).mean() if bool(counts.any()) else odds.sum() * 0


def _form(weight: Tensor, bias: Tensor, offset: Tensor, mean: Tensor) -> Presence:
    """text @ weight @ (picture - mean) + text @ bias + offset, as one matrix."""
    dim = len(weight)
    form = torch.zeros(dim + 1, dim + 1)
    form[:dim, :dim], form[:dim, dim], form[dim, dim] = weight, bias - weight @ mean, offset
    return Presence(form.numpy())
