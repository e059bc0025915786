"""What the photos of a query are: facets, months, places."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter
from fastapi import Query as Parameter
from starlette.responses import Response

from mmsearch.query.model import Query
from mmsearch.server.context import Context, Served
from mmsearch.server.errors import Json, Refused
from mmsearch.server.models import Facets, Places, Text, Timeline
from mmsearch.server.queries import read_query
from mmsearch.store.types import Overview

router = APIRouter(tags=["search"])

MOST_PLACES = 10_000

Words = Annotated[Text, Parameter(description="In the query language; empty for all photos")]
Least = Annotated[float | None, Parameter(ge=0, le=1)]


@router.get("/facets", response_model=Facets, operation_id="facets")
async def facets(
    context: Served, q: Words = "", where: Text = "", min_relevance: Least = None,
    most: Annotated[int, Parameter(ge=1, le=1000)] = 50,
) -> Response:  # fmt: skip
    """Values of the photos that a query finds, with counts and the conditions that leave these."""
    return Json(await context.searches.run(_facets, context, q, where, min_relevance, most))


@router.get("/timeline", response_model=Timeline, operation_id="timeline")
async def timeline(context: Served, q: Words = "", where: Text = "", min_relevance: Least = None) -> Response:
    """How many photos of a query are of each month."""
    overview = await context.searches.run(_overview, context, q, where, min_relevance)
    months = [] if overview is None else _months(overview)
    return Json({"months": months})


@router.get("/places", response_model=Places, operation_id="places")
async def places(context: Served, q: Words = "", where: Text = "", min_relevance: Least = None) -> Response:
    """Where the photos of a query were taken; those that do not say are left out."""
    if not context.options.show_places:
        raise Refused(403, "places-hidden", "places of photos are hidden here")
    overview = await context.searches.run(_overview, context, q, where, min_relevance)
    return Json({"places": [], "more": False} if overview is None else _places(overview))


def _query(context: Context, q: str, where: str) -> Query:
    return read_query(q, where, context.options.show_places)


def _facets(context: Context, q: str, where: str, min_relevance: float | None, most: int) -> dict[str, Any]:
    query = _query(context, q, where)
    if context.library.store.model() is None:
        return {"facets": [], "counted": 0, "complete": True, "notes": []}
    return context.library.facets(query, min_relevance=min_relevance, most=most).to_dict()


def _overview(context: Context, q: str, where: str, min_relevance: float | None) -> Overview | None:
    """None where nothing was indexed yet."""
    query = _query(context, q, where)
    if context.library.store.model() is None:
        return None
    return context.library.overview(query, min_relevance=min_relevance)


def _months(overview: Overview) -> list[dict[str, Any]]:
    months, counts = np.unique(overview.moments.astype("datetime64[us]").astype("datetime64[M]"), return_counts=True)
    return [{"month": str(month), "count": count} for month, count in zip(months, counts.tolist(), strict=True)]


def _places(overview: Overview) -> dict[str, Any]:
    known = np.flatnonzero(np.isfinite(overview.places[:, 0]))
    ids, places = overview.ids[known[:MOST_PLACES]].tolist(), overview.places[known[:MOST_PLACES]].tolist()
    shown = [
        {"id": number, "latitude": latitude, "longitude": longitude}
        for number, (latitude, longitude) in zip(ids, places, strict=True)
    ]
    return {"places": shown, "more": len(known) > MOST_PLACES}
