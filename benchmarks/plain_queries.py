"""Plain words against photos: mean average precision over 200 queries as people type them, of one model or two.

    python -m benchmarks.plain_queries --data MIXTURE [--model FOLDER] [--against FOLDER] [--unmoved] [--dump FILE]

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes; the photos are those it sets
aside for judging.  ``plain_queries.tsv`` holds the queries, each with its kind and a rule about captions;
``plain_grades.tsv`` holds what looking at the photos corrected.  A photo's grade for a query is 2 (right), 1 (partly,
or nobody can tell: left out of that query's figure) or 0.  Where nobody looked the rule says it: 2 when enough of the
photo's captions fit, two of them where it has three or more, else one; 1 when a single one of many does.

Looked at were the first 30 photos of each query by version 2 of the embedded model, the first 20 by version 3, those
most like its right photos, and those that few captions mark right.

A rule is read from the outside in:

* ``a & b``: the caption fits both; ``!a``: it does not fit ``a``.
* ``a > b``: ``b`` follows ``a`` with at most two words between, as in ``red > car+``.
* ``a|b``: either of them.
* ``hot dog+``: these words, one after the other; ``+`` also takes the word with -s or -es.

Intervals are 95 %, by bootstrap over queries (``metrics.bootstrap``).
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.captioned import average_precision, photo_vectors
from benchmarks.common import report
from mmsearch.encoders import factory
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import metrics
from mmsearch.evaluation.evaluate import read_captions
from mmsearch.search.text_adapter import moved

HERE = Path(__file__).parent
KINDS = ("thing", "colour", "place", "weather", "action", "number", "look")
LISTS = ("dev.txt", "coco_dev.txt", "words_dev.txt")  # the mixture's photos that nothing is trained on
BETWEEN = 2  # words that ``>`` allows in between
RIGHT, UNCLEAR, WRONG = 2, 1, 0


@dataclass(frozen=True)
class Part:
    """What stands between two ``&``, as a pattern over a caption's words with single spaces between."""

    pattern: re.Pattern[str]
    wanted: bool = True


@dataclass(frozen=True)
class Query:
    """A line of ``plain_queries.tsv``."""

    kind: str
    text: str
    rule: tuple[Part, ...]


def parse(rule: str) -> tuple[Part, ...]:
    """The parts of a rule, all of which a caption must fit.  Raises ValueError when it cannot be read."""
    parts = []
    for text in rule.split("&"):
        text, wanted = text.strip(), not text.strip().startswith("!")
        groups = [
            "|".join(_phrase(phrase, rule) for phrase in group.split("|")) for group in text.lstrip("!").split(">")
        ]
        follows = rf"(?: \w+){{0,{BETWEEN}}} ".join(f"(?:{group})" for group in groups)
        parts.append(Part(re.compile(rf"\b{follows}\b"), wanted))
    return tuple(parts)


def _phrase(phrase: str, rule: str) -> str:
    words = phrase.split()
    if not words or not all(re.fullmatch(r"[a-z0-9]+\+?", word) for word in words):
        raise ValueError(
            f"{rule!r}: {phrase.strip()!r} is no phrase; wanted small letters, digits and a '+' at the end"
        )
    return " ".join(f"{word[:-1]}(?:s|es)?" if word.endswith("+") else word for word in words)


