"""A model's querybank and its calibration, from captioned photos that it was not trained on.

The querybank are centroids of training captions (spherical k-means, Dhillon and Modha 2001): what a photo's hubness is
taken from, see ``mmsearch/search/hubness.py``.  The calibration says how a score becomes a relevance, see
``mmsearch/search/calibration.py``: it is fitted on captions and on short texts from them ("a brown dog", "dog"), each
twice: over all photos, and over those in which nobody mentions any thing that it names.
"""

from __future__ import annotations

import math
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
from mmsearch.search.retrieval import beta
from mmsearch.training.common.pairs import Pairs, Pictures
from mmsearch.training.common.progress import Counter
from mmsearch.types import Ids, Regions, Vectors

CENTROIDS = 512
CANDIDATES = 20  # photos that are reranked for each caption
NO_THINGS = {"person", "body", "clothing", "group"}  # kinds of nouns that nearly all photos have something of


def centroids(encoder: Encoder, texts: list[str]) -> Vectors:
    """At most (CENTROIDS, dim) float32, unit rows: of as few texts they are the texts themselves."""
    import faiss

    rows = encode(encoder, texts)
    if len(rows) <= CENTROIDS:
        return rows
    means = faiss.Kmeans(rows.shape[1], CENTROIDS, niter=20, spherical=True, seed=0, min_points_per_centroid=1)
    means.train(rows)
    rows = np.asarray(means.centroids, np.float32)
    found: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def encode(encoder: Encoder, texts: list[str]) -> Vectors:
    return np.concatenate([encoder.encode_texts(texts[at : at + 64]) for at in range(0, len(texts), 64)])


def pictures(encoder: Encoder, photos: Pairs) -> tuple[Vectors, Regions]:
    """Vectors and region tokens of all photos, which must be readable; an encoder without tokens gives empty ones."""
    _, opened = Pictures.open(photos, encoder.card.preprocess)
    vectors, tokens = [], []
    for start in range(0, len(photos), 32):
        rows, own = encoder.encode_pictures(opened.plain(range(start, min(start + 32, len(photos)))))
        vectors.append(rows)
        tokens.append(np.empty((len(rows), 0, 0), np.float32) if own is None else own)
    return np.concatenate(vectors), np.concatenate(tokens)


@dataclass(frozen=True)
class Asked:
    """A text to ask for, and the photos in which no caption mentions any of its things."""

    photo: int  # that the text is from
    text: str
    short: bool  # one thing, not a caption
    rest: Ids


