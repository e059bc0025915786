"""What a trained model has beside its weights: region tokens, querybank and calibration, so that it loses nothing that
the model before it could do.

- *Region tokens*: those of the base model, where the image tower stayed as it was up to the pooling.  Then the base
  model's reranker reads them too: answers, captions and reranking work as before.
- *Querybank*: centroids of the training captions, and of plain sentences where there are few.
- *Presence*, which a NOT is told by, and the *adapter* of short texts: learned from the training photos where their
  captions name enough things, and have enough phrases.
- *Calibration*: fitted on dev photos where there are enough.  With fewer it is the base model's, moved to where the
  scores of the trained model lie: both score the same photos for the same words, and the maps agree on scores that
  are as far from the mean, in units of the spread.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from mmsearch.encoders.export.carried import carry_regions
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import Encoder, ModelCard
from mmsearch.errors import MMSearchError, ModelError
from mmsearch.evaluation import answerable
from mmsearch.language.nouns import nouns
from mmsearch.media.filesystem import atomic_write, read_regular
from mmsearch.rerank.reranker import Reranker
from mmsearch.rerank.resolve import find, for_encoder
from mmsearch.search import querybank
from mmsearch.search.calibration import FILE, Calibration, Logistic, query_hubness
from mmsearch.search.hubness import hubness_penalty
from mmsearch.search.presence import FILE as PRESENCE
from mmsearch.search.retrieval import beta
from mmsearch.search.text_adapter import FILE as ADAPTER
from mmsearch.search.text_adapter import WORDS
from mmsearch.training.common import calibrate, presence, text_adapter
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.common.progress import Counter

log = logging.getLogger(__name__)

# Dev photos that a calibration is fitted on.  Of 25, 50, 100, 200 and 500 of Flickr8k's the log loss over 500 others is
# 0.83, 0.70, 0.61, 0.585 and 0.57, of the shipped one 0.58: among few photos even the best one is far.  Of a model that
# was trained on 240 photos: 0.70, 0.62 and 0.593 of 50, 100 and 200, and 0.586 of the shipped one, moved.
NEEDED = 300
TEXTS = 200  # captions that it is fitted on, and about as many short texts
LEAST = 100  # texts with a thing to look for
CAPTIONS = 10_000  # training captions that the querybank is made of, at most
# Of fewer ones plain sentences join them: with 1,200 captions R@1 over 500 photos was 36.4 without correction, 36.9
# with captions alone, 36.1 with sentences alone and 37.3 with both; with 100 captions 35.7 alone, 36.2 with both.
FEW = 5_000
SEEN, MANY = 2000, 12_000  # training photos that presence and the adapter are learned from, at most
PHOTOS = 200  # by which the scores of two models are compared
NAMES = 20  # of so many nouns one is asked for there

Relevance = Literal["fitted", "moved", "copied", "none"]


@dataclass(frozen=True)
class Material:
    """What a run has for it."""

    photos: Pairs  # that it learned from
    dev: Pairs | None
    unchanged: bool  # the base model was kept: nothing learned was better
    reranker: str = "auto"  # the setting: which one the trained model is searched with


@dataclass(frozen=True)
class Companions:
    """What became of them."""

    relevance: Relevance  # "none" where the base model has none; else ``reason`` says why it is none, or was not fitted
    dev_photos: int  # that there are
    needed: int  # to fit the relevance
    regions: Literal["kept", "new"]  # whether the region tokens are those of the base model
    reranker: bool  # whether one fits: reranking, answers, captions, explanations
    lost: bool  # whether one fitted the base model and fits no more
    reason: str = ""


def complete(base: Path, folder: Path, material: Material, report: Counter | None = None) -> Companions:
    """Writes them into the ``folder`` of a trained model, from those in the folder ``base`` of the model before it."""
    count = 0 if material.dev is None else len(material.dev)
    found = Companions("none", count, NEEDED, "new", reranker=False, lost=False)
    try:
        had = _fits(ModelCard.read(base), material.reranker)
        kept = carry_regions(base, folder)
        encoder = OnnxEncoder(folder)
        fitting = _reranker(encoder, material.reranker)
        found = replace(
            found, regions="kept" if kept else "new", reranker=fitting is not None, lost=had and fitting is None
        )
        _keep_maps(base, encoder, material)
        relevance = _relevance(base, encoder, fitting, material, report)
    except MMSearchError as error:  # a model without relevance is better than none
        log.warning("the model has no relevance: %s", error)
        return replace(found, reason=str(error))
    few = relevance == "moved" and count >= NEEDED
    return replace(found, relevance=relevance, reason="the dev captions name too few things" if few else "")


def _keep_maps(base: Path, encoder: OnnxEncoder, material: Material) -> None:
    """What tells what photos show, and what moves short texts: learned anew where the base model has them.

    Nothing is written where captions name too few things: then scores alone tell, and texts stay as they are.
    """
    wanted = [file for file in (PRESENCE, ADAPTER) if (base / file).is_file()]
    if material.unchanged:
        for file in (*wanted, *(file for file in [WORDS] if (base / file).is_file())):
            atomic_write(encoder.folder / file, read_regular(base / file))
        return
    for file, most, maker in ((PRESENCE, SEEN, presence), (ADAPTER, MANY, text_adapter)):
        photos = material.photos.keep(range(0, len(material.photos), -(-len(material.photos) // most)))
        if file in wanted and maker.teaches(photos.texts):
            vectors, _ = calibrate.pictures(encoder, photos)
            made = maker.fit(vectors[None], photos.texts, lambda texts: answerable.encode(encoder, texts))
            if made is not None:
                made.write(encoder.folder)


def _relevance(
    base: Path, encoder: OnnxEncoder, reranker: Reranker | None, material: Material, report: Counter | None
) -> Relevance:
    before = Calibration.read(base)
    if before is None:
        return "none"
    bank, dev = encoder.folder / querybank.FILE, material.dev
    if material.unchanged:
        if (base / querybank.FILE).is_file():
            atomic_write(bank, read_regular(base / querybank.FILE))
        _write(encoder.folder, before)
        return "copied"
    querybank.save(bank, calibrate.centroids(encoder, _bank_texts(material.photos)))
    if dev is not None and len(dev) >= NEEDED:
        seen = calibrate.pictures(encoder, dev)
        scores = answerable.scored(encoder, reranker, dev.texts, seen, max(1, dev.captions // TEXTS), report)
        if len(scores.get("photo", ())) >= LEAST:  # captions of another language name nothing that is known
            first, reranked = answerable.maps(scores, np.ones(len(scores["photo"]), bool))
            own = None if reranker is None else reranker.card.fingerprint
            _write(encoder.folder, Calibration(first, answerable.typical(encoder, seen[0]), reranked, own))
            return "fitted"
    old, new = (scale_of(one, material.photos) for one in (OnnxEncoder(base), encoder))
    _write(encoder.folder, moved(before, old, new))
    return "moved"


def _write(folder: Path, calibration: Calibration) -> None:
    atomic_write(folder / FILE, calibration.to_json().encode())


def _bank_texts(photos: Pairs) -> list[str]:
    """Training captions, evenly chosen where there are many; plain sentences join them where there are few."""
    captions = [text for own in photos.texts for text in own]
    chosen = captions[:: -(-len(captions) // CAPTIONS)]
    return chosen if len(captions) >= FEW else [*chosen, *querybank.texts()]


@dataclass(frozen=True)
class Scale:
    """Where a model's scores of nouns lie that are asked of photos, and how near the nouns are to its querybank."""

    score: tuple[float, float]  # mean, and spread over the photos
    hubness: tuple[float, float]  # mean, and spread over the nouns
    typical: tuple[float, float]  # the same of the cosines as of the scores


