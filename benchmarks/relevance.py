"""How well relevance tells what a library has from what it lacks, for models and photos that it was not fitted on.

    python -m benchmarks.relevance --data DIR --models FOLDER… [--kinds dev coco_dev words_dev] [--every 4]

``DIR`` is what ``training/shipped/mixture.py`` makes.  Each model, the embedded one first, judges each kind of photos:
texts of them are asked over all photos, and over those without their things (``evaluation/answerable.py``).

"general": the maps for any model (``search/relevance.py``), fitted on all other models and all other kinds of photos;
the kind of single words is never fitted on.  "own": the calibration of the embedded model, with and without its second
look; it was fitted on Flickr8k dev and COCO dev, so ``words_dev`` is the kind that was left out.  "fitted": the maps
that are fitted on all models and both dev sets, which ship.  "diagram": of the general maps, in tenths of relevance the
mean relevance, the share of right ones in percent, and how many there are, of all models together.

One JSON line.  Models of this repository's history are folders too: ``git show COMMIT:mmsearch/encoders/weights/…``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import answerable
from mmsearch.rerank.resolve import for_encoder
from mmsearch.search.calibration import Calibration, Shares
from mmsearch.training.common.calibrate import measured
from mmsearch.training.shipped.embedded import read_split

FITTED = ("dev", "coco_dev")  # kinds that maps are fitted on

Scores = dict[str, Shares]


def joined(several: list[Scores]) -> Scores:
    """What was measured of several models and kinds, as one."""
    return {name: np.concatenate([one[name] for one in several]) for name in several[0]}


def everything(scores: Scores) -> NDArray[np.bool_]:
    return np.ones(len(scores["short"]), np.bool_)


def diagram(shares: Shares, right: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """In tenths of relevance: mean relevance and share of right ones in percent, and how many."""
    part = np.minimum((shares * 10).astype(int), 9)
    rows = [part == number for number in range(10)]
    return [
        (round(100 * float(shares[own].mean()), 1), round(100 * float(right[own].mean()), 1), int(own.sum()))
        for own in rows
        if own.any()
    ]


def general(scores: dict[tuple[str, str], Scores], model: str, kind: str) -> Shares:
    """Relevances by maps that were fitted on other models and other kinds."""
    others = [one for (name, of), one in scores.items() if name != model and of in FITTED and of != kind]
    rest = joined(others)
    rows = everything(scores[model, kind])
    return answerable.general_shares(scores[model, kind], rows, answerable.general_maps(rest, everything(rest)))


def own(scores: Scores, calibration: Calibration) -> dict[str, Any]:
    """The figures of the embedded model's calibration, without and with the second look."""
    found, rows, short = {}, everything(scores), scores["short"] > 0
    for column, logistic in enumerate((calibration.first, calibration.reranked)):
        if logistic is not None:
            shares = answerable.own_shares(scores, rows, logistic, column)
            found["reranked" if column else "first stage"] = answerable.judged(shares, short)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="model folders, beside the embedded one")
    parser.add_argument("--kinds", nargs="+", default=["dev", "coco_dev", "words_dev"])
    parser.add_argument("--every", type=int, default=4, help="of so many captions of Flickr8k one is asked")
    given = parser.parse_args()
    photos = {kind: read_split(given.data, kind) for kind in given.kinds}
    scores: dict[tuple[str, str], Scores] = {}
    names = ["embedded", *(folder.name for folder in given.models)]
    for name, folder in zip(names, (EMBEDDED, *given.models), strict=True):
        encoder = OnnxEncoder(folder)
        reranker = for_encoder(encoder) if name == "embedded" else None
        for kind, some in photos.items():
            scores[name, kind] = measured(encoder, reranker, some, given.every if kind == "dev" else 1)
    found: dict[str, Any] = {"texts": {kind: len(scores["embedded", kind]["short"]) for kind in given.kinds}}
    shares = {at: general(scores, *at) for at in scores}
    found["general"] = {
        kind: {name: answerable.judged(shares[name, kind], scores[name, kind]["short"] > 0) for name in names}
        for kind in given.kinds
    }
    calibration = Calibration.read(EMBEDDED)
    assert calibration is not None
    found["own"] = {kind: own(scores["embedded", kind], calibration) for kind in given.kinds}
    fitted = joined([one for (_, kind), one in scores.items() if kind in FITTED])
    found["fitted"] = [vars(one) for one in answerable.general_maps(fitted, everything(fitted))]
    right = np.concatenate([np.repeat([True, False], len(one) // 2) for one in shares.values()])
    found["diagram"] = diagram(np.concatenate(list(shares.values())), right)
    report("relevance", found)


if __name__ == "__main__":
    main()
