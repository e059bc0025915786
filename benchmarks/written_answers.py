"""Answers to questions that people wrote, by kind: two checkouts' rerankers beside each other.

    python -m benchmarks.written_answers --data DIR [--before CHECKOUT]

``DIR`` is what ``training/shipped/mixture.py`` makes: ``images/`` and ``qa.tsv``.  Asked are the questions about a
tenth of its photos, those that the reranker of this checkout did not learn from; one of ``--before`` may have.  An
answer is right where it is the one that was written, or one of a list, in percent; "kept" is the share of the questions
answered with a confidence of at least ``SURE``, "right of kept" how many of these are right.  COCO and DAQUAR apart,
and of COCO yes or no, numbers, colours and all others.  One JSON line.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import report
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.language.nouns import COLOURS
from mmsearch.language.questions import parse
from mmsearch.rerank.reranker import Answer, Reranker
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.training.common.calibrate import pictures
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.reranker.answers import normalize
from mmsearch.training.reranker.preparation import SHARE
from mmsearch.training.reranker.questions import read_daquar, split

HERE = Path(__file__).parent.parent
SURE = 0.3


def kind(file: str, question: str, answer: str) -> str:
    if not file.startswith("coco"):
        return "daquar"
    parsed = parse(question if question.endswith("?") else f"{question}?")
    if answer in ("yes", "no"):
        return "coco yes/no"
    if parsed is not None and parsed.kind == "number":
        return "coco number"
    return "coco colour" if answer in COLOURS else "coco other"


def answered(reranker: Reranker, questions: Sequence[str], tokens: np.ndarray[Any, Any]) -> list[Answer]:
    """The best answer of each question about its photo."""
    return [reranker.answer(question, one[None], 1)[0][0] for question, one in zip(questions, tokens, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="a checkout of the project with another reranker")
    given = parser.parse_args()
    _, rows = split(read_daquar(given.data), SHARE, 0)
    names = sorted({file for file, _, _ in rows})
    encoder = OnnxEncoder(EMBEDDED)
    _, tokens = pictures(encoder, Pairs(given.data / "images", tuple(names), tuple((name,) for name in names)))
    place = {name: row for row, name in enumerate(names)}
    seen = tokens[[place[file] for file, _, _ in rows]]
    kinds = np.array([kind(*row) for row in rows])
    right = [{part.strip() for part in normalize(answer).split(",")} for _, _, answer in rows]
    folders = {"now": SHIPPED} | ({"before": given.before / SHIPPED.relative_to(HERE)} if given.before else {})
    figures: dict[str, Any] = {}
    for name, folder in folders.items():
        own = Reranker(folder, OnnxEncoder(EMBEDDED))  # an encoder joins the words of one reranker
        found = answered(own, [question for _, question, _ in rows], seen)
        good = np.array([one.text in own for one, own in zip(found, right, strict=True)])
        sure = np.array([one.confidence >= SURE for one in found])
        figures[name] = {
            which: {
                "questions": int(of.sum()),
                "right": round(100 * float(good[of].mean()), 1),
                "kept": round(100 * float(sure[of].mean()), 1),
                "right of kept": round(100 * float(good[of & sure].mean()), 1) if (of & sure).any() else None,
            }
            for which in sorted(set(kinds.tolist()))
            for of in [kinds == which]
        }
    report("written_answers", figures)


if __name__ == "__main__":
    main()
