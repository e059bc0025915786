"""What the library holds, and what this server does."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

import mmsearch
from mmsearch import schemas
from mmsearch.manage.map.make import last_file
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
    model = context.library.store.model()
    mapped = model is not None and last_file(context.library.store, model) is not None
    each = {"places": options.show_places, "export-folder": options.local, "map": mapped}
    return [name for name, there in each.items() if there]
