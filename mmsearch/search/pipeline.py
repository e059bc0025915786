"""The way of a query: conditions -> candidates by meaning and by words -> second look -> relevance -> hits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import ImageError, QueryError
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.language import questions
from mmsearch.query.model import Example, Query, Term, Words
from mmsearch.search import diversity, retrieval
from mmsearch.search.calibration import Calibration, background
from mmsearch.search.querybank import NEAREST
from mmsearch.search.reranking import Scored, SecondStage
from mmsearch.store.types import StoredModel
from mmsearch.types import Hit, Ids, Photo, Vectors

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

# Score that words found in what people wrote add, on the scale of cosines: ``docs/search.md`` has the measurement.
ALL_WORDS = 1.0  # all words of the query are there, and they are rare: such a picture comes first
SOME_WORDS = 0.3  # for the share of them that is there
WHOLE = 0.999  # share from which on all words are there
WRITTEN = ("name", "description", "ocr")  # by people, not guessed by a model
RARE = 3.0  # evidence (``WordHit.evidence``) from which on words are rare: one picture in twenty has the word
FOLDED = 5  # hits looked at for each one that is shown, where near-duplicates are folded
MMR = 0.7  # weight of relevance against variety


@dataclass(frozen=True)
class Engine:
    """What a search works on."""

    store: Store
    model: StoredModel
    index: VectorIndex  # rows are vectors and their background
    encoder: Encoder
    bank: Vectors | None = None  # what the background is taken from; (m, dim)
    calibration: Calibration | None = None
    second: SecondStage | None = None
    max_megapixels: float = 200.0


@dataclass(frozen=True)
class Options:
    """How to search."""

    k: int = 10
    within: Sequence[str] = ()  # only in or below these paths
    min_relevance: float | None = None  # hits below it are left out …
    usual_relevance: float = 0.0  # … and below this where none is given and relevance is known
    diverse: bool = False  # near-duplicates and bursts become one hit, and hits differ from each other
    like: Sequence[str] = ()  # pictures that the wanted ones are like …
    unlike: Sequence[str] = ()  # … and unlike


def search(engine: Engine, query: Query, options: Options) -> list[Hit]:
    """The best pictures, fewer where fewer meet the conditions or are relevant.

    A picture that the query gives as an example is not among its own hits.  Without a term that is wanted, all pictures
    that meet the conditions are hits, the newest first.  Raises QueryError.
    """
    if options.k < 1:
        raise QueryError(f"k must be at least 1, not {options.k}")
    if options.min_relevance is not None and not 0 <= options.min_relevance <= 1:
        raise QueryError(f"the least relevance must be between 0 and 1, not {options.min_relevance}")
    engine.store.capabilities.check(query)
    said = [term.text for term in query.terms if isinstance(term, Words) and not term.exclude and not term.exact]
    query = _with_examples(_about_things(query), options)
    allowed = _allowed(engine, query, options.within)
    wanted = [term for term in query.terms if not term.exclude and not (isinstance(term, Words) and term.exact)]
    if not wanted:
        return _listed(engine, query, options, allowed)
    understood = _understood(engine, query)
    if options.unlike:
        away = [retrieval.Part(embed(Example(path), engine), 1 / len(options.unlike)) for path in options.unlike]
        understood = replace(understood, less=tuple(away))
    found = _candidates(engine, query, understood, options, allowed)
    if engine.second is not None and understood.text:
        found = engine.second.rank(said, found, engine.store, engine.model, engine.encoder)
    found = _relevant(engine, query, understood, found, options)
    similar: dict[int, list[int]] = {}
    if options.diverse:
        found, similar = _folded(engine, found, options.k)
    return _hits(engine, query, options, found, similar)


def _about_things(query: Query) -> Query:
    """Questions become what they ask about: "is there a dog?" looks for dogs (``python -m benchmarks.questions``)."""
    terms = tuple(
        replace(term, text=asked.thing)
        if isinstance(term, Words) and not term.exact and (asked := questions.parse(term.text))
        else term
        for term in query.terms
    )
    return replace(query, terms=terms)


def _with_examples(query: Query, options: Options) -> Query:
    """``like`` and ``unlike`` as terms: those like it count as much as examples, together."""
    like = [Example(path, 1 / len(options.like)) for path in options.like]
    return replace(query, terms=(*query.terms, *like)) if like else query


def _allowed(engine: Engine, query: Query, within: Sequence[str]) -> Ids | None:
    """Ids that meet the conditions and have the exact words; None for all.  Raises QueryError for an unknown place."""
    store, model = engine.store, engine.model
    allowed = store.searchable(model, within, query.conditions) if within or query.conditions else None
    if within and allowed is not None and not len(allowed) and not any(os.path.lexists(path) for path in within):
        raise QueryError(f"{within[0]}: no such file or folder, and no picture is known there")
    texts = [term for term in query.terms if isinstance(term, Words) and (term.exact or term.exclude)]
    for term in texts if not query.arithmetic else [term for term in texts if term.exact]:
        hits = store.find_words(term.text, model, allowed, max(len(engine.index), 1), exact=term.exact)
        if not term.exact:
            hits = [hit for hit in hits if hit.score >= WHOLE and hit.columns != ("caption",)]
        having = np.unique(np.array([hit.number for hit in hits], np.int64))
        if not term.exclude:
            allowed = having
        elif len(having):
            allowed = np.setdiff1d(engine.index.ids() if allowed is None else allowed, having)
    return allowed


def _understood(engine: Engine, query: Query) -> retrieval.Meaning:
    typical = engine.calibration.typical if engine.calibration else None
    return retrieval.understand(query.terms, lambda term: embed(term, engine), query.arithmetic, typical)


def embed(term: Term, engine: Engine) -> Vectors:
    """The vector of one term, (dim,).  Raises QueryError for a picture that cannot be read."""
    if isinstance(term, Words):
        row: Vectors = engine.encoder.encode_texts([retrieval.plain(term.text)])[0]
        return row
    from mmsearch.media.decode import decode  # brings in all that Pillow can read

    try:
        with open(term.path, "rb") as file:
            pixels = decode(file, term.path, engine.encoder.card.preprocess, engine.max_megapixels).pixels
    except ImageError as error:
        raise QueryError(f"{error.path} cannot be used as a query: {error.reason}") from error
    except OSError as error:
        number = engine.store.vector_of(term.path, engine.model)  # its drive may be unplugged
        if number is None:
            raise QueryError(f"{term.path} cannot be used as a query: {error.strerror or error}") from error
        kept: Vectors = engine.store.vectors(np.array([number], np.int64), engine.model.dim)[0]
        return kept
    shown: Vectors = engine.encoder.encode_images(pixels[None])[0]
    return shown


def _candidates(
    engine: Engine, query: Query, understood: retrieval.Meaning, options: Options, allowed: Ids | None
) -> list[Scored]:
    """The best pictures by meaning, and by words that are written about them."""
    examples = sum(isinstance(term, Example) for term in query.terms)
    count = max(options.k, engine.second.candidates if engine.second else 0) + examples
    if options.diverse:
        count = max(count, FOLDED * options.k)
    text = "" if query.arithmetic else understood.text
    words = engine.store.find_words(text, engine.model, allowed, count) if text else []
    also = np.array([hit.number for hit in words], np.int64)
    known = engine.index.holds(also)  # another process may just have stored them
    found = retrieval.candidates(understood, engine.index, count, allowed, also[known])
    scores = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    worded, boosts = {}, {}
    for hit in engine.store.find_words(text, engine.model, found.ids, len(scores)) if words else []:
        written = any(column in WRITTEN for column in hit.columns)
        whole = written and hit.score >= WHOLE and hit.evidence >= RARE
        boosts[hit.number] = ALL_WORDS if whole else SOME_WORDS * hit.score
        scores[hit.number] += boosts[hit.number]
        worded[hit.number] = hit.score if whole else 0.0
    cosines = dict(zip(found.ids.tolist(), found.cosines.tolist(), strict=True))
    order = sorted(scores, key=lambda number: (-scores[number], number))
    return [
        Scored(n, scores[n], round(cosines[n], 4), by_words=worded.get(n, 0.0), boost=boosts.get(n, 0.0)) for n in order
    ]


def _relevant(
    engine: Engine, query: Query, understood: retrieval.Meaning, found: list[Scored], options: Options
) -> list[Scored]:
    """With relevance, where the model has a calibration and the query is a text but no question; those below the least
    left out."""
    logistic = None
    answered = any(one.answer in ("yes", "no") for one in found)  # then scores are of another kind
    simple = bool(understood.text) and len(understood.wanted) == 1 and not query.arithmetic and not answered
    if engine.calibration is not None and simple:
        logistic = engine.calibration.first
        if any(one.reranked for one in found):
            second = engine.second
            fits = second is not None and second.reranker.card.fingerprint == engine.calibration.reranker
            logistic = engine.calibration.reranked if fits else None
    if logistic is None or engine.bank is None:
        if options.min_relevance:
            raise QueryError(
                "the least relevance can be asked for only where it is known: for words that are no question, with a "
                "model that was calibrated, such as the embedded one, and its own reranker",
                code="relevance-unknown",
            )
        return found
    wanted = understood.wanted[0]
    own = background(wanted.vector, engine.bank, NEAREST)
    plain = np.array([one.score - one.boost for one in found], np.float64)
    relevance = np.maximum(logistic(plain, own, wanted.beta), [one.by_words for one in found])
    judged = [replace(one, relevance=round(float(share), 4)) for one, share in zip(found, relevance, strict=True)]
    least = options.usual_relevance if options.min_relevance is None else options.min_relevance
    return [one for one in judged if one.relevance is not None and one.relevance >= least]


def _folded(engine: Engine, found: list[Scored], k: int) -> tuple[list[Scored], dict[int, list[int]]]:
    """The ``k`` best pictures that are unlike each other, and for each the near-duplicates that it stands for."""
    if not found:
        return [], {}
    best = found[: max(FOLDED * k, 100)]
    ids = np.array([one.number for one in best], np.int64)
    vectors = engine.index.vectors(ids)[:, :-1]
    hashes, there = engine.store.hashes(ids)
    stored = engine.store.photos(ids.tolist())
    taken = np.array([_seconds(stored.get(number, [])) for number in ids.tolist()])
    stands = diversity.fold(vectors, hashes, there, taken)
    heads = np.flatnonzero(stands == np.arange(len(best)))
    scores = np.array([best[row].score for row in heads])
    span = max(float(scores.max() - scores.min()), 1e-6)
    order = heads[diversity.mmr((scores - scores.min()) / span, vectors[heads], k, MMR)]
    similar = {int(ids[row]): ids[np.flatnonzero(stands == row)].tolist() for row in order}
    return [best[row] for row in order], similar


def _seconds(photos: Sequence[Photo]) -> float:
    """When the picture was taken by the camera's clock; NaN where nobody knows."""
    taken = photos[0].exif.taken_at if photos else None
    return taken.replace(tzinfo=timezone.utc).timestamp() if taken else float("nan")


