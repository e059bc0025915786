"""What the embedded model's reranker does to the order of other first stages, weaker and stronger ones.

    python -m benchmarks.other_first_stage --data MIXTURE --models DIR [DIR …] [--kinds dev coco_dev] [--every 10]

``MIXTURE`` is what ``training/shipped/mixture.py`` makes, ``DIR`` are model folders: each is a first stage, and
"together" is all of them and the embedded model as one, which stands for a model that is stronger than the tokens.
Captions of each kind of photos look for their photo; the best 100 are looked at again and the scores combined by
``fusion_rules.in_spreads``, the match with several shares (``MATCH_SHARE`` is what a search does that asks for it; one
that does not keeps the order).  Recall at 1 and at 10 in percent, and the gain in points with its 95 % interval (paired
bootstrap over photos).  One JSON line.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from mmsearch.encoders.factory import embedded
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import metrics
from mmsearch.evaluation.answerable import encode
from mmsearch.rerank.fusion_rules import in_spreads
from mmsearch.rerank.resolve import for_encoder
from mmsearch.training.common.calibrate import pictures
from mmsearch.training.shipped.embedded import read_split

SHARES = (0.25, 0.5, 1.0)
DEPTH = 100


def measured(data: Path, kind: str, folders: list[Path], every: int) -> dict[str, Any]:
    """Of each first stage its recall, and what each share of the match gains."""
    photos = read_split(data, kind)
    pairs = [(row, caption) for row, own in enumerate(photos.texts) for caption in own][::every]
    owner, captions = np.array([row for row, _ in pairs]), [caption for _, caption in pairs]
    own = embedded()
    vectors, tokens = pictures(own, photos)
    scores: dict[str, NDArray[np.float32]] = {"embedded": encode(own, captions) @ vectors.T}
    for folder in folders:
        other = OnnxEncoder(folder)
        scores[folder.name] = encode(other, captions) @ pictures(other, photos)[0].T
    scores["together"] = np.mean(list(scores.values()), axis=0, dtype=np.float32)
    reranker = for_encoder(own)
    ranks = {name: np.empty((1 + len(SHARES), len(pairs)), np.int64) for name in scores}
    for query, caption in enumerate(captions):
        best = {name: np.argsort(-rows[query], kind="stable")[:DEPTH] for name, rows in scores.items()}
        seen = np.unique(np.concatenate(list(best.values())))
        match = np.zeros(len(photos.names), np.float32)
        match[seen] = reranker.look(caption, tokens[seen]).match
        for name, top in best.items():
            first, right = scores[name][query], np.flatnonzero(top == owner[query])
            ranks[name][:, query] = (first >= first[owner[query]]).sum()
            for row, share in enumerate(SHARES, 1):
                final = in_spreads(first[top], match[top], share)
                if len(right):
                    ranks[name][row, query] = (final >= final[right[0]]).sum()
    found: dict[str, Any] = {"photos": len(photos.names), "captions": len(captions)}
    for name, own_ranks in ranks.items():
        recall = {f"R@{k}": round(100 * float((own_ranks[0] <= k).mean()), 2) for k in (1, 10)}
        gains = {str(share): metrics.gains(own_ranks[0], own_ranks[row], owner) for row, share in enumerate(SHARES, 1)}
        found[name] = {**recall, "gains": gains}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--kinds", nargs="+", default=["dev", "coco_dev"])
    parser.add_argument("--every", type=int, default=10, help="captions: every one of so many")
    given = parser.parse_args()
    report(
        "other_first_stage",
        {kind: measured(given.data, kind, given.models, given.every) for kind in given.kinds},
    )


if __name__ == "__main__":
    main()
