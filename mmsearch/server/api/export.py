"""Photos taken away: as a zip, or into a folder of this machine."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from mmsearch.server.context import Context, Served
from mmsearch.server.errors import Json, Refused
from mmsearch.server.export import chosen, copied, zipped
from mmsearch.server.models import Copied, ExportRequest

router = APIRouter(tags=["photos"])


@router.post(
    "/export",
    response_model=Copied,
    operation_id="export",
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def export(context: Served, asked: ExportRequest) -> Response:
    """The files of photos as a zip; or copied to a folder of this machine, where files are never replaced."""
    if asked.kind == "folder":
        folder = _folder(context, asked.folder)
        photos = await context.searches.run(chosen, context.library, asked.ids, context.options)
        return Json(await context.slow.run(copied, photos, folder))
    photos = await context.searches.run(chosen, context.library, asked.ids, context.options)
    headers = {"Content-Disposition": 'attachment; filename="photos.zip"'}
    return StreamingResponse(zipped(photos), media_type="application/zip", headers=headers)


def _folder(context: Context, given: str | None) -> Path:
    """The folder to copy to.  Raises Refused where this client may not write, or not there."""
    if context.options.read_only:
        raise Refused(403, "read-only", "this server changes nothing")
    if not context.options.local:
        raise Refused(403, "not-local", "photos are copied to folders only for whoever sits at this machine")
    path = os.path.expanduser(given or "")
    if not os.path.isabs(path) or "\0" in path or ".." in Path(path).parts:
        raise Refused(400, "bad-path", "a folder is named by its whole path, without ..", folder=given)
    real = Path(os.path.realpath(path))
    own = Path(os.path.realpath(context.library.folder))
    if real == own or own in real.parents:
        raise Refused(400, "bad-path", "nothing is copied into the library's own folder", folder=given)
    return real
