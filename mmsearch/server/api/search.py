"""Searches, by words and by photos of the library."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from mmsearch.query.model import Query as Wanted
from mmsearch.server.context import Context, Served
from mmsearch.server.errors import Json
from mmsearch.server.models import SearchPage, SearchRequest
from mmsearch.server.photo_json import hit_json
from mmsearch.server.queries import examples, question_of, read_query
from mmsearch.server.results import Asked, Page

router = APIRouter(tags=["search"])


@router.get("/search", response_model=SearchPage, operation_id="search")
async def search(context: Served, asked: Annotated[SearchRequest, Query()]) -> Response:
    """The photos that fit best, a page at a time."""
    return Json(await context.searches.run(_page, context, asked))


@router.post("/search", response_model=SearchPage, operation_id="search_by_body")
async def search_by_body(context: Served, asked: SearchRequest) -> Response:
    """The same, for queries that no address has room for."""
    return Json(await context.searches.run(_page, context, asked))


def _page(context: Context, asked: SearchRequest) -> dict[str, Any]:
    """The page that is asked for, as JSON."""
    key = asked.model_dump(exclude={"k", "cursor"})
    if asked.cursor is not None:
        only = not asked.model_fields_set - {"k", "cursor"}
        return answer(context, context.lists.next(asked.cursor, None if only else key, asked.k))
    return answer(context, context.lists.first(wanted(context, asked), key, asked.k))


def wanted(context: Context, asked: SearchRequest) -> Asked:
    """A request as a search of the library.  Raises QueryError, Refused."""
    query = sorted_by(read_query(asked.q, asked.where, context.options.show_places), asked.sort)
    like, unlike = examples(context.library, asked.like), examples(context.library, asked.unlike)
    if like.vectors and asked.sort is None:
        query = replace(query, order="score")
    return Asked(
        query,
        like=like.vectors,
        unlike=unlike.vectors,
        shown=like.ids | unlike.ids,
        min_relevance=asked.min_relevance,
        rerank=asked.rerank,
        diverse=asked.diverse,
    )


def sorted_by(query: Wanted, sort: str | None) -> Wanted:
    """The query in this order, or in its own where none is given."""
    if sort is None:
        return query
    if sort == "relevance":
        return replace(query, order="score", descending=True)
    return replace(query, order="date", descending=sort == "newest")


def answer(context: Context, page: Page) -> dict[str, Any]:
    """A page of hits as JSON."""
    return {
        "hits": [hit_json(hit, context.options) for hit in page.hits],
        "notes": [note.to_dict() for note in page.notes],
        "next_cursor": page.next_cursor,
        "more": page.next_cursor is not None,
        "found": page.found,
        "generation": page.generation,
        "question": question_of(page.query),
    }
