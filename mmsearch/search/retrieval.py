"""The first stage of a search: the terms of a query as vectors, and how well pictures match them.

Texts of a query are one text for the encoder, joined by "and": that finds pictures of both better than any combination
of what each finds by itself.  Example pictures and texts are compared with the library one by one and their scores,
in spreads from the mean of the library, are added.  Pictures that show what an excluded term says are left out; those
that are only near to it lose some of their score.  What was measured: ``docs/search.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmsearch.indexes.protocol import VectorIndex
from mmsearch.query.model import Term, Words
from mmsearch.search.presence import Classifier, Presence, PresenceBeside
from mmsearch.search.text_adapter import TextAdapter
from mmsearch.types import Ids, Vectors

BETA = 0.1  # share of the hubness that is taken off, for each word of a text after the first …
MOST_BETA = 0.5  # … up to this: for words such as "dog" many pictures are right, and the general ones most of all
EXAMPLE_WEIGHT = 0.5  # what an example picture counts for beside a text
# Spreads above the mean of the library from which on a picture is left out: for a text where its model has learned no
# ``Presence``, and for an example.
EXCLUDED_SPREADS, EXAMPLE_SPREADS = 0.75, 2.0
UNWANTED_SHARE = 0.3  # share of the cosine with an excluded term that is taken off
POOL = 1000  # best pictures of each vector that are compared with all of them
SAMPLE = 2000  # pictures of the library that mean and spread are taken from …
AT_ONCE = 8192  # vectors of another model that are read together
PRIOR = 50  # … and so many typical ones: in a library of six every picture would be near the mean

Embed = Callable[[Term], Vectors]  # a term to its vector (dim,)


@dataclass(frozen=True)
class QueryVector:
    """A vector that pictures are compared with: of the words of a query together, or of an example."""

    vector: Vectors  # (dim,), unit length, or that of a short text as the adapter moved it
    weight: float = 1.0
    beta: float = 0.0  # share of a picture's hubness that is taken off
    typical: tuple[float, float] | None = None  # mean and spread of a text's cosines with photos, where they are known
    plain: Vectors | None = None  # that of a short text before it was moved, (dim,), unit length

    @property
    def unmoved(self) -> QueryVector:
        """As the encoder has it: what relevance is judged by."""
        return self if self.plain is None else replace(self, vector=self.plain, plain=None)


@dataclass(frozen=True)
class Excluded:
    """What pictures must not show."""

    vector: Vectors  # (dim,), unit length
    weight: float = 1.0  # more than 1 leaves out more
    spreads: float = EXAMPLE_SPREADS  # above the mean, where there is no classifier
    typical: tuple[float, float] | None = None  # as ``QueryVector.typical``
    classifier: Classifier | None = None  # tells which pictures show it …
    beside: PresenceBeside | None = None  # … by these vectors in place of those that are searched

    @property
    def needs_a_sample(self) -> bool:
        """Whether the mean of the library tells it, of some pictures at least."""
        return self.classifier is None or self.beside is not None

    def matches(self, vectors: Vectors, sample: Vectors, ids: Ids | None = None) -> NDArray[np.bool_]:
        """Which pictures (n,) it leaves out, from their vectors (n, dim) and those of some of the library (m, dim).

        ``ids`` (n,) are those of the vectors, where there are others ``beside``.
        """
        found: NDArray[np.bool_]
        if self.classifier is not None and self.beside is None:
            found = self.classifier(vectors) > -math.log(self.weight)
            return found
        mean, spread = _spread(sample @ self.vector, self.typical)
        found = vectors @ self.vector > mean + self.spreads / self.weight * spread
        if self.classifier is not None and self.beside is not None and ids is not None:
            for start in range(0, len(ids), AT_ONCE):
                others, there = self.beside.vectors(ids[start : start + AT_ONCE])
                found[start : start + AT_ONCE][there] = self.classifier(others) > -math.log(self.weight)
        return found


@dataclass(frozen=True)
class ParsedQuery:
    """The vectors that a picture should match, and what it must not show."""

    wanted: tuple[QueryVector, ...]
    unwanted: tuple[Excluded, ...] = ()
    unlike: tuple[QueryVector, ...] = ()  # what the pictures should rather not be like; nothing is left out for it
    text: str = ""  # of all words together


@dataclass(frozen=True)
class Candidates:
    """Pictures by score, best first."""

    ids: Ids  # (n,)
    scores: NDArray[np.float32]  # (n,): on the scale of cosines
    cosines: NDArray[np.float32]  # (n,): with the first vector


def parsed_query(
    terms: Sequence[Term], embed: Embed, arithmetic: bool = False, typical: tuple[float, float] | None = None,
    presence: Presence | None = None, adapter: TextAdapter | None = None,
) -> ParsedQuery:  # fmt: skip
    """The vectors of the terms of a query; exact words have none.

    ``embed`` gives the vector of a term.  ``typical`` is what is known of the cosines of a text with photos, see
    ``QueryVector``, ``presence`` tells what photos show, and ``adapter`` moves the vector of a short text.  With
    ``arithmetic`` the vectors of the terms are added by weight, those of excluded terms subtracted.
    """
    terms = [term for term in terms if not (isinstance(term, Words) and term.exact)]
    said = [term for term in terms if isinstance(term, Words) and not term.exclude]
    text = " and ".join(without_end_mark(term.text) for term in said)
    if arithmetic:
        total = sum((-term.weight if term.exclude else term.weight) * embed(term) for term in terms)
        return ParsedQuery((QueryVector(_unit(np.asarray(total, np.float32))),) if terms else (), text=text)
    wanted = []
    if said:
        vector = embed(Words(text))
        if len({term.weight for term in said}) > 1:  # together they say what, each by its weight says how much
            heaviest = max(term.weight for term in said)
            vector = vector + sum((term.weight / heaviest * embed(term) for term in said), np.zeros_like(vector))
        heaviest, vector = max(term.weight for term in said), _unit(vector)
        whole = QueryVector(vector, heaviest, beta(text), typical)
        if adapter is not None and adapter.part(text):
            whole = replace(whole, vector=adapter.moved(vector, text), plain=vector)
        wanted.append(whole)
    shown = [term for term in terms if not isinstance(term, Words) and not term.exclude]
    share = EXAMPLE_WEIGHT if said else 1.0
    wanted += [QueryVector(embed(term), share * term.weight) for term in shown]
    unwanted = tuple(_excluded(term, embed(term), typical, presence) for term in terms if term.exclude)
    return ParsedQuery(tuple(wanted), unwanted, text=text)


def _excluded(term: Term, vector: Vectors, typical: tuple[float, float] | None, presence: Presence | None) -> Excluded:
    if not isinstance(term, Words):
        return Excluded(vector, term.weight)
    if isinstance(presence, PresenceBeside):
        other = presence.encode(without_end_mark(term.text))
        return Excluded(vector, term.weight, EXCLUDED_SPREADS, typical, presence.classifier(other), presence)
    classifier = presence.classifier(vector) if presence else None
    return Excluded(vector, term.weight, EXCLUDED_SPREADS, typical, classifier)


def without_end_mark(text: str) -> str:
    """Without a full stop or question mark at the end.

    It says nothing, but models trained on captions that end with one find up to a fifth other photos for it
    (``python -m benchmarks.short_queries``).
    """
    return text.rstrip(" .,;:!?") or text


def beta(text: str) -> float:
    """The share of a picture's hubness that is taken off its cosine with this text."""
    return min(BETA * (len(text.split()) - 1), MOST_BETA)


