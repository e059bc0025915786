"""Texts that a library can answer, and cannot: from captions of its photos.  A relevance is fitted and judged on them.

Captions and short texts from them ("a brown dog", "dog") are asked for twice: over all photos, and over those in which
nobody mentions any thing that they name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder
from mmsearch.language.nouns import nouns, phrases, tokenize
from mmsearch.rerank.fusion_rules import combine
from mmsearch.rerank.reranker import Reranker
from mmsearch.search import querybank
from mmsearch.search.calibration import Logistic, Shares, query_hubness
from mmsearch.search.hubness import hubness_penalty
from mmsearch.search.relevance import OF_CAPTIONS, OF_THINGS, SHORT, Map, above_querybank
from mmsearch.search.retrieval import beta
from mmsearch.search.text_adapter import moved
from mmsearch.types import Ids, Regions, Vectors

CANDIDATES = 20  # photos that are reranked for each caption
KEPT = 0.9  # of queries with an answer
NO_THINGS = {"person", "body", "clothing", "group"}  # kinds of nouns that nearly all photos have something of


def encode(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """Unit rows (n, dim) of texts, some at once."""
    return np.concatenate([encoder.encode_texts(texts[at : at + 64]) for at in range(0, len(texts), 64)])


def _each(encoder: Encoder, texts: Sequence[str], at_once: int) -> Iterator[NDArray[np.float32]]:
    """The row of each text.  A reranker reads a text in the same run, if that is of one text."""
    for at in range(0, len(texts), at_once):
        yield from encoder.encode_texts(texts[at : at + at_once])


def typical(encoder: Encoder, vectors: Vectors) -> tuple[float, float]:
    """Mean and spread of the cosines of a text with photos (n, dim): of every tenth noun."""
    cosines = encode(encoder, sorted(nouns())[::10]) @ vectors.T
    return round(float(cosines.mean()), 4), round(float(cosines.std(axis=1).mean()), 4)


@dataclass(frozen=True)
class Asked:
    """A text to ask for, and the photos in which no caption mentions any of its things."""

    photo: int  # that the text is from
    text: str
    short: bool  # one thing, not a caption
    rest: Ids


def asked(captions: Sequence[Sequence[str]], every: int) -> list[Asked]:
    """Of the captions of photos every ``every``-th, and as many short texts.

    A short text is a thing with its article and attributes, or alone.

    Things are nouns that are no persons, clothes or parts of a body; what is below one in WordNet is one too.  Texts
    without a thing are left out, and those that leave few photos.
    """
    mentioned: dict[str, set[int]] = {}
    for row, own in enumerate(captions):
        for phrase in (phrase for text in own for phrase in phrases(tokenize(text))):
            for word in (phrase.noun.word, *phrase.noun.synonyms, *phrase.noun.above):
                mentioned.setdefault(word, set()).add(row)
    long: list[Asked] = []
    short: dict[str, Asked] = {}
    for row, own in enumerate(captions):
        for text in own:
            tokens = tokenize(text)
            things = [phrase for phrase in phrases(tokens) if phrase.noun.kind not in NO_THINGS]
            taken = [mentioned.get(word, set()) for one in things for word in (one.noun.word, *one.noun.synonyms)]
            rest = np.setdiff1d(np.arange(len(captions)), list({row}.union(*taken)))
            if things and len(rest) >= CANDIDATES:
                long.append(Asked(row, text.rstrip(" ."), False, rest))
            for one in things:
                named = {row}.union(*(mentioned.get(word, set()) for word in (one.noun.word, *one.noun.synonyms)))
                rest = np.setdiff1d(np.arange(len(captions)), list(named))
                spelled = text[tokens[one.start].start : tokens[one.head].end].lower()
                for said in (spelled, one.noun.word):
                    if len(rest) >= CANDIDATES:
                        short.setdefault(said, Asked(row, said, True, rest))
    chosen = long[::every]
    return chosen + list(short.values())[:: max(1, len(short) // max(1, len(chosen)))]


def reranked_best(
    scores: NDArray[np.float32], chosen: Ids, text: str, tokens: Regions, reranker: Reranker | None
) -> float:
    """The best score of a text among photos after reranking; nan without a reranker."""
    if reranker is None:
        return math.nan
    match = reranker.look(text, tokens[chosen]).match
    card = reranker.card
    return float(combine(scores[chosen], match, card.rule, card.weight).max())


def scored(
    encoder: Encoder, reranker: Reranker | None, captions: Sequence[Sequence[str]],
    seen: tuple[Vectors, Regions], every: int = 1,
    report: Callable[[int, int], None] | None = None, bank: Vectors | None = None,
) -> dict[str, Shares]:  # fmt: skip
    """Of the texts that are ``asked``: ``photo``, ``short``, ``ground``, ``beta``, ``words``, and what they find.

    ``with``, ``alone`` and ``without`` are (n, 4), over all photos, over all but the own one, and over those without
    its things: of the first stage, reranked, and of the first stage's best photo how far the text is above the
    querybank (``relevance.above_querybank``).  Photos are found by the moved text (``search/text_adapter.py``), the
    best of them is that of the text itself, as a search judges it.  ``seen`` are vectors and region tokens of the
    photos, ``bank`` the querybank, by default the model's own.
    """
    vectors, tokens = seen
    rows = querybank.vectors(encoder) if bank is None else bank
    grounds = hubness_penalty(vectors, rows, 1.0, querybank.NEAREST)
    found: dict[str, list[object]] = {}
    jobs = asked(captions, every)
    queries = _each(encoder, [job.text for job in jobs], 64 if reranker is None else 1)
    for done, (job, plain) in enumerate(zip(jobs, queries, strict=True)):
        share = beta(job.text)
        scores = (vectors @ moved(encoder, plain, job.text) - share * grounds).astype(np.float32)
        values = {"photo": job.photo, "short": job.short, "beta": share, "words": len(job.text.split())}
        values["ground"] = query_hubness(plain, rows, querybank.NEAREST)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
        others = np.delete(np.arange(len(captions)), job.photo)
        for name, some in (("with", np.arange(len(captions))), ("alone", others), ("without", job.rest)):
            chosen = some[np.argsort(-scores[some], kind="stable")[:CANDIDATES]]
            unmoved = vectors[chosen] @ plain - share * grounds[chosen]
            best = chosen[int(np.argmax(unmoved))]
            spreads, margin, _ = above_querybank(float(vectors[best] @ plain), vectors[best], rows)
            score = float(unmoved.max())
            reranked = reranked_best(scores, chosen, job.text, tokens, reranker) + score - float(scores[chosen[0]])
            found.setdefault(name, []).append((score, reranked, spreads, margin))
        if report is not None:
            report(done + 1, len(jobs))
    return {name: np.array(values, np.float64) for name, values in found.items()}


def regression(features: Shares, right: NDArray[np.bool_]) -> Shares:
    """Weights of a logistic regression (f + 1,), the constant last, from features (n, f), by Newton's method.

    Those that are right count as much together as the others.
    """
    features = np.column_stack([features, np.ones(len(features))])
    weights = np.where(right, 0.5 / right.mean(), 0.5 / (~right).mean())
    found = np.zeros(features.shape[1])
    for _ in range(50):
        shares = 1 / (1 + np.exp(-features @ found))
        slope = features.T @ (weights * (right - shares))
        curve = (features * (weights * shares * (1 - shares))[:, None]).T @ features + 1e-9 * np.eye(len(found))
        step = np.linalg.solve(curve, slope)
        found += step
        if np.abs(step).max() < 1e-9:
            break
    return found


def fit(scores: Shares, grounds: Shares, betas: Shares, right: NDArray[np.bool_]) -> Logistic:
    """The map of these scores, hubnesses of queries and ``retrieval.beta``, (n,) each."""
    return Logistic(*(round(float(value), 6) for value in regression(np.column_stack([scores, grounds, betas]), right)))


def maps(scores: dict[str, Shares], rows: NDArray[np.bool_]) -> tuple[Logistic, Logistic | None]:
    """The map of the first stage's scores and that of the reranked ones, fitted on these rows of what was measured."""
    found: list[Logistic | None] = []
    for stage in (0, 1):
        best = np.concatenate([scores["with"][rows, stage], scores["without"][rows, stage]])
        if np.isnan(best).any():
            found.append(None)
            continue
        grounds, betas = np.tile(scores["ground"][rows], 2), np.tile(scores["beta"][rows], 2)
        found.append(fit(best, grounds, betas, np.repeat([True, False], rows.sum())))
    first, reranked = found
    assert first is not None
    return first, reranked


