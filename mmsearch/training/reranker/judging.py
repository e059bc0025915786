"""How good a reranker is on photos that it did not learn from, and the rule to combine its scores by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsearch.rerank.card import RerankCard
from mmsearch.rerank.fusion_rules import RULES, combine
from mmsearch.rerank.model import RerankModel
from mmsearch.training.reranker import answers as answer_rules
from mmsearch.training.reranker.data import (
    CAPTION_QUESTIONS,
    WRITTEN_QUESTIONS,
    EvalData,
)
from mmsearch.training.reranker.recipe import RerankRecipe
from mmsearch.training.reranker.trainer import SELECTION_METRIC, match_scores

WEIGHTS = (0.0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02, 0.025, 0.03, 0.04, 0.06, 0.1)  # tried on dev
ENOUGH = 50  # yes/no questions, to fit how yes is told from no


def few(dev: EvalData, recipe: RerankRecipe, answers: Sequence[str]) -> Callable[[RerankModel], dict[str, float]]:
    """A quick look at some of dev's captions and their first candidates; selected by R@1 with the best weight."""
    some = np.unique(np.linspace(0, len(dev.captions) - 1, min(recipe.dev_queries, len(dev.captions))).astype(np.int64))
    count = min(recipe.dev_candidates, dev.candidates.shape[1])

    def look(model: RerankModel) -> dict[str, float]:
        match = match_scores(model, dev.tokens, dev.lines, dev.captions[some], dev.candidates[some, :count])
        first, right = dev.first[some, :count], dev.candidates[some, :count] == dev.owner[some, None]
        found = {weight: recall(first, match, right, "weighted", weight)[0] for weight in WEIGHTS}
        best = max(found, key=lambda weight: found[weight])
        figures = {
            SELECTION_METRIC: found[best],
            "first": found[0.0],
            "match": recall(first, match, right, "match", 1.0)[0],
        }
        figures["weight"] = best
        figures["changed"] = changed_accuracy(model, dev, some)["all"]["reranker"]
        if len(dev.questions):
            figures |= {f"answers_{n}": v for n, v in answer_accuracy(model, dev, answers, 600).items()}
        return figures

    return look


def recall(
    first: NDArray[np.float32], match: NDArray[np.float32], right: NDArray[np.bool_], rule: Any, weight: float
) -> tuple[float, float, float]:
    """R@1, R@5 and R@10 in percent after reranking, 0 without queries; ``right`` (q, k) marks the right candidate, if
    it is there."""
    if not len(first):
        return 0.0, 0.0, 0.0
    ranks = ranked(first, match, right, rule, weight)
    one, five, ten = (round(100 * float((ranks <= k).mean()), 2) for k in (1, 5, 10))
    return one, five, ten


def ranked(
    first: NDArray[np.float32], match: NDArray[np.float32], right: NDArray[np.bool_], rule: Any, weight: float
) -> NDArray[np.int64]:
    """The rank of the right candidate of each query, (q,); k + 1 where the first stage did not find it."""
    ranks = np.full(len(first), first.shape[1] + 1, np.int64)
    for query in range(len(first)):
        if right[query].any():
            scores = combine(first[query], match[query], rule, weight)
            ranks[query] = int((scores >= scores[right[query]][0]).sum())  # a tie counts against the right one
    return ranks


