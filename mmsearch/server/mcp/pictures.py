"""Answers and pictures as agents get them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

from mcp_types import CallToolResult, ImageContent, TextContent
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel

from mmsearch.errors import ImageError
from mmsearch.library.library import Library
from mmsearch.media.thumbnail_cache import Thumbnail
from mmsearch.server.mcp.answers import Left, readable
from mmsearch.types import Photo

CELL, LABEL, GAP = 240, 22, 6  # pixels: of a picture on a sheet, of the line below it, between two
MOST = 30  # pictures on a sheet
QUALITY = 85  # of JPEG


def answered(told: BaseModel, *pictures: ImageContent) -> CallToolResult:
    """An answer as data, the same as text for models that read no data, and pictures behind it.

    What is not known, or is as it usually is, is left out: models read all of it.
    """
    text = TextContent(type="text", text=told.model_dump_json(exclude_defaults=True))
    data = told.model_dump(mode="json", exclude_defaults=True)
    return CallToolResult(content=[text, *pictures], structured_content=data)


def image_content(content: bytes, kind: str = "image/webp") -> ImageContent:
    """The bytes of a picture file as the protocol takes them."""
    return ImageContent(type="image", data=base64.b64encode(content).decode(), mime_type=kind)


def jpeg(picture: Image.Image) -> ImageContent:
    """A picture that was drawn here."""
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=QUALITY)
    return image_content(written.getvalue(), "image/jpeg")


def small_picture(library: Library, photo: Photo, side: int) -> Thumbnail:
    """A photo's thumbnail.  Raises ImageError also where there is a rough one only: an agent would take it for the
    photo."""
    made = library.thumbnail(photo, side)
    if made.rough:
        raise ImageError(photo.path, "the file is gone", retry=True, code="file-gone")
    return made


def shown_size(content: bytes) -> tuple[int, int]:
    """Width and height of a picture file."""
    with Image.open(io.BytesIO(content)) as picture:
        return picture.size


def sheet(library: Library, photos: Sequence[Photo]) -> tuple[Image.Image, int, list[Left]]:
    """Photos row by row with their ids below, how many columns there are, and what could not be shown."""
    columns = min(len(photos), max(1, math.ceil(math.sqrt(len(photos) * 4 / 3))))
    rows = -(-len(photos) // columns)
    across, down = CELL + GAP, CELL + LABEL + GAP
    drawn = Image.new("RGB", (columns * across + GAP, rows * down + GAP), "white")
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(size=LABEL - 6)
    failed = []
    for number, photo in enumerate(photos):
        left, top = GAP + number % columns * across, GAP + number // columns * down
        try:
            with Image.open(io.BytesIO(small_picture(library, photo, 320).content)) as picture:
                small = picture.convert("RGB")
            small.thumbnail((CELL, CELL))
            drawn.paste(small, (left + (CELL - small.width) // 2, top + (CELL - small.height) // 2))
        except ImageError as error:
            failed.append(Left(id=photo.id, reason=readable(error.reason)))
            pen.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline="grey")
            pen.line((left, top, left + CELL, top + CELL), "grey")
        pen.text((left + CELL / 2, top + CELL + LABEL / 2), str(photo.id), "black", font, anchor="mm")
    return drawn, columns, failed