def pooled(scores: dict[str, Shares], rows: NDArray[np.bool_], name: str) -> Shares:
    """A value of each of these queries, once for all photos and once for those without their things, (2 n,)."""
    return np.tile(scores[name][rows], 2)


def stage(scores: dict[str, Shares], rows: NDArray[np.bool_], column: int) -> Shares:
    """A column of what was ``scored`` for these queries: over all photos, then without their things, (2 n,)."""
    return np.concatenate([scores["with"][rows, column], scores["without"][rows, column]])


def general_maps(scores: dict[str, Shares], rows: NDArray[np.bool_]) -> tuple[Map, Map]:
    """``relevance.OF_CAPTIONS`` and ``OF_THINGS``, fitted on these rows of what was measured, of several models."""
    features = np.column_stack([stage(scores, rows, 2), stage(scores, rows, 3)])
    right, short = np.repeat([True, False], rows.sum()), pooled(scores, rows, "words") <= SHORT
    captions, things = (regression(features[own], right[own]).round(3).tolist() for own in (~short, short))
    return Map(*captions), Map(*things)


def general_shares(
    scores: dict[str, Shares], rows: NDArray[np.bool_], fitted: tuple[Map, Map] = (OF_CAPTIONS, OF_THINGS)
) -> Shares:
    """The relevances (2 n,) by maps for any model: of these queries over all photos, then without their things."""
    short = pooled(scores, rows, "words") <= SHORT
    captions, things = (
        one.spreads * stage(scores, rows, 2) + one.margin * stage(scores, rows, 3) + one.offset for one in fitted
    )
    shares: Shares = 1 / (1 + np.exp(-np.where(short, things, captions)))
    return shares