def changed_accuracy(model: RerankModel, dev: EvalData, some: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """How often the true caption is ahead of its false version, by kind: first stage and reranker, in percent."""
    rows = some[dev.changed[some] >= 0]
    if not len(rows):
        return {"all": {"first_stage": 0.0, "reranker": 0.0, "captions": 0}}
    own = dev.owner[rows][:, None]
    true = match_scores(model, dev.tokens, dev.lines, rows, own)[:, 0]
    false = match_scores(model, dev.tokens, dev.lines, dev.changed[rows], own)[:, 0]
    kinds = np.array([dev.kinds[row] for row in rows])
    found = {}
    for kind in ("all", *sorted(set(kinds.tolist()))):
        of = np.ones(len(rows), bool) if kind == "all" else kinds == kind
        found[kind] = {
            "first_stage": round(100 * float((dev.near[rows[of], 0] > dev.near[rows[of], 1]).mean()), 2),
            "reranker": round(100 * float((true[of] > false[of]).mean()), 2),
            "captions": int(of.sum()),
        }
    return found


@torch.no_grad()
def answer_logits(model: RerankModel, dev: EvalData, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the answer head says to some of dev's questions, (n, answers)."""
    model.eval()
    device = model.log_scale.device
    found = []
    for start in range(0, len(rows), 128):
        part = rows[start : start + 128]
        states, mask = (one.to(device) for one in dev.lines.batch(dev.questions[part]))
        regions = model.see(dev.tokens[torch.from_numpy(dev.question_photo[part])].to(device))
        found.append(model.answers(model.join(model.read(states), mask, regions).fused).float().cpu().numpy())
    logits: NDArray[np.float32] = np.concatenate(found)
    return logits


def yes_or_no(model: RerankModel, dev: EvalData, answers: Sequence[str]) -> dict[str, Any]:
    """How yes is told from no (``RerankCard.yes``), fitted on the questions about photos with an even number.

    With the share of the others that the answer head alone answers rightly and that the fit does, in percent; where the
    fit is no better there, or there are fewer than ``ENOUGH`` questions in a part, the head alone is kept.
    """
    alone = RerankCard.yes
    rows = np.flatnonzero((dev.things >= 0) & np.isin(dev.answers, ("yes", "no")))
    half = dev.question_photo[rows] % 2 == 0
    if min(half.sum(), (~half).sum()) < ENOUGH:
        return {"fit": alone, "head": 0.0, "fitted": 0.0, "questions": 0}
    logits = answer_logits(model, dev, rows)
    odds = logits[:, answers.index("yes")] - logits[:, answers.index("no")]
    match = match_scores(model, dev.tokens, dev.lines, dev.things[rows], dev.question_photo[rows][:, None])[:, 0]
    right = np.array(dev.answers)[rows] == "yes"
    fit = answer_rules.fit_yes(odds[half], match[half], right[half])
    head, fitted = (
        round(100 * float(((a * odds + b * match + c > 0) == right)[~half].mean()), 2) for a, b, c in (alone, fit)
    )
    return {"fit": fit if fitted > head else alone, "head": head, "fitted": fitted, "questions": int((~half).sum())}


def answer_accuracy(model: RerankModel, dev: EvalData, answers: Sequence[str], limit: int = 0) -> dict[str, float]:
    """Questions answered exactly right, by source, in percent."""
    rows = np.arange(len(dev.questions))
    if limit:
        rows = np.concatenate([np.flatnonzero(dev.sources == s)[:limit] for s in np.unique(dev.sources)])
    best = answer_logits(model, dev, rows).argmax(axis=1).tolist() if len(rows) else []
    right = np.array([answers[b] == dev.answers[row] for b, row in zip(best, rows, strict=True)], bool)
    names = {CAPTION_QUESTIONS: "captions", WRITTEN_QUESTIONS: "given"}
    return {
        names[int(s)]: round(100 * float(right[dev.sources[rows] == s].mean()), 2) for s in np.unique(dev.sources[rows])
    }


def baseline(prior: answer_rules.Prior, dev: EvalData) -> dict[str, float]:
    """The most frequent answer of each type of question, by source, in percent."""
    right = np.array([prior.answer(q) == a for q, a in zip(dev.asked, dev.answers, strict=True)])
    names = {CAPTION_QUESTIONS: "captions_baseline", WRITTEN_QUESTIONS: "given_baseline"}
    return {names[int(s)]: round(100 * float(right[dev.sources == s].mean()), 2) for s in np.unique(dev.sources)}


def examine(model: RerankModel, dev: EvalData, answers: Sequence[str]) -> dict[str, Any]:
    """All figures on dev, and the rule and weight to combine scores by, see ``choose``."""
    match = match_scores(model, dev.tokens, dev.lines, dev.captions, dev.candidates)
    rule, table = choose(dev.first, match, dev.candidates == dev.owner[:, None], dev.owner % 2 == 0)
    return {
        "rule": rule, "rules": table, "changed": changed_accuracy(model, dev, dev.captions),
        "answers": answer_accuracy(model, dev, answers), "yes": yes_or_no(model, dev, answers),
        "candidates": dev.candidates.shape[1], "queries": len(dev.captions),
    }  # fmt: skip


def choose(
    first: NDArray[np.float32], match: NDArray[np.float32], right: NDArray[np.bool_], half: NDArray[np.bool_]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rule and weight with the best R@1 in one half of the queries, ``half`` (q,), and the recalls of all.

    Whether it ``helps`` is said by the other half: it must be better there than the first stage.
    """
    table: dict[str, Any] = {}
    tried = [(rule, 1.0) for rule in RULES if rule != "weighted"] + [("weighted", weight) for weight in WEIGHTS]
    for rule, weight in tried:
        name = _named(rule, weight)
        table[name] = {
            "all": recall(first, match, right, rule, weight),
            "half": recall(first[half], match[half], right[half], rule, weight)[0],
            "other": recall(first[~half], match[~half], right[~half], rule, weight)[0],
        }
    best = max(tried, key=lambda one: table[_named(*one)]["half"])
    helps = table[_named(*best)]["other"] > table[_named("weighted", 0.0)]["other"]
    return {"rule": best[0], "weight": best[1], "helps": helps}, table


def _named(rule: str, weight: float) -> str:
    return f"{rule} {weight}" if rule == "weighted" else rule
