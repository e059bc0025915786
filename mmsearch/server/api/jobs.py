"""Index runs."""

from __future__ import annotations

import os

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from mmsearch.media.remote_path import is_absolute, is_remote
from mmsearch.server.context import Context, Served, Writing
from mmsearch.server.errors import Json, Refused
from mmsearch.server.models import IndexRequest, RunStarted, RunStopped

router = APIRouter(prefix="/index", tags=["library"])


@router.post("", status_code=202, response_model=RunStarted, operation_id="index")
async def index(context: Writing, asked: IndexRequest) -> Response:
    """Bring the library up to date with folders, or with all that it knows, beside the searches."""
    await context.pictures.run(_check, context, asked.paths)
    return Json({"run": context.runs.start(asked.paths)}, 202)


def _check(context: Context, paths: list[str]) -> None:
    """Raises Refused for a path that this client may not name."""
    for path in paths:
        if not is_absolute(path) or "\0" in path:
            raise Refused(400, "bad-path", "a folder is named by its whole path", path=path)
        if not context.options.local and not any(_is_below(path, root) for root in context.library.store.roots()):
            raise Refused(403, "not-local", "from another machine only folders can be indexed that are known")


def _is_below(path: str, root: str) -> bool:
    if is_remote(path) or is_remote(root):
        return path == root or path.startswith(f"{root}/")
    return os.path.commonpath([root, os.path.realpath(path)]) == root


@router.get(
    "/events",
    operation_id="index_events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(context: Served) -> Response:
    """Server-sent events of index runs: ``progress``, ``done`` with the report, ``failed`` with code and detail."""
    return StreamingResponse(
        context.runs.events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@router.post("/stop", response_model=RunStopped, operation_id="stop_index")
async def stop(context: Writing) -> Response:
    """End the run that goes on; what is stored stays."""
    return Json({"stopping": context.runs.stop()})
