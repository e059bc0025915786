"""The way of a query: parse -> allow -> retrieve -> rerank -> judge -> fold -> present."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mmsearch.errors import DimensionError, ImageError, QueryError
from mmsearch.language import negation, questions
from mmsearch.media.filesystem import open_regular
from mmsearch.media.in_memory import unit_vector
from mmsearch.query.model import Condition, Example, Picture, Query, Shown, Tagged, Term, Vector, Words
from mmsearch.search import folding, retrieval
from mmsearch.search.engine import Engine
from mmsearch.search.map_note import of_map
from mmsearch.search.moments import Moments, by_words, one_for_all, some_of, with_all_parts
from mmsearch.search.options import Options
from mmsearch.search.presence import Presence, PresenceBeside
from mmsearch.search.present import present
from mmsearch.search.ranking import Ranking
from mmsearch.search.retrieval import ParsedQuery, QueryVector
from mmsearch.search.scored import Block, Folded, Scored
from mmsearch.search.text_adapter import TextAdapter
from mmsearch.search.text_boost import is_excluded
from mmsearch.search.unknown_words import unknown_words
from mmsearch.store.steps import step
from mmsearch.types import Ids, Note, SearchResult, Vectors


def search(engine: Engine, query: Query, options: Options) -> SearchResult:
    """The best pictures, fewer where fewer meet the conditions or are relevant.

    A picture that the query gives as an example is not among its own hits.  Without a term that is wanted, all pictures
    that meet the conditions are hits, the newest first.

    Pages (``offset`` 0, k, 2 k …) joined are the one larger search, as long as nothing is stored in between.  An
    ``order`` other than by score sorts each page in itself, if there is a term that is wanted.  Raises QueryError.
    """
    engine.store.capabilities.check(query)
    query, said = _with_negations(query)
    texts = [term.text for term in query.terms if isinstance(term, Words) and not term.exclude and not term.exact]
    query = _with_examples(_about_things(query), options)
    said += of_map(engine.store, engine.model, query.conditions)
    with step("allow"):
        allowed = _allow(engine, query, options.within)
    if not any(not term.exclude and not (isinstance(term, Words) and term.exact) for term in query.terms):
        return replace(_list(engine, query, options, allowed), notes=(*said, *_not_imagined(options)))
    with step("parse"):
        parsed = _parse(engine, query, options.unlike)
    if options.imagine:
        parsed, own = _with_imagined(engine, parsed, options)
        said += own
    ranking = Ranking(engine, query, parsed, texts, options, allowed)
    folded = folding.fold(engine.store, engine.index, ranking) if options.diverse else folding.each_by_itself(ranking)
    result = present(engine, query, options, folded, Moments(engine, parsed, allowed))
    notes = [*said, *ranking.notes, *_unknown(engine, parsed.text)]
    if not result and ranking.left_out:
        least = options.least_relevance
        more = "more " if options.offset else ""
        text = f"no {more}pictures found with a relevance of {least:.0%} or more"
        notes.append(Note(text, "nothing-relevant", min_relevance=least))
    return replace(result, notes=tuple(notes))


def needs_encoder(query: Query, options: Options) -> bool:
    """Whether anything of a search has to be made a vector; exact words and conditions have none, vectors are some."""
    terms = (*query.terms, *options.like, *options.unlike)
    return not all(isinstance(term, Vector) or (isinstance(term, Words) and term.exact) for term in terms)


def is_question(query: Query) -> bool:
    """Whether a photo can answer something that is asked."""
    said = [term for term in query.terms if isinstance(term, Words) and not (term.exact or term.exclude)]
    return any(questions.parse(term.text) is not None for term in said)


def _with_negations(query: Query) -> tuple[Query, tuple[Note, ...]]:
    """ "beach without people" as "beach -people", and what to say of it; vector arithmetic takes texts as they are."""
    terms: list[Term] = []
    notes: list[Note] = []
    for term in query.terms:
        plain = isinstance(term, Words) and not (term.exact or term.exclude or query.arithmetic)
        if not isinstance(term, Words) or not plain or questions.parse(term.text):
            terms.append(term)
            continue
        found = negation.split(term.text)
        if found is None:
            terms.append(term)
            continue
        terms += [Words(found.wanted, term.weight)] if found.wanted else []
        terms += [Words(text, term.weight, exclude=True) for text in found.left_out]
        shown, words = " or ".join(found.left_out), term.text.replace('"', " ").strip()
        text = f'pictures that show {shown} are left out; for pictures in which it is written: words:"{words}"'
        notes.append(Note(text, "negation", wanted=found.wanted, left_out=list(found.left_out)))
    return replace(query, terms=tuple(terms)), tuple(notes)


def _with_imagined(engine: Engine, parsed: ParsedQuery, options: Options) -> tuple[ParsedQuery, tuple[Note, ...]]:
    """The query with imagined pictures of its words, where it has any."""
    if engine.imagination is None or not parsed.text or not parsed.wanted:
        return parsed, _not_imagined(options)
    from mmsearch.search import imagination  # loads a graph: only where it is asked for

    pictures = engine.imagination(parsed.text)
    return imagination.joined(parsed, pictures, engine.imagination.card.weight, each=options.diverse), ()


def _not_imagined(options: Options) -> tuple[Note, ...]:
    """What to say where pictures should be imagined and there are no words to do it by."""
    text = "nothing was imagined: the query has no words"
    return (Note(text, "nothing-to-imagine"),) if options.imagine else ()


def _unknown(engine: Engine, text: str) -> tuple[Note, ...]:
    """What to say of words that the model cannot read, and that are not written about any picture either."""
    if not text or engine.encoder is None or engine.no_words is not None:
        return ()
    words = [word for word in unknown_words(text, engine.encoder) if not engine.find_words(word)]
    if not words:
        return ()
    names = ", ".join(f'"{word}"' for word in words)
    text = f"the model most likely does not know {names}: it reads common English words"
    return (Note(text, "unknown-words", words=words),)


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
    like = [replace(term, weight=1 / len(options.like), exclude=False) for term in options.like]
    return replace(query, terms=(*query.terms, *like)) if like else query


def _allow(engine: Engine, query: Query, within: Sequence[str]) -> Ids | None:
    """Ids that meet the conditions and have the exact words; None for all.  Raises QueryError for an unknown place."""
    store, model = engine.store, engine.model
    conditions = (*query.conditions, *_untagged(query))
    allowed = store.searchable(model, within, conditions) if within or conditions else None
    if within and allowed is not None and not len(allowed) and not any(os.path.lexists(path) for path in within):
        raise QueryError(f"{within[0]}: no such file or folder, and no picture is known there")
    texts = [term for term in query.terms if isinstance(term, Words) and (term.exact or term.exclude)]
    most = max(len(engine.index) + len(store.without_vectors(model)), 1) if texts else 0
    for term in texts if not query.arithmetic else [term for term in texts if term.exact]:
        hits = engine.find_words(term.text, by_words(store, model, allowed, conditions), most, exact=term.exact)
        having = np.unique(np.array([hit.number for hit in hits if term.exact or is_excluded(hit)], np.int64))
        having = np.unique(with_all_parts(store, model, having, allowed))  # words of a film are of all of it
        if not term.exclude:
            allowed = having
        elif len(having):
            allowed = np.setdiff1d(_all(engine) if allowed is None else allowed, having)
    return allowed


def _all(engine: Engine) -> Ids:
    """Ids of all vectors that are searched, and of those that stand for sound."""
    ids, without = engine.index.ids(), engine.store.without_vectors(engine.model)
    return np.union1d(ids, without) if len(without) else ids


def _untagged(query: Query) -> list[Condition]:
    """Without the tags that excluded texts name: "people" is the tag "person" too."""
    texts = [term.text for term in query.terms if isinstance(term, Words) and term.exclude and not term.exact]
    if query.arithmetic or not texts:
        return []
    from mmsearch.language import vocabulary  # read only where something is excluded

    tags = [tag for text in texts for tag in (text, *vocabulary.builtin().named(text))]
    return [Condition(Tagged(tag), exclude=True) for tag in dict.fromkeys(tags)]


def _parse(engine: Engine, query: Query, unlike: Sequence[Shown] = ()) -> ParsedQuery:
    """The vectors of the query's terms, and of what its hits should be unlike."""
    typical = engine.calibration.typical if engine.calibration else None
    excludes = any(isinstance(term, Words) and term.exclude for term in query.terms)
    presence = _presence(engine) if excludes else None
    asks = any(isinstance(term, Words) and not term.exclude for term in query.terms)
    adapter = TextAdapter.of(engine.encoder) if asks and engine.encoder is not None else None
    parsed = retrieval.parsed_query(
        query.terms, lambda term: _embed(term, engine), query.arithmetic, typical, presence, adapter
    )
    away = [QueryVector(_embed(term, engine), 1 / len(unlike)) for term in unlike]
    return replace(parsed, unlike=tuple(away))