def _unit(vector: Vectors) -> Vectors:
    rows: Vectors = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
    return rows


def candidates(query: ParsedQuery, index: VectorIndex, count: int, allowed: Ids | None, also: Ids) -> Candidates:
    """The ``count`` best pictures, of those ``allowed`` where given, and those of ``also``, by their ids.

    The rows of ``index`` are vectors and their hubness after them, (dim + 1,).  As many come back as there are that
    match no excluded term, however many have to be looked at.  There is at least one wanted vector.
    """
    most = len(index) if allowed is None else len(allowed)
    simple = len(query.wanted) == 1 and not query.unwanted and not query.unlike
    pool = count if simple else max(POOL, 4 * count)
    while True:
        found = [_nearest(query_vector, index, min(pool, most), allowed) for query_vector in query.wanted]
        ids = np.unique(np.concatenate([*found, also])) if len(found) > 1 or len(also) else found[0]
        ranked = scored(query, index, ids)
        ended = all(len(own) < min(pool, most) for own in found)  # an index without its engine finds none
        if simple or ended or len(ranked.ids) >= min(count, most) or pool >= most:
            chosen = (np.arange(len(ranked.ids)) < count) | np.isin(ranked.ids, also)
            return Candidates(ranked.ids[chosen], ranked.scores[chosen], ranked.cosines[chosen])
        pool *= 4


