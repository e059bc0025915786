"""Figures of the server for Prometheus, where it was started with them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from mmsearch.server.context import Served
from mmsearch.server.errors import Refused

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(context: Served) -> Response:
    """What was counted since the server began; who may ask is who may ask anything."""
    if context.metrics is None:
        raise Refused(404, "no-metrics", "this server was started without figures for Prometheus")
    from mmsearch.server.metrics import CONTENT_TYPE

    return Response(context.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
