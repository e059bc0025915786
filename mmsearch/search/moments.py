"""Files of several pictures in a search: one hit a file, with its best parts.

A film is as good as its best moment, so that is what it is ranked by.  Words that are written about the file count for
all of it; those that are said in a moment, or stand on a page, lift this one among the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mmsearch.indexes.protocol import VectorIndex
from mmsearch.language.letters import plain
from mmsearch.media.in_memory import unit_vector
from mmsearch.query.model import Condition
from mmsearch.search import retrieval
from mmsearch.search.engine import Engine
from mmsearch.search.retrieval import ParsedQuery
from mmsearch.search.scored import Scored
from mmsearch.store.moment_conditions import is_of_moments
from mmsearch.store.types import StoredModel, StoredPart
from mmsearch.types import Ids, Moment, Vectors

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

MOST = 5  # parts that a hit shows: of those that are nearer to the best one than to the middle one of its file
EXAMPLES = 32  # parts of a film that together say what other pictures should be like

Value = TypeVar("Value")


def best_of_files(store: Store, model: StoredModel, found: Iterable[Scored]) -> dict[int, Scored]:
    """The best candidate of each file, in the order of ``found``, which has the best first.

    By the id of the vector of the file's first part, which is its own where the file is one picture.
    """
    rows = list(found)
    firsts = store.firsts(np.array([one.id for one in rows], np.int64), model)
    if firsts is None:
        return {one.id: one for one in rows}
    best: dict[int, Scored] = {}
    for one, first in zip(rows, firsts.tolist(), strict=True):
        best.setdefault(first if first >= 0 else one.id, one)
    return best


def with_all_parts(store: Store, model: StoredModel, ids: Ids, allowed: Ids | None) -> Ids:
    """The vectors (n,), and those of the other parts of the same files, of all these those ``allowed`` where given."""
    parts = store.parts(ids.tolist(), model)
    if parts:
        others = [part.vector for own in parts.values() for part in own if part.vector >= 0]
        ids = np.append(ids, np.setdiff1d(np.array(others, np.int64), ids))
    return ids if allowed is None else ids[np.isin(ids, allowed)]


def by_words(store: Store, model: StoredModel, allowed: Ids | None, conditions: Iterable[Condition]) -> Ids | None:
    """The ids among which words find the files of those ``allowed``, which meet the conditions; None for all.

    Words are known by the first moment of a file, which need not be one that ``at:`` allows.
    """
    if allowed is None or not any(is_of_moments(condition) for condition in conditions):
        return allowed
    firsts = store.firsts(allowed, model)
    return allowed if firsts is None else np.union1d(allowed, firsts[firsts >= 0])


def some_of(parts: Sequence[Value]) -> list[Value]:
    """At most ``EXAMPLES`` of the parts of a file that is given as an example, evenly over all of them."""
    count = min(len(parts), EXAMPLES)
    return [parts[(2 * number + 1) * len(parts) // (2 * count)] for number in range(count)]


def one_for_all(rows: Vectors) -> Vectors:
    """One vector (dim,) for those of the parts of a file (n, dim): their direction on average."""
    one: Vectors = rows[0] if len(rows) == 1 else unit_vector(rows.mean(axis=0))
    return one


class Moments:
    """The best parts of the files that a query found."""

    def __init__(self, engine: Engine, parsed: ParsedQuery, allowed: Ids | None) -> None:
        """``allowed`` are the ids that meet the conditions, where there are any."""
        self._engine, self._parsed, self._allowed = engine, parsed, allowed
        self._words = set(plain(parsed.text).split())

    def of(self, found: Sequence[Scored]) -> dict[int, tuple[Moment, ...]]:
        """By the id of the vector of a candidate, the best parts of its file; files of one picture are left out."""
        engine = self._engine
        candidates = {one.id: one for one in found}
        parts = engine.store.parts(list(candidates), engine.model)
        return {number: self._best(parts[number], candidates[number]) for number in parts}

    def _best(self, parts: Sequence[StoredPart], candidate: Scored) -> tuple[Moment, ...]:
        """The best one has the score of the candidate, which reranking may have moved; others are as far below it."""
        if not self._parsed.wanted:
            return self._said(parts, candidate)
        by_vector = {part.vector: part for part in parts}
        ids = _searched(self._engine.index, np.array(sorted(by_vector), np.int64), self._allowed)
        if not len(ids):
            return self._said(parts, candidate)
        ranked = retrieval.scored(self._parsed, self._engine.index, ids)
        own = [by_vector[number] for number in ranked.ids.tolist()]
        scores = ranked.scores + np.array([candidate.boost * self._share(part.text) for part in own])
        best, least = scores.max(), (scores.max() + np.median(scores)) / 2
        moments = []
        for part, score in zip(own, scores.tolist(), strict=True):
            if score >= least:
                moved = round(candidate.score + score - float(best), 4)
                moments.append(Moment(part.part, moved, part.start_ms, part.end_ms, part.at_ms, part.text))
        return tuple(sorted(moments, key=lambda moment: (-moment.score, moment.part))[:MOST])

    def _said(self, parts: Sequence[StoredPart], candidate: Scored) -> tuple[Moment, ...]:
        """The times, or pages, that have most of the words: of sound, and where nothing but words was asked for."""
        allowed = None if self._allowed is None else set(self._allowed.tolist())
        shares = [(self._share(part.text), part) for part in parts if allowed is None or part.vector in allowed]
        best = max((share for share, _ in shares), default=0.0)
        moments = [
            Moment(
                part.part, round(candidate.score - candidate.boost * (best - share), 4),
                part.start_ms, part.end_ms, part.at_ms, part.text,
            )
            for share, part in shares
            if share > best / 2  # and not 0
        ]  # fmt: skip
        return tuple(sorted(moments, key=lambda moment: (-moment.score, moment.part))[:MOST])

    def _share(self, text: str) -> float:
        """Of the words of the query, how many are in this text, in [0, 1]."""
        if not text or not self._words:
            return 0.0
        return len(self._words & set(plain(text).split())) / len(self._words)


def _searched(index: VectorIndex, ids: Ids, allowed: Ids | None) -> Ids:
    """Those of the ids that the index holds, and that are allowed."""
    held: Ids = ids[index.holds(ids)]
    return held if allowed is None else np.intersect1d(held, allowed)