def with_ordinary(found: Candidates, query: ParsedQuery, index: VectorIndex, ids: Ids) -> Candidates:
    """The candidates, and behind them those of ``ids``, which have no vectors, as if they showed nothing special.

    They get the mean score of the library's pictures: so words count for them what they count for any picture.
    """
    if not len(ids):
        return found
    some = scored(query, index, index.sample(SAMPLE)).scores if len(index) else np.zeros(0, np.float32)
    ordinary = np.full(len(ids), some.mean() if len(some) else 0.0, np.float32)
    return Candidates(
        np.append(found.ids, ids), np.append(found.scores, ordinary), np.append(found.cosines, np.zeros_like(ordinary))
    )


def _nearest(query_vector: QueryVector, index: VectorIndex, count: int, allowed: Ids | None) -> Ids:
    if count < 1:
        return np.zeros(0, np.int64)
    ids: Ids = index.search(augmented(query_vector)[None], count, allowed).ids[0]
    return ids[ids >= 0]


def augmented(query_vector: QueryVector) -> Vectors:
    """What rows of an index are compared with, (dim + 1,)."""
    return np.append(query_vector.vector, np.float32(-query_vector.beta))


def scored(query: ParsedQuery, index: VectorIndex, ids: Ids) -> Candidates:
    """All of these pictures that match no excluded term, by what they score."""
    rows = index.vectors(ids)  # (n, dim + 1)
    first = query.wanted[0]
    cosines = rows[:, :-1] @ first.vector
    sample = _sample(index) if len(query.wanted) > 1 or _need_a_sample(query.unwanted) else rows
    if len(query.wanted) == 1:
        scores = rows @ augmented(first)
    else:
        spreads = [_spread(sample @ augmented(query_vector), query_vector.typical) for query_vector in query.wanted]
        total = sum(query_vector.weight for query_vector in query.wanted)
        scores = np.zeros(len(ids), np.float32)
        for query_vector, (mean, spread) in zip(query.wanted, spreads, strict=True):
            scores += query_vector.weight / total * (rows @ augmented(query_vector) - mean) / spread
        scores = spreads[0][0] + spreads[0][1] * scores  # on the scale of the first vector
    away = [(one.vector, one.weight) for one in query.unwanted] + [(one.vector, one.weight) for one in query.unlike]
    for vector, weight in away:
        scores = scores - UNWANTED_SHARE * weight * (rows[:, :-1] @ vector)
    remaining = np.flatnonzero(_matches_none(query.unwanted, ids, rows, sample))
    order = remaining[np.argsort(-scores[remaining], kind="stable")]
    return Candidates(ids[order], scores[order].astype(np.float32), cosines[order].astype(np.float32))


def excluding(unwanted: Sequence[Excluded], index: VectorIndex, ids: Ids) -> Ids:
    """Those of these pictures that show nothing that is excluded, in their order; what has no vector stays."""
    held = index.holds(ids)
    rows = index.vectors(ids[held])
    stays = ~held
    if len(rows):
        stays[held] = _matches_none(unwanted, ids[held], rows, _sample(index) if _need_a_sample(unwanted) else rows)
    return ids[stays]


def _need_a_sample(unwanted: Sequence[Excluded]) -> bool:
    """Whether anything excluded is told by the mean of the library."""
    return any(excluded.needs_a_sample for excluded in unwanted)


def _sample(index: VectorIndex) -> Vectors:
    """Rows of some pictures of the library, that mean and spread are taken from."""
    return index.vectors(index.sample(SAMPLE))


def _matches_none(unwanted: Sequence[Excluded], ids: Ids, rows: Vectors, sample: Vectors) -> NDArray[np.bool_]:
    """Which of the pictures (n,), whose rows of the index are (n, dim + 1), show nothing that is excluded."""
    stays = np.ones(len(rows), np.bool_)
    for excluded in unwanted:
        stays &= ~excluded.matches(rows[:, :-1], sample[:, :-1], ids)
    return stays


def _spread(scores: NDArray[np.floating], typical: tuple[float, float] | None) -> tuple[float, float]:
    """Mean and standard deviation of scores, and of ``PRIOR`` typical ones beside them."""
    mean, square, count = float(scores.mean()), float((scores**2).mean()), len(scores)
    if typical is not None:
        share = PRIOR / (PRIOR + count)
        mean = (1 - share) * mean + share * typical[0]
        square = (1 - share) * square + share * (typical[0] ** 2 + typical[1] ** 2)
    return mean, max(square - mean**2, 1e-12) ** 0.5
