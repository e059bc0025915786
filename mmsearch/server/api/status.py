"""What the library holds, and what this server does."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

import mmsearch
from mmsearch import schemas
from mmsearch.server.context import Context, Served
from mmsearch.server.errors import Json
from mmsearch.server.models import Status

router = APIRouter(tags=["library"])


@router.get("/status", response_model=Status, operation_id="status")
async def status(context: Served) -> Response:
    """What the library holds, and what this server does."""
    return Json(await context.searches.run(_status, context))


def _status(context: Context) -> dict[str, Any]:
    options = context.options
    return {
        **schemas.status(context.library.status()),
        "version": mmsearch.__version__,
        "read_only": options.read_only,
        "features": _features(context),
        "indexing": context.runs.state(),
    }


def _features(context: Context) -> list[str]:
    options = context.options
    return (["places"] if options.show_places else []) + (["export-folder"] if options.local else [])
