"""Saved searches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from mmsearch.server.context import Served, Writing
from mmsearch.server.errors import Json, Refused
from mmsearch.server.models import SavedSearch, SavedSearches

router = APIRouter(prefix="/searches", tags=["saved searches"])


@router.get("", response_model=SavedSearches, operation_id="saved_searches")
async def saved(context: Served) -> Response:
    """All saved searches, in the order in which they were saved."""
    found = await context.pictures.run(context.saved.all)
    return Json({"searches": [{"name": name, "query": query} for name, query in found.items()]})


@router.post("", status_code=204, operation_id="save_search", response_class=Response)
async def save(context: Writing, search: SavedSearch) -> Response:
    """Save a search, in the place of one with this name."""
    await context.pictures.run(context.saved.save, search.name, search.query)
    return Response(status_code=204)


@router.delete("/{name:path}", status_code=204, operation_id="forget_search", response_class=Response)
async def forget(context: Writing, name: Annotated[str, Path(max_length=200)]) -> Response:
    """Forget a saved search."""
    if not await context.pictures.run(context.saved.forget, name):
        raise Refused(404, "unknown-search", "no saved search has this name")
    return Response(status_code=204)
