"""Files that show the same picture."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from starlette.responses import Response

from mmsearch.server.context import Context, Served
from mmsearch.server.errors import Json
from mmsearch.server.models import Duplicates
from mmsearch.server.photo_json import photo_json

router = APIRouter(tags=["photos"])

MOST = 2000  # groups, those that take most space


@router.get("/duplicates", response_model=Duplicates, operation_id="duplicates")
async def duplicates(context: Served, level: Literal["exact", "near", "burst"] = "near") -> Response:
    """Groups of files that show the same, those that take most space first."""
    return Json(await context.slow.run(_groups, context, level))


def _groups(context: Context, level: Literal["exact", "near", "burst"]) -> dict[str, Any]:
    if context.library.store.model() is None:
        return {"groups": [], "more": False}
    groups = context.library.duplicates(level)
    shown = [
        {
            "level": group.level,
            "photos": [photo_json(photo, context.options) for photo in (group.keep, *group.others)],
            "keep": group.keep.id,
            "bytes": group.bytes,
        }
        for group in groups[:MOST]
    ]
    return {"groups": shown, "more": len(groups) > MOST}