def asked(photos: Pairs, every: int) -> list[Asked]:
    """Of the captions every ``every``-th, and as many short texts: a thing with its article and attributes, or alone.

    Things are nouns that are no persons, clothes or parts of a body; what is below one in WordNet is one too.  Texts
    without a thing are left out, and those that leave few photos.
    """
    mentioned: dict[str, set[int]] = {}
    for row, own in enumerate(photos.texts):
        for phrase in (phrase for text in own for phrase in phrases(tokenize(text))):
            for word in (phrase.noun.word, *phrase.noun.synonyms, *phrase.noun.above):
                mentioned.setdefault(word, set()).add(row)
    long: list[Asked] = []
    short: dict[str, Asked] = {}
    for row, own in enumerate(photos.texts):
        for text in own:
            tokens = tokenize(text)
            things = [phrase for phrase in phrases(tokens) if phrase.noun.kind not in NO_THINGS]
            taken = [mentioned.get(word, set()) for one in things for word in (one.noun.word, *one.noun.synonyms)]
            rest = np.setdiff1d(np.arange(len(photos)), list({row}.union(*taken)))
            if things and len(rest) >= CANDIDATES:
                long.append(Asked(row, text.rstrip(" ."), False, rest))
            for one in things:
                named = {row}.union(*(mentioned.get(word, set()) for word in (one.noun.word, *one.noun.synonyms)))
                rest = np.setdiff1d(np.arange(len(photos)), list(named))
                spelled = text[tokens[one.start].start : tokens[one.head].end].lower()
                for said in (spelled, one.noun.word):
                    if len(rest) >= CANDIDATES:
                        short.setdefault(said, Asked(row, said, True, rest))
    chosen = long[::every]
    return chosen + list(short.values())[:: max(1, len(short) // max(1, len(chosen)))]


def best_scores(
    scores: NDArray[np.float32], rows: Ids, text: str, tokens: Regions, reranker: Reranker | None
) -> tuple[float, float]:
    """The best score of a text among the photos ``rows``: of the first stage, and after reranking; nan without one."""
    chosen = rows[np.argsort(-scores[rows], kind="stable")[:CANDIDATES]]
    if reranker is None:
        return float(scores[chosen[0]]), math.nan
    match = reranker.look(text, tokens[chosen]).match
    card = reranker.card
    return float(scores[chosen[0]]), float(combine(scores[chosen], match, card.rule, card.weight).max())


def fit(scores: Shares, grounds: Shares, betas: Shares, right: NDArray[np.bool_]) -> Logistic:
    """Logistic regression by Newton's method, (n,) each; both kinds count the same."""
    features = np.column_stack([scores, grounds, betas, np.ones(len(scores))])
    weights = np.where(right, 0.5 / right.mean(), 0.5 / (~right).mean())
    found = np.zeros(4)
    for _ in range(50):
        shares = 1 / (1 + np.exp(-features @ found))
        slope = features.T @ (weights * (right - shares))
        curve = (features * (weights * shares * (1 - shares))[:, None]).T @ features + 1e-9 * np.eye(4)
        step = np.linalg.solve(curve, slope)
        found += step
        if np.abs(step).max() < 1e-9:
            break
    return Logistic(*(round(float(value), 6) for value in found))


def measured(
    encoder: Encoder, reranker: Reranker | None, photos: Pairs, every: int = 1, report: Counter | None = None
) -> dict[str, Shares]:
    """Of the texts that are ``asked``: ``photo``, ``short``, ``ground``, ``beta``, and the best scores that they find.

    ``with``, ``alone`` and ``without`` are (n, 2), of the first stage and reranked: over all photos, over all but the
    own one, and over those without its things.
    """
    return scored(encoder, reranker, photos, pictures(encoder, photos), every, report)


def scored(
    encoder: Encoder, reranker: Reranker | None, photos: Pairs, seen: tuple[Vectors, Regions], every: int = 1,
    report: Counter | None = None,
) -> dict[str, Shares]:  # fmt: skip
    """As ``measured``, of photos whose vectors and region tokens are ``seen``."""
    vectors, tokens = seen
    rows = querybank.vectors(encoder)
    grounds = hubness_penalty(vectors, rows, 1.0, querybank.NEAREST)
    found: dict[str, list[object]] = {}
    jobs = asked(photos, every)
    for done, job in enumerate(jobs):
        query = encoder.encode_texts([job.text])[0]
        share = beta(job.text)
        scores = (vectors @ query - share * grounds).astype(np.float32)
        values = {"photo": job.photo, "short": job.short, "beta": share}
        values["ground"] = query_hubness(query, rows, querybank.NEAREST)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
        others = np.delete(np.arange(len(photos)), job.photo)
        for name, some in (("with", np.arange(len(photos))), ("alone", others), ("without", job.rest)):
            found.setdefault(name, []).append(best_scores(scores, some, job.text, tokens, reranker))
        if report is not None:
            report(done + 1, len(jobs))
    return {name: np.array(values, np.float64) for name, values in found.items()}


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


def typical(encoder: Encoder, vectors: Vectors) -> tuple[float, float]:
    """Mean and spread of the cosines of a text with photos (n, dim): of every tenth noun."""
    cosines = encode(encoder, sorted(nouns())[::10]) @ vectors.T
    return round(float(cosines.mean()), 4), round(float(cosines.std(axis=1).mean()), 4)
