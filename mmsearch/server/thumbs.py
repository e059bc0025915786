"""Thumbnails as they are sent."""

from __future__ import annotations

import io

from mmsearch.errors import ImageError
from mmsearch.library.library import Library
from mmsearch.media.thumbnails import thumbnail
from mmsearch.types import Photo


def webp(library: Library, photo: Photo, size: int) -> bytes:
    """A photo upright as WebP, its longer side at most ``size`` pixels.  Raises ImageError where it cannot be made."""
    picture = thumbnail(photo, size, library.settings.max_megapixels)
    if isinstance(picture, str):
        raise ImageError(photo.path, picture)
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=80, method=2)
    return content.getvalue()
