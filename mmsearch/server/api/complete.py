"""What a query may go on with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mmsearch.server.context import Served
from mmsearch.server.errors import Json
from mmsearch.server.models import Completions, Text

router = APIRouter(tags=["search"])


@router.get("/complete", response_model=Completions, operation_id="complete")
async def complete(
    context: Served, text: Text, at: Annotated[int | None, Query(ge=0, description="Where the cursor is")] = None
) -> Response:
    """What the word before the cursor may become: fields, and values that photos have."""
    start, offers = await context.searches.run(context.completions.of, text, len(text) if at is None else at)
    return Json({"completions": offers, "start": start})