def _presence(engine: Engine) -> Presence | None:
    """What tells what photos show: of the model that is searched with, else of that which gives region tokens."""
    presence = None if engine.encoder is None else Presence.of(engine.encoder)
    tokens = None if presence is not None else engine.tokens()
    if tokens is None or tokens.encoder is engine.encoder:
        return presence
    return PresenceBeside.beside(tokens, engine.store, engine.model)


def _embed(term: Term, engine: Engine) -> Vectors:
    """The vector of one term, (dim,).  Raises QueryError for a picture that cannot be read, DimensionError."""
    if isinstance(term, Vector):
        given = unit_vector(term.values)
        if len(given) != engine.model.dim:
            raise DimensionError(got=len(given), wanted=engine.model.dim)
        return given
    assert engine.encoder is not None
    if isinstance(term, Words):
        with step("encode"):
            row: Vectors = engine.encoder.encode_texts([retrieval.without_end_mark(term.text)])[0]
        return row
    from mmsearch.media.apart import decode_apart  # brings in all that Pillow can read
    from mmsearch.media.decode import decode_content

    preprocess = engine.encoder.card.preprocess
    try:
        if isinstance(term, Picture):
            content, name = term.content, "the picture"
            if isinstance(content, (bytes, bytearray, memoryview)):
                pixels = [decode_apart(io.BytesIO(content), name, preprocess, engine.max_megapixels).pixels]
            else:
                pixels = [decode_content(content, name, preprocess, engine.max_megapixels)]
        else:
            with open_regular(term.path) as file:
                decoded = decode_apart(file, term.path, preprocess, engine.max_megapixels)
            if decoded.is_sound:
                raise no_vector(term.path)
            pixels = [part.pixels for part in some_of(decoded.parts)] or [decoded.pixels]
    except ImageError as error:
        raise QueryError(f"{error.path} cannot be used as a query: {error.reason}") from error
    except OSError as error:
        assert isinstance(term, Example)  # what is in memory needs no drive
        vector_id = engine.store.vector_of(term.path, engine.model)  # its drive may be unplugged
        if vector_id is None:
            raise QueryError(f"{term.path} cannot be used as a query: {error.strerror or error}") from error
        if vector_id in engine.store.without_vectors(engine.model):
            raise no_vector(term.path) from error
        parts = [part.vector for part in engine.store.parts([vector_id], engine.model).get(vector_id, ())]
        numbers = np.array(some_of([number for number in parts if number >= 0] or [vector_id]), np.int64)
        return one_for_all(engine.store.vectors(numbers, engine.model.dim))
    with step("encode", count=len(pixels)):
        return one_for_all(engine.encoder.encode_images(np.stack(pixels)))


