"""How well a search finds: by vectors, by words and by both; several terms; exclusion; and when nothing matches.

    python -m benchmarks.search_quality --data DIR [--work DIR] [--captions 1000] [--pairs 300] [--every 4] [--tables]

``DIR`` holds ``images/``, ``captions.tsv`` and ``dev.txt``.  Two real libraries of the dev photos are made in the work
folder: "bare", named IMG_0001.jpg and so on, and "told", which has the first caption of each photo in a file beside it.

"words": the other captions ask for their photo in "told".  Recall of vectors alone (cosines with background
correction), of words alone, of both by reciprocal ranks (Cormack et al. 2009, constant 60), of both by a sum with
several weights, and of the search that ships, with and without the second look; and file names as queries.

"background": captions over "bare" by cosines, with hubness correction, and reranked.

"and": two things for each pair of things that at least five photos name together.  Right are photos whose captions name
both.  "not": a thing without another one that between a quarter and three quarters of its photos have, five at least
each way.  Right are photos whose captions name the first and not the second.  Against vector arithmetic: cosines with
the sum, or with the difference, of the texts' vectors.  Mean average precision and precision of the first ten.

"nothing": captions of dev photos with an odd number (those with an even one made the calibration) and short texts from
them ("a brown dog", "dog"), each over all dev photos, over all but its own, and over those in which nobody mentions any
thing that it names.  For thresholds of relevance, the share of queries that get an answer from each.

One JSON line, or with ``--tables`` the tables of ``docs/search.md``.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from mmsearch import Library, Query, Words, open_library
from mmsearch.config import Settings
from mmsearch.evaluation.answerable import NO_THINGS
from mmsearch.language.nouns import phrases, tokenize
from mmsearch.search import querybank, retrieval
from mmsearch.search.hubness import hubness_penalty
from mmsearch.training.common.calibrate import measured
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.shipped.embedded import read_split

CUTOFFS = (1, 5, 10)
LEAST = 5  # photos that a query of things must have, and lack
SUMS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
RRF = 60  # the constant of reciprocal rank fusion
KEPT = 0.9  # of queries with an answer

Ranking = list[int]  # photos, best first


def made(photos: Pairs, folder: Path, told: bool) -> Library:
    """A library of these photos: number n is IMG_n.jpg."""
    pictures = folder / "photos"
    pictures.mkdir(parents=True, exist_ok=True)
    for number, (name, texts) in enumerate(zip(photos.names, photos.texts, strict=True)):
        shutil.copy(photos.folder / name, pictures / f"IMG_{number:04}.jpg")
        if told:
            (pictures / f"IMG_{number:04}.txt").write_text(texts[0], "utf-8")
    settings = Settings(library=folder / "library", cache=folder / "cache", model="embedded", device="cpu")
    library = open_library(folder / "library", settings=settings)
    library.index(pictures)
    return library


def searched(library: Library, query: str | Query, k: int, rerank: bool) -> Ranking:
    return [int(Path(hit.path).stem[4:]) for hit in library.search(query, k, rerank=rerank)]


def plain(*texts: str) -> Query:
    """Texts by their vectors alone."""
    return Query(tuple(Words(text) for text in texts), arithmetic=True)


def recalls(rankings: Iterable[Ranking], right: Sequence[int]) -> dict[str, float]:
    """Recall at ``CUTOFFS`` in percent, where each query has one right photo."""
    places = [found.index(own) if own in found else 10**6 for found, own in zip(rankings, right, strict=True)]
    return {f"R@{k}": round(100 * float(np.mean(np.array(places) < k)), 2) for k in CUTOFFS}


def precision(found: Ranking, right: set[int]) -> tuple[float, float]:
    """Average precision, and precision of the first ten."""
    places = np.flatnonzero([number in right for number in found])
    average = float((np.arange(1, len(places) + 1) / (places + 1)).sum()) / len(right)
    return average, sum(number in right for number in found[:10]) / 10


def fused(vectors: Ranking, words: Ranking) -> Ranking:
    """By reciprocal ranks."""
    scores: dict[int, float] = {}
    for ranking in (vectors, words):
        for place, number in enumerate(ranking, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (RRF + place)
    return sorted(scores, key=lambda number: (-scores[number], number))


def by_words(library: Library, photos: Pairs, captions: int) -> dict[str, Any]:
    stored = library.store.model()
    assert stored is not None
    asked = [(photo, text) for photo, own in enumerate(photos.texts) for text in own[1:]]
    asked = asked[:: max(1, len(asked) // captions)]
    right = [photo for photo, _ in asked]
    everything = library.store.searchable(stored)
    vectors = library.store.vectors(everything, stored.dim)
    paths = library.store.photos(everything.tolist())
    numbers = np.array([int(Path(paths[number][0].path).stem[4:]) for number in everything.tolist()])
    place = {number: row for row, number in enumerate(everything.tolist())}
    encoder = library.encoder()
    grounds = hubness_penalty(vectors, querybank.vectors(encoder), 1.0, querybank.NEAREST)
    arms: dict[str, list[Ranking]] = {name: [] for name in ("vectors", "words", "reciprocal ranks")}
    arms |= {f"vectors + {weight:g} share": [] for weight in SUMS}
    for _, text in asked:
        asked_for = retrieval.without_end_mark(text)
        cosines = vectors @ encoder.encode_texts([asked_for])[0] - retrieval.beta(asked_for) * grounds
        hits = library.store.find_words(text, stored)
        arms["vectors"].append(numbers[np.argsort(-cosines, kind="stable")].tolist())
        arms["words"].append([int(numbers[place[hit.number]]) for hit in hits])
        arms["reciprocal ranks"].append(fused(arms["vectors"][-1], arms["words"][-1]))
        for weight in SUMS:
            total = cosines.copy()
            for hit in hits:
                total[place[hit.number]] += weight * hit.score
            arms[f"vectors + {weight:g} share"].append(numbers[np.argsort(-total, kind="stable")].tolist())
    for name, rerank in (("search, first stage", False), ("search", True)):
        arms[name] = [searched(library, text, max(CUTOFFS), rerank) for _, text in asked]
    found: dict[str, Any] = {name: recalls(rankings, right) for name, rankings in arms.items()}
    names = [f"IMG_{number:04}" for number in range(0, len(photos), max(1, len(photos) // 100))]
    of_names = [int(name[4:]) for name in names]
    found["file names"] = {
        "vectors": recalls([searched(library, plain(name), 10, False) for name in names], of_names)["R@1"],
        "words": recalls([_worded(library, name) for name in names], of_names)["R@1"],
        "search": recalls([searched(library, name, 10, True) for name in names], of_names)["R@1"],
        "queries": len(names),
    }
    return {"queries": len(asked), **found}


def _worded(library: Library, text: str) -> Ranking:
    stored = library.store.model()
    assert stored is not None
    hits = library.store.find_words(text, stored)
    photos = library.store.photos([hit.number for hit in hits])
    return [int(Path(photos[hit.number][0].path).stem[4:]) for hit in hits]


def background(library: Library, photos: Pairs, captions: int) -> dict[str, Any]:
    asked = [(photo, text) for photo, own in enumerate(photos.texts) for text in own]
    asked = asked[:: max(1, len(asked) // captions)]
    ways: dict[str, Callable[[str], Ranking]] = {
        "cosines": lambda text: searched(library, plain(text), 10, False),
        "with hubness correction": lambda text: searched(library, text, 10, False),
        "reranked": lambda text: searched(library, text, 10, True),
    }
    right = [photo for photo, _ in asked]
    found = {name: recalls([way(text) for _, text in asked], right) for name, way in ways.items()}
    return {"queries": len(asked), **found}


def things(photos: Pairs) -> dict[str, set[int]]:
    """Things that captions name, with the photos that have them; what is below one in WordNet is one too."""
    found: dict[str, set[int]] = {}
    for number, own in enumerate(photos.texts):
        for phrase in (phrase for text in own for phrase in phrases(tokenize(text))):
            if phrase.noun.kind not in NO_THINGS or phrase.noun.word in ("man", "woman", "boy", "girl", "child"):
                for word in (phrase.noun.word, *phrase.noun.synonyms, *phrase.noun.above):
                    found.setdefault(word, set()).add(number)
    return found


def several(library: Library, photos: Pairs, most: int) -> dict[str, Any]:
    having = things(photos)
    said = sorted({phrase.noun.word for own in photos.texts for text in own for phrase in phrases(tokenize(text))})
    said = [word for word in said if LEAST <= len(having.get(word, ())) <= len(photos) // 2]
    both, without = [], []
    for one, other in itertools.permutations(said, 2):
        together, alone = having[one] & having[other], having[one] - having[other]
        apart = min(len(together), len(alone), len(having[other] - having[one])) >= LEAST
        if apart and one < other:
            both.append((one, other, together))
        if apart and 0.25 <= len(together) / len(having[one]) <= 0.75:
            without.append((one, other, alone))
    found: dict[str, Any] = {}
    k = len(photos)
    for name, pairs, exclude in (("and", both, False), ("not", without, True)):
        chosen = pairs[:: max(1, len(pairs) // most)]
        ways: dict[str, Callable[[Query], Ranking]] = {
            "vector arithmetic": lambda query: searched(library, replace(query, arithmetic=True), k, False),
            "first stage": lambda query: searched(library, query, k, False),
            "search": lambda query: searched(library, query, k, True),
        }
        if exclude:
            ways["vector arithmetic, 0.3 times"] = lambda query: searched(library, weighed(query, 0.3), k, False)
        rows = {}
        for way, found_by in ways.items():
            queries = (Query((Words(one), Words(other, exclude=exclude))) for one, other, _ in chosen)
            figures = [precision(found_by(query), right) for query, (_, _, right) in zip(queries, chosen, strict=True)]
            rows[way] = np.array(figures)
        gain = rows["search"][:, 0] - rows["vector arithmetic"][:, 0]
        found[name] = {
            "queries": len(chosen),
            **{way: _percent(*figures.mean(axis=0)) for way, figures in rows.items()},
            "gain in mAP": _interval(gain),
        }
    return found


def weighed(query: Query, weight: float) -> Query:
    """By vector arithmetic, with so much of what is excluded."""
    return Query(tuple(replace(term, weight=weight) if term.exclude else term for term in query.terms), arithmetic=True)


def _percent(average: float, first: float) -> dict[str, float]:
    return {"mAP": round(100 * average, 2), "P@10": round(100 * first, 2)}


def _interval(gain: NDArray[np.float64]) -> list[float]:
    """Mean and 95 % bootstrap interval over queries, in percent."""
    rng = np.random.default_rng(0)
    means = gain[rng.integers(0, len(gain), (1000, len(gain)))].mean(axis=1)
    return [round(100 * float(value), 2) for value in (gain.mean(), *np.quantile(means, (0.025, 0.975)))]


def nothing(library: Library, photos: Pairs, every: int) -> dict[str, Any]:
    """The shares of queries that get an answer, by the threshold of relevance."""
    from mmsearch.encoders.onnx.encoder import OnnxEncoder
    from mmsearch.search.calibration import Calibration

    encoder = library.encoder()
    calibration = Calibration.of(encoder)
    assert isinstance(encoder, OnnxEncoder)
    assert calibration is not None
    scores = measured(encoder, library.reranker(), photos, every)
    found: dict[str, Any] = {}
    for short in (False, True):
        chosen = (scores["photo"] % 2 == 1) & (scores["short"] == short)
        told = scores["ground"][chosen], scores["beta"][chosen]
        for stage, name in enumerate(("first stage", "search")):
            logistic = (calibration.first, calibration.reranked)[stage]
            assert logistic is not None
            kinds = [logistic(scores[kind][chosen, stage], *told) for kind in ("with", "alone", "without")]
            curve = []
            for least in (*np.linspace(0.1, 0.9, 9), float(np.quantile(kinds[0], 1 - KEPT))):
                curve.append([round(float(least), 3), *(round(100 * float((k >= least).mean()), 1) for k in kinds)])
            found[f"{'short texts' if short else 'captions'}, {name}"] = {"queries": int(chosen.sum()), "curve": curve}
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def tables(found: dict[str, Any]) -> str:
    parts = []
    for name in ("words", "background"):
        rows = [(way, *row.values()) for way, row in found[name].items() if isinstance(row, dict) and "R@1" in row]
        parts.append(f"{name}: {found[name]['queries']} queries\n\n" + table(["by", "R@1", "R@5", "R@10"], rows))
    parts.append(f"file names: {found['words']['file names']}")
    for name in ("and", "not"):
        rows = [(way, *row.values()) for way, row in found[name].items() if isinstance(row, dict)]
        gain = found[name]["gain in mAP"]
        parts.append(f"{name}: {found[name]['queries']} queries, gain {gain}\n\n" + table(["by", "mAP", "P@10"], rows))
    for way, row in found["nothing"].items():
        head = ["relevance at least", "answer there", "all but its own photo", "no photo of its things"]
        parts.append(f"nothing, {way}: {row['queries']} queries\n\n" + table(head, row["curve"]))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("scratch/search_quality"), help="the libraries are kept here")
    parser.add_argument("--photos", type=int, default=1000, help="of dev, the first ones")
    parser.add_argument("--captions", type=int, default=1000, help="queries of words and of background")
    parser.add_argument("--pairs", type=int, default=300, help="queries of two things, of each kind")
    parser.add_argument("--every", type=int, default=4, help="of so many captions one is asked where nothing matches")
    parser.add_argument("--parts", nargs="+", default=["words", "background", "several", "nothing"])
    parser.add_argument("--tables", action="store_true", help="Markdown in place of JSON")
    given = parser.parse_args()
    dev = read_split(given.data, "dev")
    dev = dev.keep(range(min(given.photos, len(dev))))
    found: dict[str, Any] = {"photos": len(dev)}
    with made(dev, given.work / "told", True) as told, made(dev, given.work / "bare", False) as bare:
        if "words" in given.parts:
            found["words"] = by_words(told, dev, given.captions)
        if "background" in given.parts:
            found["background"] = background(bare, dev, given.captions)
        if "several" in given.parts:
            found |= several(bare, dev, given.pairs)
        if "nothing" in given.parts:
            found["nothing"] = nothing(bare, dev, given.every)
    if given.tables:
        print(tables(found))
    else:
        report("search_quality", found)


if __name__ == "__main__":
    main()
