"""A photo looked at closely: where words are found in it, what it answers, what it shows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from mmsearch import schemas
from mmsearch.media.decode import seen
from mmsearch.rerank.inspect import Looker
from mmsearch.server.api.photos import At, Part, PhotoId, known, place_of
from mmsearch.server.context import Context, Served
from mmsearch.server.errors import Json
from mmsearch.server.models import Answers, Caption, Explanation
from mmsearch.types import Photo

router = APIRouter(prefix="/photos", tags=["photos"])

Words = Annotated[str, Query(min_length=1, max_length=500)]


@router.get("/{photo_id}/heat", response_model=Explanation, operation_id="heat")
async def heat(context: Served, photo_id: PhotoId, q: Words, part: Part = None, at: At = None) -> Response:
    """Where the words of a text are found in a photo, in a moment of a film, on a page."""
    return Json(await context.searches.run(_heat, context, photo_id, q, part, at))


@router.get("/{photo_id}/ask", response_model=Answers, operation_id="ask")
async def ask(
    context: Served,
    photo_id: PhotoId,
    q: Words,
    k: Annotated[int, Query(ge=1, le=20)] = 3,
    part: Part = None,
    at: At = None,
) -> Response:
    """What a photo, a moment of a film or a page answers to a question."""
    return Json(await context.searches.run(_ask, context, photo_id, q, k, part, at))


@router.get("/{photo_id}/caption", response_model=Caption, operation_id="caption")
async def caption(
    context: Served,
    photo_id: PhotoId,
    alternatives: Annotated[int, Query(ge=0, le=10)] = 0,
    part: Part = None,
    at: At = None,
) -> Response:
    """What a photo, a moment of a film or a page shows, in a sentence."""
    return Json(await context.searches.run(_caption, context, photo_id, alternatives, part, at))


def _looker(context: Context, photo: Photo, part: int | None, at: int | None) -> Looker:
    return context.library.looker().at(place_of(context, photo, part, at))


def _heat(context: Context, photo_id: int, text: str, part: int | None, at: int | None) -> dict[str, Any]:
    photo = known(context, photo_id)
    looker = _looker(context, photo, part, at)
    share = seen(photo.width, photo.height, looker.encoder.card.preprocess)
    return {**schemas.explanation(looker.explain(photo.path, text)), "part": [round(side, 4) for side in share]}


def _ask(context: Context, photo_id: int, question: str, k: int, part: int | None, at: int | None) -> dict[str, Any]:
    photo = known(context, photo_id)
    return schemas.answers(photo.path, question, _looker(context, photo, part, at).ask(photo.path, question, k))


def _caption(context: Context, photo_id: int, alternatives: int, part: int | None, at: int | None) -> dict[str, Any]:
    photo = known(context, photo_id)
    return schemas.caption(photo.path, _looker(context, photo, part, at).caption(photo.path, alternatives))