def no_vector(name: str) -> QueryError:
    """What to say where sound is given as an example."""
    return QueryError(
        f"{name} has no vector: it is sound, which is found by its words; give a picture or a film", code="no-vector"
    )


def _list(engine: Engine, query: Query, options: Options, allowed: Ids | None) -> SearchResult:
    """Pictures that nothing ranks: by the order that is asked for, the newest first where it is by score."""
    if options.min_relevance:
        raise QueryError("the least relevance makes no sense without something to look for", code="relevance-unknown")
    unwanted = _parse(engine, query).unwanted
    if unwanted:
        ids = _all(engine) if allowed is None else allowed
        allowed = retrieval.excluding(unwanted, engine.index, ids)
    blocks = _listed(engine, query, allowed, options.end + 1)
    exact = " ".join(term.text for term in query.terms if isinstance(term, Words) and term.exact and not term.exclude)
    moments = Moments(engine, ParsedQuery((), text=exact), allowed) if exact else None  # when they are said
    result = present(engine, replace(query, order="score"), options, blocks, moments)
    return replace(result, hits=tuple(replace(hit, score=None) for hit in result.hits))


def _listed(engine: Engine, query: Query, allowed: Ids | None, count: int) -> Iterator[Block[Folded]]:
    """All pictures in their order, the first ``count`` and then twice as many again."""
    order = "date" if query.order == "score" else query.order
    done = 0
    while True:
        ids = engine.store.listed(engine.model, allowed, order, query.descending, count)
        yield Block([Folded(Scored(vector_id, 0.0)) for vector_id in ids[done:]], last=len(ids) < count)
        if len(ids) < count:
            return
        done, count = len(ids), 2 * count