@cache
def _plain(caption: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", caption.lower()))


def fits(caption: str, rule: tuple[Part, ...]) -> bool:
    """Whether one caption fits a rule."""
    return all(bool(part.pattern.search(_plain(caption))) == part.wanted for part in rule)


def grade(captions: list[str], rule: tuple[Part, ...]) -> int:
    """The grade of a photo by its captions alone."""
    count = sum(fits(caption, rule) for caption in captions)
    if len(captions) < 3:
        return RIGHT if count else WRONG
    return min(count, RIGHT)


def read_queries(file: Path = HERE / "plain_queries.tsv") -> list[Query]:
    """The queries in the order of the file.  Raises ValueError when a rule cannot be read."""
    rows = [line.split("\t") for line in file.read_text("utf-8").splitlines()]
    return [Query(kind, text, parse(rule)) for kind, text, rule in rows]


def read_grades(file: Path = HERE / "plain_grades.tsv") -> dict[str, dict[str, int]]:
    """Query -> photo -> the grade that looking gave it."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for line in file.read_text("utf-8").splitlines():
        query, photo, given = line.split("\t")
        grades[query][photo] = int(given)
    return grades


def graded(
    queries: list[Query], captions: dict[str, list[str]], corrections: dict[str, dict[str, int]]
) -> NDArray[np.int64]:
    """(queries, photos) grades; columns in the order of ``captions``."""
    rows = [
        [corrections.get(query.text, {}).get(photo, grade(texts, query.rule)) for photo, texts in captions.items()]
        for query in queries
    ]
    return np.array(rows, np.int64)


def judged_photos(data: Path) -> dict[str, list[str]]:
    """The captions of the photos that the mixture sets aside, by their names."""
    found: dict[str, list[str]] = {}
    for name in LISTS:
        found |= {photo: list(texts) for photo, texts in read_captions(data / "captions.tsv", data / name).items()}
    return found


def score(scores: NDArray[np.float32], grades: NDArray[np.int64]) -> tuple[float, float]:
    """Average precision and precision among the first five, in percent; photos of grade 1 are left out."""
    clear = grades != UNCLEAR
    scores, right = scores[clear], grades[clear] == RIGHT
    first = np.argsort(-scores, kind="stable")[:5]
    return average_precision(scores, right), float(100 * right[first].mean())


def interval(values: NDArray[np.float64]) -> list[float]:
    """The 95 % interval of the mean of ``values`` (queries,)."""
    rows = metrics.bootstrap(values[:, None], np.arange(len(values)))
    low, high = np.round(rows[:, 0], 2).tolist()
    return [low, high]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=factory.EMBEDDED)
    parser.add_argument("--against", type=Path, help="a second model; differences are its figures less --model's")
    parser.add_argument("--unmoved", action="store_true", help="texts as the encoder has them, without the adapter")
    parser.add_argument("--dump", type=Path, help="gets a line for each query: kind, query, average precisions")
    given = parser.parse_args()
    queries, captions = read_queries(), judged_photos(given.data)
    grades = graded(queries, captions, read_grades())
    kinds = np.array([query.kind for query in queries])
    figures: dict[str, Any] = {}
    precisions: list[NDArray[np.float64]] = []
    for folder in filter(None, (given.model, given.against)):
        encoder = OnnxEncoder(folder)
        photos = photo_vectors([given.data / "images" / name for name in captions], encoder)
        texts = encoder.encode_texts([query.text for query in queries])
        if not given.unmoved:
            texts = np.stack([moved(encoder, row, query.text) for row, query in zip(texts, queries, strict=True)])
        found = texts @ photos.T  # (queries, photos)
        both = np.array([score(row, right) for row, right in zip(found, grades, strict=True)])
        precisions.append(both[:, 0])
        figures["against" if len(precisions) == 2 else "model"] = {
            "fingerprint": encoder.card.fingerprint,
            "mAP": round(float(both[:, 0].mean()), 2),
            "interval": interval(both[:, 0]),
            "P@5": round(float(both[:, 1].mean()), 2),
            "kinds": {kind: round(float(both[kinds == kind, 0].mean()), 2) for kind in KINDS},
        }
    if given.against:
        change = precisions[1] - precisions[0]
        figures["difference"] = {"mAP": round(float(change.mean()), 2), "interval": interval(change)}
    if given.dump:
        lines = [
            "\t".join([query.kind, query.text, *(f"{value:.2f}" for value in values)])
            for query, *values in zip(queries, *precisions, strict=True)
        ]
        given.dump.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    report("plain_queries", {"queries": len(queries), "photos": len(captions), **figures})


if __name__ == "__main__":
    main()
