"""Retrieve, rerank, judge: the order of a query's pictures, computed no further than a page needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from mmsearch.errors import QueryError
from mmsearch.query.model import Example, Query
from mmsearch.search import relevance, retrieval
from mmsearch.search.calibration import Logistic, query_hubness
from mmsearch.search.engine import Engine
from mmsearch.search.moments import best_of_files, by_words, with_all_parts
from mmsearch.search.options import Options
from mmsearch.search.querybank import NEAREST
from mmsearch.search.retrieval import ParsedQuery, augmented
from mmsearch.search.scored import Block, Scored
from mmsearch.search.text_boost import TextBoost, text_boosts
from mmsearch.store.steps import step
from mmsearch.types import Ids, Note, Vectors

DEPTH = 10  # candidates that are retrieved first, however few hits are asked for …
GROWTH = 10  # … and how many times as many when these are used up
FEW = 20_000  # of so few pictures 100 are as quick to find as 10: all of them are compared
JUDGED = 20  # candidates of a moved text that are compared with the text itself


@dataclass
class Ranking:
    """The candidates of a query, best first, to be gone through once.

    They are retrieved in blocks: the best 10, then those among the best 100 that were not among these, then those among
    1,000 and so on.  Where few pictures are searched the first block has 100; as many as are reranked; and 100 where
    near-duplicates are to be folded.  No block depends on the page that is asked for: so pages are cut from one order,
    also where a deeper search finds other pictures, as with an approximate index, with words that very many pictures
    have, and with excluded terms.
    """

    engine: Engine
    query: Query
    parsed: ParsedQuery
    texts: Sequence[str]  # the query's words as they were asked: for the reranker, questions are still questions
    options: Options
    allowed: Ids | None = None  # ids that meet the conditions; None for all
    notes: list[Note] = field(default_factory=list)  # what a person should know, as far as the candidates were computed
    left_out: bool = False  # a candidate, because it is not relevant enough

    def __iter__(self) -> Iterator[Block[Scored]]:
        """Scores never rise.  Ends where all that follows is not relevant enough.  Raises QueryError, ModelError."""
        lowest, drop = np.inf, 0.0
        logistic: Logistic | None = None
        for number, block in enumerate(self._retrieved()):
            if number == 0:
                candidates, drop = self._reranked(block.items)
                with step("judge"):
                    logistic = self._logistic(candidates)
                self._check_relevance(logistic)
            else:
                candidates = [one._replace(score=one.score - drop) for one in block.items]
            if not candidates:
                yield block
                continue
            last = False
            if logistic is not None:
                with step("judge"):
                    candidates, last = self._relevant(candidates, logistic)
            shown = []
            for one in candidates:
                lowest = min(lowest, one.score)
                shown.append(one._replace(score=lowest) if one.score > lowest else one)
            yield Block(shown, last or block.last)
            if last:
                return

    def _retrieved(self) -> Iterator[Block[Scored]]:
        """The blocks, each with its best candidate first; the last one may be empty."""
        stage, index = self.engine.reranking, self.engine.index
        searched = len(index) if self.allowed is None else len(self.allowed)
        depth = 100 if self.options.diverse or searched <= FEW else DEPTH
        depth = max(depth, stage.depth(self.texts) if stage else 0)
        examples = sum(isinstance(term, Example) for term in self.query.terms)  # these are no hits
        seen: set[int] = set()
        while True:
            count = depth + examples
            found = self._of_files(count)
            new = {first: one for first, one in found.items() if first not in seen}
            if len(found) < count:
                yield Block(list(new.values()), last=True)
                return
            block = dict(islice(new.items(), count - len(seen)))
            seen |= block.keys()
            yield Block(list(block.values()), last=False)
            depth *= GROWTH

    def _of_files(self, depth: int) -> dict[int, Scored]:
        """The best candidate of each of the ``depth`` best files, as ``best_of_files`` has them.

        Fewer than ``depth`` only where there are no more: a film may have hundreds of candidates.
        """
        count = depth
        while True:
            found = self._retrieve(count)
            best = best_of_files(self.engine.store, self.engine.model, found)
            if len(best) >= depth or len(found) < count:
                return best
            count *= GROWTH

    def _retrieve(self, depth: int) -> list[Scored]:
        """The ``depth`` best pictures by their vectors, and as many by words that are written about them.

        Fewer than ``depth`` only where there are no more.
        """
        engine, parsed = self.engine, self.parsed
        text = "" if self.query.arithmetic else parsed.text
        among = by_words(engine.store, engine.model, self.allowed, self.query.conditions) if text else None
        words = engine.find_words(text, among, depth) if text else []
        having = np.array([hit.number for hit in words], np.int64)
        having = with_all_parts(engine.store, engine.model, having, self.allowed) if words else having
        known = engine.index.holds(having)  # another process may just have stored them
        with step("retrieve", count=depth):
            found = retrieval.candidates(parsed, engine.index, depth, self.allowed, having[known])
        if not known.all():  # nor has sound any vectors
            sounds = np.intersect1d(having[~known], engine.store.without_vectors(engine.model))
            found = retrieval.with_ordinary(found, parsed, engine.index, sounds)
        firsts = engine.store.firsts(found.ids, engine.model) if words else None
        firsts = found.ids if firsts is None else np.where(firsts >= 0, firsts, found.ids)
        boosts = text_boosts(engine.find_words(text, np.unique(firsts), len(firsts)) if words else [])
        cosines = np.clip(found.cosines.astype(np.float64), -1, 1).round(4)  # rounding takes them out of the range
        scored, none = [], TextBoost(0.0, 0.0)
        rows = zip(found.ids.tolist(), firsts.tolist(), found.scores.tolist(), cosines.tolist(), strict=True)
        for vector_id, first, score, cosine in rows:
            boost = boosts.get(first, none)
            scored.append(Scored(vector_id, score + boost.added, cosine, boost.added, boost.word_share))
        return sorted(scored, key=lambda one: (-one.score, one.id))

    def _reranked(self, block: Sequence[Scored]) -> tuple[Sequence[Scored], float]:
        """The first block in its new order, and by how much the scores of all that follow are lowered.

        So they stay below those that were reranked.
        """
        stage = self.engine.reranking
        if stage is None or not block:
            return block, 0.0
        if not self.parsed.text:
            if stage.required:
                self.notes.append(Note("nothing was reranked: the query has no words", "nothing-to-rerank"))
            return block, 0.0
        if not stage.gains(self.texts):
            return block, 0.0
        engine = self.engine
        depth = stage.depth(self.texts)
        best, rest = block[:depth], block[depth:]
        reranked, notes = stage.rank(self.texts, best, engine.store, engine.model)
        self.notes += notes
        if not any(one.reranked for one in reranked):  # as they were, but for answers
            return [*reranked, *rest], 0.0
        drop = best[-1].score - min(one.score for one in reranked)
        return [*reranked, *(one._replace(score=one.score - drop) for one in rest)], drop

    def _logistic(self, block: Sequence[Scored]) -> Logistic | None:
        """What makes a score a relevance: for a text that is no question, after reranking for a calibrated model."""
        engine, parsed = self.engine, self.parsed
        if engine.querybank is None:
            return None
        if not parsed.text or len(parsed.wanted) > 1 or self.query.arithmetic:
            return None
        if any(one.answer in ("yes", "no") for one in block):  # then scores are of another kind
            return None
        reranked = any(one.reranked for one in block)
        if engine.calibration is None:
            return None if reranked else self._general(block, engine.querybank)
        if not reranked:
            return self._unmoved(block, engine.calibration.first)
        stage = engine.reranking
        fits = stage is not None and stage.reranker.card.fingerprint == engine.calibration.reranker
        return self._unmoved(block, engine.calibration.reranked) if fits else None

    def _unmoved(self, block: Sequence[Scored], logistic: Logistic | None) -> Logistic | None:
        """That of a short text whose vector was moved: the best picture is as likely as the best by the text itself.

        Moved, a text says better which of the pictures shows it, and no better whether any does.
        """
        wanted, held = self.parsed.wanted[0], self.engine.index.holds
        if logistic is None or wanted.plain is None:
            return logistic
        ranked = np.array([one.id for one in sorted(block, key=lambda one: one.boost - one.score)], np.int64)
        rows = self.engine.index.vectors(ranked[held(ranked)][:JUDGED])
        if not len(rows):
            return logistic
        lift = float((rows @ augmented(wanted.unmoved)).max() - (rows @ augmented(wanted)).max())
        return replace(logistic, offset=logistic.offset + logistic.score * lift)

    def _general(self, block: Sequence[Scored], querybank: Vectors) -> Logistic:
        """That of a model without a calibration, from its best picture by vectors."""
        if not block:
            return Logistic(0.0, 0.0, 0.0, 0.0)  # nothing is judged
        shown = [one for one in block if self.engine.index.holds(np.array([one.id], np.int64))[0]]
        if not shown:  # sound, which has no vector
            return Logistic(0.0, 0.0, 0.0, 0.0)
        best = max(shown, key=lambda one: one.score - one.boost)
        row = self.engine.index.vectors(np.array([best.id], np.int64))[0, :-1]
        cosine = float(row @ self.parsed.wanted[0].unmoved.vector)
        return relevance.logistic(self.parsed.text, best.score - best.boost, cosine, row, querybank)

    def _check_relevance(self, logistic: Logistic | None) -> None:
        """Where it is unknown nobody can ask for it: an error where one does, a note where the settings do."""
        if logistic is not None:
            return
        if self.options.min_relevance:
            raise QueryError(
                "the least relevance can be asked for only where it is known: for words that are no question, and "
                "after reranking only with a model that was calibrated with its reranker, as the embedded one was",
                code="relevance-unknown",
            )
        if self.options.usual_relevance and self.options.min_relevance is None:
            self.notes.append(
                Note(
                    "the relevance of these pictures is not known: none was left out for it",
                    "relevance-not-applied",
                    min_relevance=self.options.usual_relevance,
                )
            )

    def _relevant(self, block: Sequence[Scored], logistic: Logistic) -> tuple[list[Scored], bool]:
        """Those of the candidates that are relevant enough, with their relevance; and whether no others can be.

        What follows scores no more than the last one, also before words are counted too.
        """
        assert self.engine.querybank is not None
        wanted, least = self.parsed.wanted[0].unmoved, self.options.least_relevance
        scores = np.array([*(one.score - one.boost for one in block), block[-1].score], np.float64)
        shares = logistic(scores, query_hubness(wanted.vector, self.engine.querybank, NEAREST), wanted.beta)
        likely = np.maximum(shares[:-1], [one.word_share for one in block]).round(4).tolist()
        pairs = zip(block, likely, strict=True)
        relevant = [Scored(*one[:-1], relevance=r) for one, r in pairs if r >= least]  # ``_replace`` takes far longer
        self.left_out = self.left_out or len(relevant) < len(block)
        return relevant, shares[-1] < least
