"""The first stage of a search: what the terms of a query mean, and how well pictures match them.

Texts of a query are one text for the encoder, joined by "and": that finds pictures of both better than any combination
of what each finds by itself.  Example pictures and texts are compared with the library one by one and their scores,
in spreads from the mean of the library, are added.  Pictures that match an excluded term are left out; those that are
only near to it lose some of their score.  What was measured: ``docs/search.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.indexes.protocol import VectorIndex
from mmsearch.query.model import Example, Term, Words
from mmsearch.types import Ids, Vectors

BETA = 0.1  # share of the background that is taken off, for each word of a text after the first …
MOST = 0.5  # … up to this: for words such as "dog" many pictures are right, and the general ones most of all
PICTURE = 0.5  # what an example picture counts for beside a text
OUT = 2.0  # spreads above the mean of the library from which on a picture matches an excluded term
AWAY = 0.3  # share of the cosine with an excluded term that is taken off
POOL = 1000  # best pictures of each part that are compared with all parts
SAMPLE = 2000  # pictures of the library that mean and spread are taken from …
PRIOR = 50  # … and so many typical ones: in a library of six every picture would be near the mean

Embed = Callable[[Term], Vectors]  # a term to its vector (dim,)


@dataclass(frozen=True)
class Part:
    """Something that pictures are compared with."""

    vector: Vectors  # (dim,), unit length
    weight: float = 1.0
    beta: float = 0.0  # share of a picture's background that is taken off
    typical: tuple[float, float] | None = None  # mean and spread of a text's cosines with photos, where they are known


@dataclass(frozen=True)
class Meaning:
    """The parts that a picture should match, and those that it must not."""

    wanted: tuple[Part, ...]
    unwanted: tuple[Part, ...] = ()
    less: tuple[Part, ...] = ()  # what the pictures should rather not be like; nothing is left out for it
    text: str = ""  # of all words together


@dataclass(frozen=True)
class Candidates:
    """Pictures by score, best first."""

    ids: Ids  # (n,)
    scores: NDArray[np.float32]  # (n,): on the scale of cosines
    cosines: NDArray[np.float32]  # (n,): with the first part


def understand(
    terms: Sequence[Term], embed: Embed, arithmetic: bool = False, typical: tuple[float, float] | None = None
) -> Meaning:
    """The meaning of terms; exact words are none of its business.

    With ``arithmetic`` their vectors are added by weight, those of excluded terms subtracted.
    """
    terms = [term for term in terms if not (isinstance(term, Words) and term.exact)]
    said = [term for term in terms if isinstance(term, Words) and not term.exclude]
    text = " and ".join(plain(term.text) for term in said)
    if arithmetic:
        total = sum((-term.weight if term.exclude else term.weight) * embed(term) for term in terms)
        wanted = [Part(_unit(np.asarray(total, np.float32)))] if terms else []
        return Meaning(tuple(wanted), text=text)
    parts = []
    if said:
        vector = embed(Words(text))
        if len({term.weight for term in said}) > 1:  # together they say what, each by its weight says how much
            heaviest = max(term.weight for term in said)
            vector = vector + sum((term.weight / heaviest * embed(term) for term in said), np.zeros_like(vector))
        heaviest = max(term.weight for term in said)
        parts.append(Part(_unit(vector), heaviest, beta(text), typical))
    shown = [term for term in terms if isinstance(term, Example) and not term.exclude]
    share = PICTURE if said else 1.0
    parts += [Part(embed(term), share * term.weight) for term in shown]
    unwanted = tuple(
        Part(embed(term), term.weight, typical=typical if isinstance(term, Words) else None)
        for term in terms
        if term.exclude
    )
    return Meaning(tuple(parts), unwanted, text=text)


def plain(text: str) -> str:
    """Without a full stop or question mark at the end.

    It says nothing, but models trained on captions that end with one find up to a fifth other photos for it
    (``python -m benchmarks.short_queries``).
    """
    return text.rstrip(" .,;:!?") or text


def beta(text: str) -> float:
    """The share of a picture's background that is taken off its cosine with this text."""
    return min(BETA * (len(text.split()) - 1), MOST)


def _unit(vector: Vectors) -> Vectors:
    rows: Vectors = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
    return rows


