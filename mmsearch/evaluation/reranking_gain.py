"""How much a reranker gains over the first stage, on captioned photos: paired figures, with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder
from mmsearch.evaluation import metrics
from mmsearch.language import hard_negatives
from mmsearch.rerank.card import region_key
from mmsearch.rerank.fusion_rules import MATCH_SHARE, combine, in_spreads
from mmsearch.types import Ids, Progress, Regions, Vectors

if TYPE_CHECKING:
    from mmsearch.rerank.reranker import Reranker


@dataclass(frozen=True)
class CaptionedPhotos:
    """p photos and their q captions."""

    captions: Sequence[str]
    owner: Ids  # (q,): the photo of each caption
    vectors: Vectors  # (p, dim)
    tokens: Regions  # (p, r, token dim)


def figures(
    reranker: Reranker,
    encoder: Encoder,
    photos: CaptionedPhotos,
    scores: NDArray[np.float32],
    rerank_depth: int = 100,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Text to image before and after reranking.

    ``scores`` (q, p) are the first stage's.  Only what it returned is reranked, its best ``rerank_depth``; a right
    photo that is not among them keeps its rank.  The gain's interval is that of the difference of each caption before
    and after (paired bootstrap, clustered by photo).  Where the reranker reads the tokens of another model, scores are
    combined in spreads, as in a search that asks for it.
    """
    own = region_key(encoder.card) == reranker.card.regions
    captions, owner = photos.captions, photos.owner
    count = min(rerank_depth, scores.shape[1])
    before = np.empty(len(captions), np.int64)
    after = np.empty(len(captions), np.int64)
    seconds = 0.0
    for query, caption in enumerate(captions):
        row = scores[query]
        before[query] = int((row >= row[owner[query]]).sum())  # a tie counts against the right one
        chosen = np.argsort(-row, kind="stable")[:count]
        begun = time.perf_counter()
        match = reranker.look(caption, photos.tokens[chosen]).match
        if own:
            final = combine(row[chosen], match, reranker.card.rule, reranker.card.weight)
        else:
            final = in_spreads(row[chosen], match)
        seconds += time.perf_counter() - begun
        right = np.flatnonzero(chosen == owner[query])
        after[query] = int((final >= final[right[0]]).sum()) if len(right) else before[query]
        if progress is not None:
            progress(Progress(query + 1, len(captions), caption, "reranking"))
    return {
        "text_to_image": metrics.summarize(after),
        "intervals": {"text_to_image": metrics.intervals(after, owner)},
        "gain": metrics.gains(before, after, owner),
        "changed": changed(reranker, encoder, photos),
        "candidates": count,
        "milliseconds": round(1000 * seconds / max(len(captions), 1), 1),
        "reranker": reranker.card.name,
        "rule": reranker.card.rule if own else "in spreads",
        "weight": reranker.card.weight if own else MATCH_SHARE,
    }


@dataclass(frozen=True)
class FalseCaptions:
    """Of m captions and a false version of each: whether the true one is ahead."""

    kinds: list[str]  # what was changed
    photos: Ids  # (m,)
    ahead: dict[str, NDArray[np.bool_]]  # (m,) by "first_stage", "reranker" and "blind"


def false_captions(reranker: Reranker, encoder: Encoder, photos: CaptionedPhotos) -> FalseCaptions:
    """Whether each true caption is ahead of a false one, where a rule makes one.

    False ones are the same with nouns swapped, an attribute or a number changed (``hard_negatives.build``, seed 0).
    ``blind`` is the reranker before the mean of all photos: what can be told from the texts alone.
    """
    false = hard_negatives.build(photos.captions, 0)
    if not false:
        return FalseCaptions([], photos.owner[:0], {})
    mean = photos.tokens.mean(axis=0, keepdims=True)
    ahead = np.zeros((3, len(false)), np.bool_)
    for place, (row, variant) in enumerate(false):
        photo = photos.owner[row]
        pair = [photos.captions[row], variant.text]
        cosines = encoder.encode_texts(pair) @ photos.vectors[photo]
        both = np.concatenate([photos.tokens[photo][None], mean])  # the photo, and nothing in particular
        seen, blind = np.stack([reranker.look(text, both).match for text in pair], axis=1)  # (2,) each
        ahead[:, place] = [a > b for a, b in (cosines, seen, blind)]
    return FalseCaptions(
        [variant.kind for _, variant in false],
        photos.owner[[row for row, _ in false]],
        dict(zip(("first_stage", "reranker", "blind"), ahead, strict=True)),
    )


def changed(reranker: Reranker, encoder: Encoder, photos: CaptionedPhotos) -> dict[str, dict[str, float]]:
    """How often the true caption is ahead of a false one, in percent, by kind; see ``false_captions``."""
    found = false_captions(reranker, encoder, photos)
    if not found.kinds:
        return {}
    kinds = np.array(found.kinds)
    rows = {"all": np.ones(len(kinds), np.bool_), **{kind: kinds == kind for kind in dict.fromkeys(found.kinds)}}
    return {
        kind: {
            **{name: round(100 * float(right[own].mean()), 2) for name, right in found.ahead.items()},
            "captions": int(own.sum()),
        }
        for kind, own in rows.items()
    }
