"""Reranking: the best candidates by what the reranker finds in their region tokens, and answers to questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import LibraryError, ModelError, UnreachableError
from mmsearch.language import questions
from mmsearch.rerank.fusion_rules import combine, in_spreads
from mmsearch.search.scored import Scored
from mmsearch.search.unreachable import without
from mmsearch.store import limit
from mmsearch.store.breaker import LOST, Breaker
from mmsearch.store.steps import step
from mmsearch.store.types import StoredModel
from mmsearch.types import Ids, Note, Regions

if TYPE_CHECKING:
    from mmsearch.rerank.reranker import Answer, Reranker
    from mmsearch.store.protocol import Store
    from mmsearch.store.region_tokens import TokenModel

# Candidates that are reranked where nobody asked for it, at most: with 100 no caption finds its photo better
# (``python -m benchmarks.second_look``).  Answers are looked for in all that the setting allows.
FEW = 30
SHARE = 0.5  # of the time that is left, for the tokens: the files of the hits are looked up after it
ANSWER_WEIGHT = 5.0  # of the log-odds of yes against no beside the match, a logit too: python -m benchmarks.questions

Notes = tuple[Note, ...]


def left_out(error: ModelError) -> Note:
    """That a search went on without reranking, and why: ``error`` is the code of what was in the way."""
    text = f"the best pictures were not looked at again: {error}"
    return Note(text, "not-reranked", **{**error.fields, "reason": str(error), "error": error.code})


@dataclass(frozen=True)
class RerankStage:
    """A reranker, and how it is used."""

    reranker: Reranker
    tokens: TokenModel | None = None  # what it reads; None where the library has none of these yet
    rerank_depth: int = 100  # candidates at most
    required: bool = True  # somebody asked for it; else a search goes on without it where it does not work
    own: bool = True  # the tokens are of the model that is searched with; else only who asks for it gets another order
    breaker: Breaker | None = None  # through which tokens are asked for

    def gains(self, texts: Sequence[str]) -> bool:
        """Whether it helps for the words of a query: not for a single word that is no question, unless it is required.

        ``python -m benchmarks.second_look`` has what it gains for one word, for two, and for more.  Where it reads the
        tokens of another model than the one searched with, only questions gain: their answers.
        """
        words = [word for text in texts for word in text.split()]
        return self.required or (self.own and len(words) > 1) or any(questions.parse(text) for text in texts)

    def depth(self, texts: Sequence[str]) -> int:
        """How many of the best candidates are reranked for the words of a query."""
        wanted = self.required or any(questions.parse(text) for text in texts)
        return self.rerank_depth if wanted else min(self.rerank_depth, FEW)

    def rank(
        self, texts: Sequence[str], candidates: Sequence[Scored], store: Store, model: StoredModel
    ) -> tuple[list[Scored], Notes]:
        """``candidates``, best first, in their new order, and what a person should know.

        Photos are judged by the mean match of all ``texts``.  Of a question the match is that of the thing it asks
        about; where it can be answered by yes or no, the log-odds of yes are added, weighed, before the rule of the
        reranker's card makes one score of both stages', and photos that are answered yes come before the others.
        Photos without region tokens get the mean match of the others, so that they move neither up nor down by
        themselves; where none has any, all stay as they were.  Where the tokens are of another model than the one
        searched with, photos get answers and keep their scores, unless it is ``required``.  Where the
        tokens cannot be read, all stay as they were and a note says so.

        Raises ModelError when the reranker's files turn out to be damaged; where it is not ``required``, all stay as
        they were and a note says so.
        """
        if not candidates:
            return [], ()
        ids = np.array([one.id for one in candidates], np.int64)
        try:
            tokens, has_tokens = self._tokens(ids, store, model)
        except UnreachableError as error:
            return list(candidates), (without(error),)
        if not has_tokens.any():
            note = Note("nothing was reranked: no region tokens are stored", "no-region-tokens")
            return list(candidates), (note,) if self.required else ()
        try:
            with step("rerank", count=len(candidates)):
                matches, answers = self._match(texts, tokens[has_tokens])
        except ModelError as error:
            if self.required:
                raise
            return list(candidates), (left_out(error),)
        return self._fused(candidates, has_tokens, matches, answers), ()

    def _tokens(self, ids: Ids, store: Store, model: StoredModel) -> tuple[Regions, NDArray[np.bool_]]:
        """As ``TokenModel.tokens``.  Raises UnreachableError where they cannot be read."""
        if self.tokens is None:
            return np.empty((len(ids), 0, 0), np.float32), np.zeros(len(ids), np.bool_)
        asked = self.breaker or Breaker("tokens", "the store")
        try:
            with step("tokens", count=len(ids)), asked.asked(_is_unread), limit.share(SHARE):
                return self.tokens.tokens(store, ids, model)
        except (LibraryError, OSError) as error:
            if isinstance(error, UnreachableError) or not _is_unread(error):
                raise
            raise UnreachableError("tokens", asked.name, str(error)) from error

    def _match(self, texts: Sequence[str], tokens: Regions) -> tuple[NDArray[np.float32], list[Answer]]:
        """Mean match of the texts with n photos (n,), and the photos' answers to the first question, if any."""
        matches = []
        answers: list[Answer] = []
        for text in texts:
            question = questions.parse(text)
            match = self.reranker.look(question.thing if question else text, tokens).match
            if question is not None:
                look = self.reranker.look(question.text, tokens)
                shares = self.reranker.shares(question, look, match)
                answers = answers or [self.reranker.best_answers(row, 1)[0] for row in shares]
                if question.kind == "yes/no":
                    match = match + ANSWER_WEIGHT * self.reranker.odds(look)
            matches.append(match)
        return np.mean(matches, axis=0), answers

    def _fused(
        self,
        best: Sequence[Scored],
        has_tokens: NDArray[np.bool_],
        matches: NDArray[np.float32],
        answers: Sequence[Answer],
    ) -> list[Scored]:
        """The best n candidates by both stages, in their new order.

        ``has_tokens`` (n,) says which of them ``matches`` and ``answers``, if any, are of.
        """
        answer_of = dict(zip(np.flatnonzero(has_tokens).tolist(), answers, strict=False))  # row -> answer
        if not (self.own or self.required):
            return [
                one._replace(answer=answer_of[row].text, confidence=answer_of[row].confidence)
                if row in answer_of
                else one
                for row, one in enumerate(best)
            ]
        match = np.full(len(best), matches.mean(), np.float32)
        match[has_tokens] = matches
        first = np.array([one.score for one in best], np.float32)
        card = self.reranker.card
        fused = combine(first, match, card.rule, card.weight) if self.own else in_spreads(first, match)
        yes = np.array([row in answer_of and answer_of[row].text == "yes" for row in range(len(best))])
        fused = _ahead(fused, yes)
        reranked = []
        for row in np.lexsort((-fused, ~yes)).tolist():  # stable
            answer = answer_of.get(row)
            reranked.append(
                best[row]._replace(
                    score=float(fused[row]),
                    reranked=True,
                    answer=answer.text if answer else None,
                    confidence=answer.confidence if answer else None,
                )
            )
        return reranked


def _is_unread(error: BaseException) -> bool:
    """Whether an error is one of what has the tokens, a server or a drive; not of the store, which has all the rest."""
    if isinstance(error, LibraryError):
        return error.code not in ("library-closed", LOST)
    return isinstance(error, OSError)


def _ahead(scores: NDArray[np.float32], yes: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``scores`` (n,), those that are not ``yes`` lowered together until none is above one that is."""
    if yes.all() or not yes.any():
        return scores
    return np.where(yes, scores, scores - max(scores[~yes].max() - scores[yes].min(), np.float32(0)))
