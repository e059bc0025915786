"""A relevance that is fitted to one library, by captions of its own pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import ModelError, SourceError
from mmsearch.evaluation import answerable
from mmsearch.evaluation.evaluate import read_captions
from mmsearch.library.browsing import pictures
from mmsearch.library.models import Models
from mmsearch.media.filesystem import atomic_write
from mmsearch.rerank.reranker import Reranker
from mmsearch.search.calibration import Calibration, Shares
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel
from mmsearch.types import Ids, PathLike, Progress, Regions

# Pictures with captions that are wanted.  Fitted to fewer, a map is worse than what there is: see
# ``training/contrastive/companions.py`` for the figures.
NEEDED = 200
MOST = 3000  # pictures that texts are asked over
TEXTS = 400  # captions that it is fitted on, and about as many short texts
SHARED = 3  # pictures that may have the same description: of more it tells of an event, or of a camera


@dataclass(frozen=True)
class CalibrationReport:
    """What fitting a relevance to a library gave; figures are of ``answerable.judged``, on texts not fitted on."""

    photos: int  # with captions
    texts: int  # asked, each with and without an answer
    before: Mapping[str, float]
    after: Mapping[str, float]
    changed: bool  # the library has the new one: it tells better


def calibrate(
    store: Store,
    models: Models,
    captioned: PathLike | Mapping[str, Sequence[str]] | None,
    progress: Callable[[Progress], None] | None,
) -> CalibrationReport:
    """Fit a relevance to a library and keep it in its folder, where it tells better than what there is.

    Half of the pictures are fitted on and the others judged; then all are fitted on.  ``captioned`` has captions by
    file name or path, or is a file of them; without it what is written into and beside the files counts.  The caller
    has the lock of writers.  Raises SourceError for too few captions, NoModelError, ModelError.
    """
    stored = models.active()
    captions = read_captions(Path(captioned)) if isinstance(captioned, (str, os.PathLike)) else captioned
    ids, texts = _captioned(store, stored, captions)
    encoder = models.encoder(stored)
    reranker, tokens = _looked_at(store, models, encoder, stored, ids)
    vectors = store.vectors(ids, stored.dim)
    every = max(1, sum(map(len, texts)) // TEXTS)

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(done, total, "", "calibrate"))

    scores = answerable.scored(encoder, reranker, texts, (vectors, tokens), every, report, models.querybank(stored))
    fitted = scores["photo"] % 2 == 0
    short = scores["short"][~fitted] > 0
    before = answerable.judged(_now(scores, ~fitted, models.calibration(encoder, stored)), short)
    first, _ = answerable.maps(scores, fitted)
    after = answerable.judged(answerable.own_shares(scores, ~fitted, first), short)
    changed = after["log loss"] < before["log loss"]
    if changed:
        first, reranked = answerable.maps(scores, np.ones(len(fitted), np.bool_))
        own = None if reranker is None else reranker.card.fingerprint
        made = Calibration(first, answerable.typical(encoder, vectors), reranked, own)
        atomic_write(models.calibration_file(stored), made.to_json().encode())
    return CalibrationReport(len(ids), len(fitted), before, after, changed)


def forget(models: Models) -> bool:
    """Forget what was fitted to the library; whether there was anything.  Raises NoModelError."""
    file = models.calibration_file(models.active())
    there = file.exists()
    file.unlink(missing_ok=True)
    return there


def _now(scores: dict[str, Shares], rows: NDArray[np.bool_], calibration: Calibration | None) -> Shares:
    """The relevances of these texts as they are now."""
    if calibration is None:
        return answerable.general_shares(scores, rows)
    return answerable.own_shares(scores, rows, calibration.first)


def _looked_at(
    store: Store, models: Models, encoder: Encoder, stored: StoredModel, ids: Ids
) -> tuple[Reranker | None, Regions]:
    """The reranker and the region tokens of pictures, where there is one and they all have them."""
    none = np.empty((len(ids), 0, 0), np.float32)
    card = encoder.card.regions
    if card is None:
        return None, none
    tokens, there = store.regions(ids, stored, card)
    try:
        return (models.reranker(encoder), tokens) if there.all() else (None, none)
    except ModelError:
        return None, none


def _captioned(
    store: Store, stored: StoredModel, captions: Mapping[str, Sequence[str]] | None
) -> tuple[Ids, list[list[str]]]:
    """Pictures that have captions, at most ``MOST`` in even steps, and these.  Raises SourceError for too few."""
    found = _written(store, stored) if captions is None else _given(store, stored, captions)
    texts = {number: own for number, own in found if own}
    if len(texts) < NEEDED:
        source = "a description in their files or beside them" if captions is None else "captions in the file"
        hint = "; give captions of more" if captions is not None else "; give a file with captions"
        raise SourceError(
            f"{len(texts)} pictures of the library have {source}, and {NEEDED} are wanted: fitted to fewer, relevance "
            f"would be worse than it is{hint}",
            code="too-few-captions",
            got=len(texts),
            wanted=NEEDED,
        )
    chosen = list(texts)[:: -(-len(texts) // MOST)]
    return np.array(chosen, np.int64), [texts[number] for number in chosen]


def _files(store: Store, stored: StoredModel) -> Iterator[tuple[int, list[str], list[str]]]:
    """Each picture: the id of its vector, the paths of its files, and what is written into or beside them."""
    for number, files in pictures(store, stored):
        yield number, [one.path for one in files], [one.description for one in files if one.description]


def _written(store: Store, stored: StoredModel) -> Iterator[tuple[int, list[str]]]:
    """The pictures' descriptions, but those that very many share."""
    own = {number: list(dict.fromkeys(texts)) for number, _, texts in _files(store, stored)}
    shared = Counter(text for texts in own.values() for text in texts)
    for number, texts in own.items():
        yield number, [text for text in texts if shared[text] <= SHARED]


def _given(store: Store, stored: StoredModel, captions: Mapping[str, Sequence[str]]) -> Iterator[tuple[int, list[str]]]:
    """The captions that are given of each picture, by its file's name or the end of its path."""
    by_name: dict[str, list[tuple[PurePath, Sequence[str]]]] = {}
    for name, texts in captions.items():
        by_name.setdefault(PurePath(name).name, []).append((PurePath(name), texts))
    for number, paths, _ in _files(store, stored):
        texts = [
            text
            for path in map(PurePath, paths)
            for name, own in by_name.get(path.name, ())
            if path.parts[-len(name.parts) :] == name.parts
            for text in own
        ]
        yield number, list(dict.fromkeys(texts))
