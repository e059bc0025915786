"""Searches, by words and by photos of the library."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mmsearch.query.model import Query as Wanted
from mmsearch.query.model import Vector
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


@router.post(
    "/search/image",
    response_model=SearchPage,
    operation_id="search_by_image",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {
                    "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
                },
            },
        }
    },
)
async def search_by_image(request: Request, context: Served, asked: Annotated[SearchRequest, Query()]) -> Response:
    """The photos that are like a picture, which is sent as the body; further pages are asked for by ``search``."""
    picture = await context.uploads.vector(request)
    return Json(await context.searches.run(_page, context, asked, picture))


@router.post("/search", response_model=SearchPage, operation_id="search_by_body")
async def search_by_body(context: Served, asked: SearchRequest) -> Response:
    """The same, for queries that no address has room for."""
    return Json(await context.searches.run(_page, context, asked))


def _page(context: Context, asked: SearchRequest, picture: Vector | None = None) -> dict[str, Any]:
    """The page that is asked for, as JSON; ``picture`` is looked for too."""
    key = asked.model_dump(exclude={"k", "cursor"})
    if asked.cursor is not None:
        only = not asked.model_fields_set - {"k", "cursor"}
        return answer(context, context.lists.next(asked.cursor, None if only else key, asked.k))
    return answer(context, context.lists.first(wanted(context, asked, picture), key, asked.k))


def wanted(context: Context, asked: SearchRequest, picture: Vector | None = None) -> Asked:
    """A request as a search of the library.  Raises QueryError, Refused."""
    query = read_query(asked.q, asked.where, context.options.show_places)
    like, unlike = examples(context.library, asked.like), examples(context.library, asked.unlike)
    if not query.terms and (like.vectors or picture is not None):
        query = replace(query, order="score")
    if picture is not None:
        query = replace(query, terms=(*query.terms, picture))
    query = sorted_by(query, asked.sort)
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
        "unreachable": sorted(page.unreachable),
        "question": question_of(page.query),
    }
