"""What reranking gains, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from drawn import captions, draw

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.evaluation import reranking_gain
from mmsearch.evaluation.reranking_gain import CaptionedPhotos
from mmsearch.language import hard_negatives
from mmsearch.media.decode import decode
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.types import Progress

WEIGHT = 0.2  # large enough to change ranks


class Photos(NamedTuple):
    vectors: np.ndarray
    tokens: np.ndarray
    texts: list[str]
    owner: np.ndarray
    scores: np.ndarray  # of a first stage that knows little

    @property
    def captioned(self) -> CaptionedPhotos:
        return CaptionedPhotos(self.texts, self.owner, self.vectors, self.tokens)


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    found = Reranker(SHIPPED)
    found.card = replace(found.card, rule="weighted", weight=WEIGHT)
    return found


@pytest.fixture(scope="module")
def drawn(encoder: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory) -> Photos:
    """Seven photos with two captions each, but the last one, which has one."""
    folder = draw(tmp_path_factory.mktemp("drawn") / "images")
    names = [*list(captions())[::4], "red_box.png"]
    pixels = []
    for name in names:
        with (folder / name).open("rb") as file:
            pixels.append(decode(file, name, encoder.card.preprocess).pixels)
    vectors, tokens = encoder.encode_pictures(np.stack(pixels))
    assert tokens is not None
    texts = [text for name in names for text in captions()[name]][:-1]
    owner = np.array([place // 2 for place in range(len(texts))])
    scores = np.random.default_rng(0).standard_normal((len(texts), len(names))).astype(np.float32)
    scores[0] = scores[0, 0]  # nothing to choose between
    return Photos(vectors, tokens, texts, owner, scores)


def place(scores: list[float], right: int) -> int:
    """A tie counts against the right one."""
    return sum(score >= scores[right] for score in scores)


@pytest.mark.parametrize("candidates", [3, 100])
def test_figures_are_those_of_plain_loops(
    candidates: int, reranker: Reranker, drawn: Photos, encoder: OnnxEncoder
) -> None:
    seen: list[Progress] = []
    found = reranking_gain.figures(reranker, encoder, drawn.captioned, drawn.scores, candidates, seen.append)
    assert seen == [Progress(row + 1, 13, text, "reranking") for row, text in enumerate(drawn.texts)]
    before, after, outside = [], [], []
    for row, (text, own) in enumerate(zip(drawn.texts, drawn.owner.tolist(), strict=True)):
        first = drawn.scores[row].tolist()
        chosen = sorted(range(7), key=lambda photo, of=first: -of[photo])[:candidates]  # type: ignore[misc]
        before.append(place(first, own))
        if own not in chosen:
            outside.append(row)
            after.append(before[-1])
            continue
        final = [first[photo] + WEIGHT * float(reranker.look(text, drawn.tokens[[photo]]).match[0]) for photo in chosen]
        after.append(place(final, chosen.index(own)))
    assert before != after
    assert bool(outside) == (candidates == 3)
    assert found["candidates"] == min(candidates, 7)
    assert found["text_to_image"] == {
        **{f"R@{k}": round(100 * sum(rank <= k for rank in after) / 13, 2) for k in (1, 5, 10)},
        "MRR": round(100 * sum(1 / rank for rank in after) / 13, 2),
    }
    drawing = np.random.default_rng(0)
    samples = [drawing.integers(0, 7, 7).tolist() for _ in range(1000)]
    rows = [[row for row in range(13) if drawn.owner[row] == photo] for photo in range(7)]
    for k in (1, 5, 10):
        gains = [(a <= k) - (b <= k) for a, b in zip(after, before, strict=True)]
        means = [np.mean([100 * gains[row] for photo in sample for row in rows[photo]]) for sample in samples]
        gain = found["gain"][f"R@{k}"]
        assert gain["points"] == pytest.approx(100 * sum(gains) / 13, abs=0.006)
        assert gain["interval"] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist(), abs=0.006)
        ones = [np.mean([100 * (after[row] <= k) for photo in sample for row in rows[photo]]) for sample in samples]
        wanted = np.percentile(ones, [2.5, 97.5]).tolist()
        assert found["intervals"]["text_to_image"][f"R@{k}"] == pytest.approx(wanted, abs=0.006)
    assert found["gain"]["R@10"] == {"points": 0.0, "interval": [0.0, 0.0]}
    assert (found["reranker"], found["rule"], found["weight"]) == (reranker.card.name, "weighted", WEIGHT)
    assert found["milliseconds"] > 0


def test_true_captions_before_false_ones(reranker: Reranker, drawn: Photos, encoder: OnnxEncoder) -> None:
    found = reranking_gain.changed(reranker, encoder, drawn.captioned)
    mean = drawn.tokens.mean(axis=0, keepdims=True)
    wins: dict[str, list[list[bool]]] = {}
    for row, variant in hard_negatives.build(drawn.texts, 0):
        photo = drawn.owner[row]

        def ahead(scores: list[float]) -> bool:
            return scores[0] > scores[1]

        pair = (drawn.texts[row], variant.text)
        own = [
            ahead([float(encoder.encode_texts([text])[0] @ drawn.vectors[photo]) for text in pair]),
            ahead([float(reranker.look(text, drawn.tokens[[photo]]).match[0]) for text in pair]),
            ahead([float(reranker.look(text, mean).match[0]) for text in pair]),
        ]
        for kind in ("all", variant.kind):
            wins.setdefault(kind, []).append(own)
    assert len(wins) > 2  # more kinds than one
    assert found == {
        kind: {
            **{
                name: round(100 * sum(own[place] for own in rows) / len(rows), 2)
                for place, name in enumerate(("first_stage", "reranker", "blind"))
            },
            "captions": len(rows),
        }
        for kind, rows in wins.items()
    }


def test_captions_without_false_versions(reranker: Reranker, drawn: Photos, encoder: OnnxEncoder) -> None:
    photos = replace(drawn.captioned, captions=["nothing", "hello"], owner=np.array([0, 1]))
    assert reranking_gain.changed(reranker, encoder, photos) == {}


def test_rule_of_the_reranker_is_used(reranker: Reranker, drawn: Photos, encoder: OnnxEncoder) -> None:
    other = Reranker(SHIPPED)
    other.card = replace(other.card, rule="match")
    found = reranking_gain.figures(other, encoder, drawn.captioned, drawn.scores, rerank_depth=7)
    ranks = []
    for text, own in zip(drawn.texts, drawn.owner.tolist(), strict=True):
        ranks.append(place(other.look(text, drawn.tokens).match.tolist(), own))
    assert found["text_to_image"]["MRR"] == round(100 * sum(1 / rank for rank in ranks) / 13, 2)
    assert found["rule"] == "match"
