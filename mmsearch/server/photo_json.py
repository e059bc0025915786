"""Photos and hits as a client sees them."""

from __future__ import annotations

from typing import Any

from mmsearch.server.options import ServerOptions
from mmsearch.types import Hit, Photo


def version_of(photo: Photo) -> str:
    """Changes when the file does."""
    return f"{photo.mtime_ns:x}-{photo.size:x}"


def photo_json(photo: Photo, options: ServerOptions) -> dict[str, Any]:
    """A photo with its id; without its place where places are hidden."""
    return _public(photo, photo.to_dict(), options)


def hit_json(hit: Hit, options: ServerOptions) -> dict[str, Any]:
    """A hit with the id of its photo; without its place where places are hidden."""
    return _public(hit.photo, hit.to_dict(), options)


def _public(photo: Photo, told: dict[str, Any], options: ServerOptions) -> dict[str, Any]:
    told["id"], told["version"] = photo.id, version_of(photo)
    if not options.show_places:
        told["latitude"] = told["longitude"] = None
    return told
