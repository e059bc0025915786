"""Yes/no questions as searches over photos: what the first stage should look for, and how much the answers count.

    python -m benchmarks.questions --data DIR [--candidates 100]

``DIR`` holds ``images/``, ``captions.tsv`` and ``dev.txt``.  Photos with an even number are one half, for choosing; the
others are to report; both are searched apart, and all together.

"answers": yes/no questions about single photos (``training.questions.derive``, as many yes as no), answered by the
answer head alone, and together with the match of the thing asked about, by weights fitted on the first half
(``RerankCard.yes``).  How many are right in the other half, in percent.

"searches": the questions of ``training.questions.searches``.  Right are photos in which the answer is yes; photos of
which the captions do not tell are left out of what is ranked.  The first stage looks for the question as it is
written, or for the thing that it asks about.  Reranked: the first stage's cosine of the thing plus the weighed match of
the thing and w times the log-odds of yes; "yes first": photos that are answered yes before the others, each part in
that order.  Photos beyond the candidates follow as they were.  Figures, in percent, are means over the questions that
at least three photos answer yes: mean average precision, precision of the first ten, nDCG (gain 1 for yes, discount
log2; Järvelin and Kekäläinen 2002), and of the first ten how many are said to be yes ("said") and rightly answered
("true").  "gain" is that in mAP of the order that ships over others, with its 95 % interval over questions.

One JSON line.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.captioning import encoded
from benchmarks.common import report
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import metrics
from mmsearch.language import questions
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.resolve import for_encoder
from mmsearch.search.reranking import ANSWER_WEIGHT
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.reranker.answers import fit_yes
from mmsearch.training.reranker.questions import derive, searches
from mmsearch.training.shipped.embedded import read_split
from mmsearch.types import Regions, Vectors

WEIGHTS = (0.0, 0.1, 0.3, 0.7, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
LEAST = 3  # photos answered yes in a part, for a question to count there
FIRST = 10
ASKED = 2500  # questions about single photos

Floats = NDArray[np.float32]
Yes = tuple[float, float, float]  # as ``RerankCard.yes``


@dataclass(frozen=True)
class Seen:
    """The candidates of one question, as both stages see them."""

    cosine: Floats  # (n,) with the thing
    match: Floats  # (n,) of the thing
    odds: Floats  # (n,) of yes against no
    yes: NDArray[np.bool_]  # (n,) what is answered


Way = Callable[[Seen], Floats]  # -> scores (n,) to rank by


def ranked_ways(weight: float) -> dict[str, Way]:
    """The reranked orders; ``weight`` is that of the match beside the cosine."""

    def weighed(share: float) -> Way:
        def way(seen: Seen) -> Floats:
            scores = seen.cosine + weight * (seen.match + share * seen.odds)
            return scores.astype(np.float32)

        return way

    def yes_first(share: float) -> Way:
        def way(seen: Seen) -> Floats:
            scores = weighed(share)(seen)
            return scores + np.where(seen.yes, np.ptp(scores) + 1, 0).astype(np.float32)

        return way

    return {
        **{f"match + {share:g} odds": weighed(share) for share in WEIGHTS},
        **{f"yes first, match + {share:g} odds": yes_first(share) for share in WEIGHTS if share >= 1},
    }


def figures(order: NDArray[np.int64], right: NDArray[np.bool_], yes: NDArray[np.bool_] | None) -> list[float]:
    """mAP, P@10, nDCG; and of the first ten how many are said to be ``yes`` (photos,), and are rightly answered."""
    ranked = right[order]
    places = np.flatnonzero(ranked) + 1
    ideal = (1 / np.log2(np.arange(1, len(places) + 1) + 1)).sum()
    found = [(np.arange(1, len(places) + 1) / places).mean(), ranked[:FIRST].mean()]
    found.append((1 / np.log2(places + 1)).sum() / ideal)
    if yes is not None:
        said = yes[order[:FIRST]]
        found += [said.mean(), (said == ranked[:FIRST]).mean()]
    return [float(value) for value in found]


def answered(reranker: Reranker, dev: Pairs, tokens: Regions) -> tuple[Yes, dict[str, Any]]:
    """The fit, and how many questions about single photos are answered rightly."""
    asked = [one for one in derive(dev.texts) if one.answer in ("yes", "no")]
    random.Random(0).shuffle(asked)
    about: dict[str, list[tuple[int, bool]]] = {}
    for one in asked[:ASKED]:
        about.setdefault(one.question, []).append((one.photo, one.answer == "yes"))
    rows = []
    for text, own in about.items():
        question = questions.parse(text)
        assert question is not None
        seen = tokens[[photo for photo, _ in own]]
        odds, match = reranker.odds(reranker.look(text, seen)), reranker.look(question.thing, seen).match
        rows += [(*one, *pair) for one, *pair in zip(own, odds.tolist(), match.tolist(), strict=True)]
    photo, right, odds, match = np.array(rows, np.float64).T
    even, right = photo % 2 == 0, right > 0
    fit = fit_yes(odds[even], match[even], right[even])
    together = fit[0] * odds + fit[1] * match + fit[2]
    shares = {
        name: 100 * float(((told > 0) == right)[~even].mean())
        for name, told in (("head", odds), ("together", together))
    }
    return fit, {
        "fit": fit,
        "questions": int((~even).sum()),
        **{name: round(share, 2) for name, share in shares.items()},
    }


def searched(
    encoder: OnnxEncoder, reranker: Reranker, dev: Pairs, vectors: Vectors, tokens: Regions, fit: Yes, candidates: int
) -> dict[str, dict[str, list[list[float]]]]:
    """Half -> order -> figures of each question."""
    numbers = np.arange(len(dev))
    parts = {"tuned": numbers % 2 == 0, "other": numbers % 2 == 1, "all": numbers >= 0}
    rows: dict[str, dict[str, list[list[float]]]] = {part: {} for part in parts}
    ways = ranked_ways(reranker.card.weight)
    for one in searches(dev.texts):
        question = questions.parse(one.question)
        assert question is not None
        texts = {"as written": one.question.rstrip("?"), "the thing": question.thing}
        cosines = dict(zip(texts, encoder.encode_texts(list(texts.values())) @ vectors.T, strict=True))
        told, right = np.isin(numbers, [*one.yes, *one.no]), np.isin(numbers, list(one.yes))
        orders: dict[str, dict[str, NDArray[np.int64]]] = {}
        for part, inside in parts.items():
            kept = np.flatnonzero(inside & told)
            if right[kept].sum() >= LEAST:
                orders[part] = {text: kept[np.argsort(-own[kept], kind="stable")] for text, own in cosines.items()}
        looked = np.unique(np.concatenate([own["the thing"][:candidates] for own in orders.values()]))
        match, odds = np.zeros((2, len(dev)), np.float32)
        match[looked] = reranker.look(question.thing, tokens[looked]).match
        odds[looked] = reranker.odds(reranker.look(question.text, tokens[looked]))
        yes = np.isin(numbers, looked) & (fit[0] * odds + fit[1] * match + fit[2] > 0)
        for part, own in orders.items():
            for text, order in own.items():
                rows[part].setdefault(f"first stage, {text}", []).append(figures(order, right, None))
            best, rest = own["the thing"][:candidates], own["the thing"][candidates:]
            seen = Seen(cosines["the thing"][best], match[best], odds[best], yes[best])
            for name, way in ways.items():
                order = np.concatenate([best[np.argsort(-way(seen), kind="stable")], rest])
                rows[part].setdefault(name, []).append(figures(order, right, yes))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=100)
    given = parser.parse_args()
    encoder = OnnxEncoder(EMBEDDED)
    reranker = for_encoder(encoder)
    dev = read_split(given.data, "dev")
    vectors, tokens = encoded(encoder, dev, regions=True)
    assert tokens is not None
    fit, answers = answered(reranker, dev, tokens)
    rows = searched(encoder, reranker, dev, vectors, tokens, fit, given.candidates)
    names = ("mAP", "P@10", "nDCG", "said", "true")
    shown = {
        part: {
            way: {n: round(100 * float(v), 2) for n, v in zip(names, np.mean(found, axis=0), strict=False)}
            for way, found in own.items()
        }
        for part, own in rows.items()
    }
    ships = f"yes first, match + {ANSWER_WEIGHT:g} odds"
    gains: dict[str, dict[str, list[float]]] = {}
    for part, own in rows.items():
        for other in ("first stage, the thing", "match + 0 odds", ships.partition(", ")[2]):
            gain = 100 * (np.array(own[ships])[:, :1] - np.array(own[other])[:, :1])
            low, high = metrics.bootstrap(gain, np.arange(len(gain)))[:, 0].tolist()
            gains.setdefault(part, {})[f"over {other}"] = [round(v, 2) for v in (float(gain.mean()), low, high)]
    counts = {part: len(own[ships]) for part, own in rows.items()}
    report(
        "questions",
        {
            "photos": len(dev), "candidates": given.candidates, "answers": answers, "questions": counts,
            "ships": ships, "gain": gains, "searches": shown,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
