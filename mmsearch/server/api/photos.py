"""One photo, by its id: what is known of it, a thumbnail, its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from mmsearch.errors import ArgumentError
from mmsearch.media.part_picture import Place
from mmsearch.media.thumbnail_cache import Thumbnail
from mmsearch.server import files
from mmsearch.server.context import Context, Served
from mmsearch.server.errors import Json, Refused
from mmsearch.server.models import PhotoDetails
from mmsearch.server.photo_json import photo_json, version_of
from mmsearch.server.queries import unknown_photo
from mmsearch.types import Photo

router = APIRouter(prefix="/photos", tags=["photos"])

PhotoId = Annotated[int, Path(ge=1, lt=2**63)]
Size = Literal["160", "320", "640", "1280"]  # ``mmsearch.types.SIDES``


# Of a film or a document: which moment or page, from 0, and which frame, in milliseconds from its beginning.
Part = Annotated[int | None, Query(ge=0, lt=2**31)]
At = Annotated[int | None, Query(ge=0, lt=2**53)]


def place_of(context: Context, photo: Photo, part: int | None, at: int | None) -> Place | None:
    """The frame or page that is asked for.  Raises Refused where there is none."""
    try:
        return context.library.place(photo, part, at)
    except ArgumentError as error:
        raise Refused(404, "no-such-part", str(error), id=photo.id) from error


def known(context: Context, photo_id: int) -> Photo:
    """The photo of this id.  Raises Refused where there is none."""
    photo = context.library.photo(photo_id)
    if photo is None:
        raise unknown_photo(photo_id)
    return photo


@router.get("/{photo_id}", response_model=PhotoDetails, operation_id="photo")
async def photo(context: Served, photo_id: PhotoId) -> Response:
    """All that is known of a photo."""
    found, present = await context.pictures.run(_looked_for, context, photo_id)
    return Json({**photo_json(found, context.options), "present": present})


@router.get(
    "/{photo_id}/thumb",
    operation_id="thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def thumb(
    request: Request,
    context: Served,
    photo_id: PhotoId,
    size: Size = "320",
    v: Annotated[str, Query(max_length=64)] = "",
    part: Part = None,
    at: At = None,
) -> Response:
    """A small upright WebP; with the photo's ``version`` as ``v`` it may be kept for ever.

    Where the file is away and no thumbnail was kept it is a rough picture, drawn from what the library knows: the
    header X-Rough is 1 then, and the picture says so.

    Of a film ``at`` names the frame in milliseconds, or ``part`` the moment; of a document ``part`` is the page from 0.
    """
    found, made = await context.pictures.run(_thumb, context, photo_id, int(size), part, at)
    lasts = v == version_of(found) and not made.rough  # the drive may come back
    age = "max-age=31536000, immutable" if lasts else "max-age=60"
    headers = {"ETag": f'"{made.etag}"', "Cache-Control": f"private, {age}"}
    if made.rough:
        headers["X-Rough"] = "1"
    if files.is_fresh(request.headers, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(made.content, media_type="image/webp", headers=headers)


@router.get(
    "/{photo_id}/file",
    operation_id="photo_file",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
        206: {"description": "The part that Range asked for"},
    },
)
async def file(request: Request, context: Served, photo_id: PhotoId) -> Response:
    """The file itself, byte by byte as it is; ``Range`` asks for a part of it."""
    return await context.pictures.run(_file, context, photo_id, request.headers)


# What a request needs of threads is done in one go: each hop to a thread and back costs more than a look-up.


def _looked_for(context: Context, photo_id: int) -> tuple[Photo, bool]:
    found = known(context, photo_id)
    return found, os.path.isfile(found.path)


def _thumb(context: Context, photo_id: int, side: int, part: int | None, at: int | None) -> tuple[Photo, Thumbnail]:
    found = known(context, photo_id)
    place_of(context, found, part, at)
    return found, context.library.thumbnail(found, side, part=part, at_ms=at)


def _file(context: Context, photo_id: int, headers: Mapping[str, str]) -> Response:
    found = known(context, photo_id)
    files.check_place(found, context.options)
    return files.response(found, headers)
