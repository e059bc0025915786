"""Tags that people give photos."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as Parameter
from starlette.responses import Response

from mmsearch import schemas
from mmsearch.server.context import Served, Writing
from mmsearch.server.errors import Json
from mmsearch.server.models import Tag, TagRequest, Tags, TagsChanged

router = APIRouter(prefix="/tags", tags=["tags"])


@router.get("", response_model=Tags, operation_id="tags")
async def tags(
    context: Served,
    text: Annotated[Tag, Parameter(description="What a word of the tag begins with")] = "",
    most: Annotated[int, Parameter(ge=1, le=1000)] = 50,
) -> Response:
    """The tags that photos have, of people and of a model, those of the most photos first."""
    return Json({"tags": await context.searches.run(context.completions.tags, text, most)})


@router.post("", response_model=TagsChanged, operation_id="tag_photos")
async def tag_photos(context: Writing, asked: TagRequest) -> Response:
    """Give photos tags, and take from them tags that people gave: all of it or nothing. Files stay as they are."""
    change = await context.searches.run(context.library.tag_photos, asked.ids, add=asked.add, remove=asked.remove)
    context.completions.forget()
    return Json(schemas.tags_changed(change))