def own_shares(scores: dict[str, Shares], rows: NDArray[np.bool_], logistic: Logistic, column: int = 0) -> Shares:
    """The relevances (2 n,) by the map of a model: of these queries over all photos, then without their things."""
    best = stage(scores, rows, column)
    return logistic(best, pooled(scores, rows, "ground"), pooled(scores, rows, "beta"))


def judged(shares: Shares, short: NDArray[np.bool_]) -> dict[str, float]:
    """How well relevances (2 n,) tell, those of answerable queries first; ``short`` (n,) says which are no captions.

    "log loss"; "calibration error", the mean distance of relevance and share of right ones in tenths (Naeini et al.
    2015), in points; and of captions and of short texts that have no answer the share that is below what 90 % of those
    with one reach, in percent.
    """
    right = np.repeat([True, False], len(short))
    clipped = np.clip(shares, 1e-6, 1 - 1e-6)
    found = {
        "log loss": round(float(-np.where(right, np.log(clipped), np.log(1 - clipped)).mean()), 4),
        "calibration error": round(100 * expected_calibration_error(shares, right), 1),
    }
    for name, own in (("captions", ~short), ("short", short)):
        if own.any():
            there, gone = shares[: len(short)][own], shares[len(short) :][own]
            found[f"{name} empty"] = round(100 * float((gone < np.quantile(there, 1 - KEPT)).mean()), 1)
    return found


def expected_calibration_error(shares: Shares, right: NDArray[np.bool_], bins: int = 10) -> float:
    """The mean distance, in [0, 1], of a probability and the share of right ones, in ``bins`` equal parts."""
    part = np.minimum((shares * bins).astype(int), bins - 1)
    parts = [part == number for number in np.unique(part)]
    return sum(abs(float(shares[own].mean() - right[own].mean())) * float(own.mean()) for own in parts)