def candidates(meaning: Meaning, index: VectorIndex, count: int, allowed: Ids | None, also: Ids) -> Candidates:
    """The ``count`` best pictures, of those ``allowed`` where given, and those of ``also``, by their ids.

    The rows of ``index`` are vectors and a background after them, (dim + 1,).  As many come back as there are that
    match no excluded term, however many have to be looked at.  There is at least one wanted part.
    """
    most = len(index) if allowed is None else len(allowed)
    simple = len(meaning.wanted) == 1 and not meaning.unwanted and not meaning.less
    pool = count if simple else max(POOL, 4 * count)
    while True:
        found = [_nearest(part, index, min(pool, most), allowed) for part in meaning.wanted]
        ids = np.unique(np.concatenate([*found, also])) if len(found) > 1 or len(also) else found[0]
        ranked = _judged(meaning, index, ids)
        if simple or len(ranked.ids) >= min(count, most) or pool >= most:
            kept = np.arange(len(ranked.ids)) < count
            kept |= np.isin(ranked.ids, also)
            return Candidates(ranked.ids[kept], ranked.scores[kept], ranked.cosines[kept])
        pool *= 4


def _nearest(part: Part, index: VectorIndex, count: int, allowed: Ids | None) -> Ids:
    if count < 1:
        return np.zeros(0, np.int64)
    ids: Ids = index.search(asked(part)[None], count, allowed).ids[0]
    return ids[ids >= 0]


def asked(part: Part) -> Vectors:
    """What rows of an index are compared with, (dim + 1,)."""
    return np.append(part.vector, np.float32(-part.beta))


def _judged(meaning: Meaning, index: VectorIndex, ids: Ids) -> Candidates:
    """All of these pictures that match no excluded term, by what they score."""
    rows = index.vectors(ids)  # (n, dim + 1)
    first = meaning.wanted[0]
    cosines = rows[:, :-1] @ first.vector
    several = len(meaning.wanted) > 1 or bool(meaning.unwanted)
    sample = index.vectors(index.sample(SAMPLE)) if several else rows
    if len(meaning.wanted) == 1:
        scores = rows @ asked(first)
    else:
        spreads = [_spread(sample @ asked(part), part.typical) for part in meaning.wanted]
        total = sum(part.weight for part in meaning.wanted)
        scores = np.zeros(len(ids), np.float32)
        for part, (mean, spread) in zip(meaning.wanted, spreads, strict=True):
            scores += part.weight / total * (rows @ asked(part) - mean) / spread
        scores = spreads[0][0] + spreads[0][1] * scores  # on the scale of the first part
    for part in (*meaning.unwanted, *meaning.less):
        scores = scores - AWAY * part.weight * (rows[:, :-1] @ part.vector)
    kept = np.flatnonzero(_stays(meaning.unwanted, rows, sample))
    order = kept[np.argsort(-scores[kept], kind="stable")]
    return Candidates(ids[order], scores[order].astype(np.float32), cosines[order].astype(np.float32))


def without(unwanted: Sequence[Part], index: VectorIndex, ids: Ids) -> Ids:
    """Those of these pictures that match none of the excluded parts, in their order."""
    return ids[_stays(unwanted, index.vectors(ids), index.vectors(index.sample(SAMPLE)))]


def _stays(unwanted: Sequence[Part], rows: Vectors, sample: Vectors) -> NDArray[np.bool_]:
    """Which of the pictures (n, dim + 1) match none of the excluded parts."""
    stays = np.ones(len(rows), np.bool_)
    for part in unwanted:
        mean, spread = _spread(sample[:, :-1] @ part.vector, part.typical)
        stays &= rows[:, :-1] @ part.vector <= mean + OUT / part.weight * spread
    return stays


def _spread(scores: NDArray[np.floating], typical: tuple[float, float] | None) -> tuple[float, float]:
    """Mean and standard deviation of scores, and of ``PRIOR`` typical ones beside them."""
    mean, square, count = float(scores.mean()), float((scores**2).mean()), len(scores)
    if typical is not None:
        share = PRIOR / (PRIOR + count)
        mean = (1 - share) * mean + share * typical[0]
        square = (1 - share) * square + share * (typical[0] ** 2 + typical[1] ** 2)
    return mean, max(square - mean**2, 1e-12) ** 0.5
