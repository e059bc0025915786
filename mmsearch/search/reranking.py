"""A second look at the best pictures of a search: the reranker's match, and answers to questions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import ModelError
from mmsearch.language import questions
from mmsearch.query.model import Query, Words
from mmsearch.rerank.fusion_rules import combine
from mmsearch.store.types import StoredModel

if TYPE_CHECKING:
    from mmsearch.rerank.reranker import Answer, Reranker
    from mmsearch.store.protocol import Store

log = logging.getLogger(__name__)

LEFT_OUT = "the best pictures were not looked at again: %s"
ANSWER_WEIGHT = 5.0  # of the log-odds of yes against no beside the match, a logit too: python -m benchmarks.questions


@dataclass(frozen=True)
class Scored:
    """A found vector."""

    number: int  # its id
    score: float  # what it is ranked by
    cosine: float = 0.0  # with the query
    reranked: bool = False
    answer: str | None = None
    confidence: float | None = None
    by_words: float = 0.0  # share of the words of the query that are written about it, where these decide
    boost: float = 0.0  # what words add to its score
    relevance: float | None = None  # in [0, 1]; None where nobody knows


@dataclass(frozen=True)
class SecondStage:
    """A reranker, and how many pictures it looks at."""

    reranker: Reranker
    candidates: int = 100
    wanted: bool = True  # somebody asked for it; else a search goes on without it where it does not work

    def first_query(self, query: Query) -> Query:
        """What the first stage is to look for: where a term is a question, the thing that it asks about."""
        terms = [
            Words(question.thing) if isinstance(term, Words) and (question := questions.parse(term.text)) else term
            for term in query.terms
        ]
        return Query(tuple(terms))

    def rank(
        self, texts: Sequence[str], scored: Sequence[Scored], store: Store, model: StoredModel, encoder: Encoder
    ) -> list[Scored]:
        """``scored``, best first, in their new order; beyond ``candidates`` it stays as it was.

        Photos are judged by the mean match of all texts.  Of a question the match is that of the thing it asks about;
        where it can be answered by yes or no, the log-odds of yes are added, weighed, before the rule of the reranker's
        card makes one score of both stages', and photos that are answered yes come before the others.  Photos without
        region tokens get the mean match of the others, so that they move neither up nor down by themselves; where none
        has any, all stay as they were.

        Raises ModelError when the reranker's files turn out to be damaged; where it is not ``wanted``, all stay as they
        were and the log has a warning.
        """
        try:
            return self._rank(texts, scored, store, model, encoder)
        except ModelError as error:
            if self.wanted:
                raise
            log.warning(LEFT_OUT, error)
            return list(scored)

    def _rank(
        self, texts: Sequence[str], scored: Sequence[Scored], store: Store, model: StoredModel, encoder: Encoder
    ) -> list[Scored]:
        card = encoder.card.regions
        best, rest = list(scored[: self.candidates]), list(scored[self.candidates :])
        if card is None or not best:
            return list(scored)
        tokens, there = store.regions(np.array([one.number for one in best], np.int64), model, card)
        if not there.any():
            return list(scored)
        seen = tokens[there]
        matches = []
        answers: list[Answer] = []  # to the first question, of each photo that is seen
        for text in texts:
            question = questions.parse(text)
            match = self.reranker.look(question.thing if question else text, seen).match
            if question is not None:
                look = self.reranker.look(question.text, seen)
                shares = self.reranker.shares(question, look, match)
                answers = answers or [self.reranker.best_answers(row, 1)[0] for row in shares]
                if question.kind == "yes/no":
                    match = match + ANSWER_WEIGHT * self.reranker.odds(look)
            matches.append(match)
        mean = np.mean(matches, axis=0)  # (seen,)
        whole = np.full(len(best), mean.mean(), np.float32)
        whole[there] = mean
        first = np.array([one.score for one in best], np.float32)
        final = combine(first, whole, self.reranker.card.rule, self.reranker.card.weight)
        said = dict(zip(np.flatnonzero(there).tolist(), answers, strict=False))  # place -> answer
        yes = np.array([place in said and said[place].text == "yes" for place in range(len(best))])
        final = _ahead(final, yes)
        found = [
            replace(
                one, score=float(final[place]), reranked=True,
                answer=said[place].text if place in said else None,
                confidence=said[place].confidence if place in said else None,
            )
            for place, one in enumerate(best)
        ]  # fmt: skip
        order = np.lexsort((-final, ~yes))  # stable
        lowest, last = float(final.min()), best[-1].score
        following = [replace(one, score=lowest - (last - one.score)) for one in rest]  # below all others, as it was
        return [*(found[place] for place in order), *following]


def _ahead(scores: NDArray[np.float32], yes: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``scores`` (n,), those that are not ``yes`` lowered together until none is above one that is."""
    if yes.all() or not yes.any():
        return scores
    return np.where(yes, scores, scores - max(scores[~yes].max() - scores[yes].min(), np.float32(0)))
