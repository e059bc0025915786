"""The last step of a search: from vectors to the files that hold the pictures, a page of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmsearch.query.model import Example, Query, Words
from mmsearch.search.engine import Engine
from mmsearch.search.moments import Moments
from mmsearch.search.options import Options
from mmsearch.search.scored import Block, Folded
from mmsearch.search.shots import Row, Shots
from mmsearch.store.steps import step
from mmsearch.types import Hit, Moment, Photo, SearchResult

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

_ORDERS: dict[str, Callable[[Photo], Any]] = {
    "date": lambda photo: photo.date.replace(tzinfo=None),
    "name": lambda photo: os.path.basename(photo.path).casefold(),
    "size": lambda photo: photo.size,
}

AT_ONCE = 10_000  # pictures whose files are read at once


def present(
    engine: Engine,
    query: Query,
    options: Options,
    blocks: Iterable[Block[Folded]],
    moments: Moments | None = None,
) -> SearchResult:
    """The hits of the page that is asked for, and where the next one begins.

    ``blocks`` have the best picture first, and are gone through as far as the page needs.  A picture may have several
    files, each a hit, or none any more where another process removed it; files that the query gives as examples are no
    hits.  Where near-duplicates are folded the first file of a picture stands for all.  A page that ends where a block
    does is taken for one that others follow, which may then be empty.  A raw file and the picture of its shot are one
    hit.  Hits that are films or documents have the best of their ``moments``.
    """
    store = engine.store
    shots = Shots(store, query, options.within)
    rows, more = _rows(store, query, options, blocks, shots)
    page = shots.with_others(rows[options.offset : options.end])
    if query.order != "score":
        page.sort(key=lambda row: _ORDERS[query.order](row[1]), reverse=query.descending)
    found = moments.of([one for one, _, _ in page]) if moments else {}
    return SearchResult(
        tuple(_hits(page, _reasons(engine, query, page), found, options.offset)),
        next_offset=options.end if more else None,
    )


def _rows(
    store: Store, query: Query, options: Options, blocks: Iterable[Block[Folded]], shots: Shots
) -> tuple[list[Row], bool]:
    """All rows up to the end of the page, or one more, and whether others follow the page."""
    examples = {os.path.realpath(term.path) for term in query.terms if isinstance(term, Example)}
    examples |= {os.path.realpath(term.path) for term in options.unlike if isinstance(term, Example)}
    rows: list[Row] = []
    for block in blocks:
        done = 0
        while done < len(block.items) and len(rows) <= options.end:
            count = min(options.end + 1 + len(examples) - len(rows), AT_ONCE)
            for row in shots.once([*_files(store, query, options, block.items[done : done + count])]):
                if not examples or os.path.realpath(row[1].path) not in examples:
                    rows.append(row)
            done += count
        if len(rows) >= options.end:
            return rows, len(rows) > options.end or not block.last
    return rows, False


def _files(store: Store, query: Query, options: Options, found: Sequence[Folded]) -> Iterator[Row]:
    """Every file of the pictures; where near-duplicates are folded the first one of each, with the others beside it."""
    ids = dict.fromkeys(vector_id for one in found for vector_id in (one.best.id, *one.ids))
    with step("facts", count=len(ids)):
        photos = store.photos(list(ids), options.within, query.conditions)
    for one in found:
        files = photos.get(one.best.id, [])
        if not options.diverse:
            for photo in files:
                yield one.best, photo, ()
        elif files:
            paths = [photo.path for vector_id in one.ids for photo in photos.get(vector_id, [])]
            yield one.best, files[0], tuple(path for path in paths if path != files[0].path)


def _reasons(engine: Engine, query: Query, page: Sequence[Row]) -> dict[int, tuple[str, ...]]:
    """Where words of the query are written about the pictures, by vector id."""
    text = " ".join(term.text for term in query.terms if isinstance(term, Words) and not term.exclude)
    # Words of others were looked for already, and none was found.
    unasked = query.arithmetic or any(isinstance(term, Words) and term.exact for term in query.terms)
    having = [one.id for one, _, _ in page if one.boost or unasked]
    return engine.reasons(text, having) if text and having else {}


def _hits(
    page: Sequence[Row],
    reasons: Mapping[int, tuple[str, ...]],
    moments: Mapping[int, tuple[Moment, ...]],
    offset: int,
) -> Iterator[Hit]:
    for rank, (one, photo, others) in enumerate(page, offset + 1):
        yield Hit(
            rank=rank,
            score=round(one.score, 4),
            photo=photo,
            first_stage=one.cosine if one.reranked else None,
            answer=one.answer,
            answer_confidence=one.confidence,
            relevance=one.relevance,
            reasons=reasons.get(one.id, ()),
            similar=others,
            moments=_own(photo, moments.get(one.id, ())),
        )


def _own(photo: Photo, moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """The moments of a hit; none where the picture of a live photo is shown in the place of its clip."""
    return () if photo.film is None and any(one.start_ms is not None for one in moments) else moments