def _listed(engine: Engine, query: Query, options: Options, allowed: Ids | None) -> list[Hit]:
    """Pictures that nothing ranks: by the order that is asked for, the newest first where it is by score."""
    if options.min_relevance:
        raise QueryError("the least relevance makes no sense without something to look for", code="relevance-unknown")
    order = "date" if query.order == "score" else query.order
    understood = _understood(engine, query)
    if understood.unwanted:
        ids = engine.index.ids() if allowed is None else allowed
        allowed = retrieval.without(understood.unwanted, engine.index, ids)
    numbers = engine.store.listed(engine.model, allowed, order, query.descending, options.k)
    return _hits(engine, replace(query, order="score"), options, [Scored(number, 0.0) for number in numbers], {})


def _hits(
    engine: Engine, query: Query, options: Options, found: list[Scored], similar: dict[int, list[int]]
) -> list[Hit]:
    """Files of the pictures; a picture may have several, or none any more where another process removed it."""
    examples = {os.path.realpath(term.path) for term in query.terms if isinstance(term, Example)}
    examples |= {os.path.realpath(path) for path in options.unlike}
    shown = found[: options.k + len(examples)]
    ids = list(dict.fromkeys([one.number for one in shown] + [n for one in shown for n in similar.get(one.number, [])]))
    photos = engine.store.photos(ids, options.within, query.conditions)
    hits = []
    for one in shown:
        own = photos.get(one.number, [])
        if options.diverse:
            others = [photo.path for n in similar.get(one.number, []) for photo in photos.get(n, [])]
            own = own[:1]
        else:
            others = []
        for photo in own:
            if not examples or os.path.realpath(photo.path) not in examples:
                folded = tuple(path for path in others if path != photo.path)
                hits.append((one, photo, folded))
    hits = hits[: options.k]
    if query.order != "score":
        hits.sort(key=lambda hit: _KEYS[query.order](hit[1]), reverse=query.descending)
    text = " ".join(term.text for term in query.terms if isinstance(term, Words) and not term.exclude)
    # Words of others were looked for already, and none was found.
    unasked = query.arithmetic or any(isinstance(term, Words) and term.exact for term in query.terms)
    worded = [one.number for one, _, _ in hits if one.boost or unasked]
    reasons = engine.store.reasons(text, worded, engine.model) if text and worded else {}
    return [
        Hit(
            rank, round(one.score, 4), photo, one.cosine if one.reranked else None, one.answer, one.confidence,
            one.relevance, reasons.get(one.number, ()), folded,
        )
        for rank, (one, photo, folded) in enumerate(hits, 1)
    ]  # fmt: skip


_KEYS: dict[str, Callable[[Photo], Any]] = {
    "date": lambda photo: photo.date.replace(tzinfo=None),
    "name": lambda photo: os.path.basename(photo.path).casefold(),
    "size": lambda photo: photo.size,
}
