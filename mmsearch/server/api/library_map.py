"""The map of the library: where photos lie, what is there, and runs that make it."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from mmsearch.errors import MapError
from mmsearch.manage.map import points
from mmsearch.server.context import Context, Served, Writing
from mmsearch.server.errors import Json, Refused
from mmsearch.server.map_models import MapPhotos, MapPoints, MapRequest, PhotoMap
from mmsearch.server.models import RunStarted, RunStopped
from mmsearch.server.photo_json import photo_json
from mmsearch.store.kept_map import KeptMap

router = APIRouter(prefix="/map", tags=["map"])


@router.get("", response_model=PhotoMap, operation_id="map")
async def last(context: Served) -> Response:
    """The last map: places of all pictures and the clusters; 404 ``no-map`` where none was made yet."""
    return Json(await context.slow.run(_drawn, context))


@router.post("", status_code=202, response_model=RunStarted, operation_id="make_map")
async def make(context: Writing, asked: MapRequest) -> Response:
    """Make the map beside the searches, or carry on the last one; ``/map/events`` tells how far it is."""
    if asked.clusters == "hdbscan" and importlib.util.find_spec("sklearn") is None:
        raise MapError("clusters by density need scikit-learn: pip install 'mmsearch[map]'", code="no-hdbscan")
    return Json({"run": context.maps.start(asked.fresh, asked.clusters)}, 202)


@router.get(
    "/events",
    operation_id="map_events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(context: Served) -> Response:
    """Server-sent events of map runs: ``progress``, ``done`` with the report, ``failed`` with code and detail."""
    return StreamingResponse(
        context.maps.events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@router.post("/stop", response_model=RunStopped, operation_id="stop_map")
async def stop(context: Writing) -> Response:
    """End the run that goes on; the last map stays."""
    return Json({"stopping": context.maps.stop()})


@router.post("/photos", response_model=MapPhotos, operation_id="map_photos")
async def photos(context: Served, asked: MapPoints) -> Response:
    """The photos at points of the map, at most 1,000; of copies one."""
    return Json(await context.searches.run(_photos, context, asked))


def _last(context: Context) -> KeptMap:
    """The last map.  Raises MapError where there is none."""
    kept = context.library.last_map()
    if kept is None:
        raise MapError("no map of this library has been made yet", code="no-map")
    return kept


def _drawn(context: Context) -> dict[str, Any]:
    kept = _last(context)
    return {**points.drawn(kept), "current": kept.generation == context.library.store.generation()}


def _photos(context: Context, asked: MapPoints) -> dict[str, Any]:
    kept = _last(context)
    if kept.generation != asked.generation:
        raise Refused(410, "stale-map", "there is another map by now; ask for it again", generation=kept.generation)
    if max(asked.points) >= len(kept.ids):
        raise Refused(422, "no-such-point", f"the map has {len(kept.ids)} points", points=len(kept.ids))
    ids = kept.ids[points.order(kept)[np.array(asked.points, np.int64)]].tolist()
    found = context.library.store.photos(ids)
    shown = [photo_json(found[one][0], context.options) if found.get(one) else None for one in ids]
    return {"photos": shown}