def scale_of(encoder: Encoder, photos: Pairs) -> Scale:
    """That of an encoder with its querybank, on at most ``PHOTOS`` of the photos."""
    vectors, _ = calibrate.pictures(encoder, photos.keep(range(0, len(photos), -(-len(photos) // PHOTOS))))
    names, bank = sorted(nouns())[::NAMES], querybank.vectors(encoder)
    queries = answerable.encode(encoder, names)
    shares = np.array([beta(name) for name in names], np.float32)
    penalty = hubness_penalty(vectors, bank, 1.0, querybank.NEAREST)
    scores = queries @ vectors.T - shares[:, None] * penalty  # (t, d) x (d, p) -> (t, p)
    near = np.array([query_hubness(query, bank, querybank.NEAREST) for query in queries])
    return Scale(
        (float(scores.mean()), float(scores.std(axis=1).mean())),
        (float(near.mean()), float(near.std())),
        answerable.typical(encoder, vectors),
    )


def moved(before: Calibration, old: Scale, new: Scale) -> Calibration:
    """The maps of ``before``, which take scores of the scale ``old``, for scores of the scale ``new``."""

    def map_of(one: Logistic) -> Logistic:
        stretch, shift = _affine(new.score, old.score)
        stretch_near, shift_near = _affine(new.hubness, old.hubness)
        offset = one.offset + one.score * shift + one.background * shift_near
        return Logistic(
            round(one.score * stretch, 6), round(one.background * stretch_near, 6), one.beta, round(offset, 6)
        )

    reranked = None if before.reranked is None else map_of(before.reranked)
    return Calibration(map_of(before.first), new.typical, reranked, before.reranker)


def _affine(new: tuple[float, float], old: tuple[float, float]) -> tuple[float, float]:
    """What new values are multiplied by, and what is added then, to lie where the old ones lie."""
    stretch = old[1] / max(new[1], 1e-9)
    return stretch, old[0] - stretch * new[0]


def _reranker(encoder: OnnxEncoder, wanted: str) -> Reranker | None:
    return for_encoder(encoder, wanted) if _fits(encoder.card, wanted) else None


def _fits(card: ModelCard, wanted: str) -> bool:
    try:
        return find(card, wanted) is not None
    except ModelError:
        return False
