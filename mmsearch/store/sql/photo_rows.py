"""Files as a search shows them: what is read of each, and what is made of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mmsearch.language.tag_names import folded
from mmsearch.store.sql import noted
from mmsearch.types import Exif, Photo

# Columns for ``photo_of``; with them go ``tags``, JSON of pairs of a score below zero and a tag, and
# ``own_tags``, JSON of tags that people gave; or NULL.
PHOTO = f"""
embeddings.id AS vector, photos.id AS id, photos.path, photos.size, photos.mtime_ns, width, height, format,
    {noted.TAKEN_AT} AS taken_at, camera, lens, {noted.LATITUDE} AS latitude, {noted.LONGITUDE} AS longitude,
    {noted.CITY} AS city, {noted.PEOPLE} AS people, {noted.RATING} AS rating, {noted.LABEL} AS label,
    {", ".join(noted.SHOT)}, {", ".join(noted.FILM)}, description, content_identifier,
    captions.text AS caption,
    sidecars.text AS sidecar, ocr.text AS ocr
""".strip()

# Whether an item is the first of its content that has a vector of the model of the row ``embeddings``: that of part 0,
# but where it was lost.
IS_FIRST = """(items.part = 0 OR NOT EXISTS (SELECT 1 FROM items AS earlier
    JOIN embeddings AS its ON its.item_id = earlier.id AND its.model_id = embeddings.model_id
    WHERE earlier.content_id = items.content_id AND earlier.part < items.part))"""


def photo_of(row: Any) -> Photo:
    """Of a row that gives ``PHOTO`` and tags by their names."""
    taken_at = row["taken_at"]
    own = tuple(sorted(json.loads(row["own_tags"]), key=folded)) if row["own_tags"] else ()
    said = [tag for _, tag in sorted(json.loads(row["tags"]))] if row["tags"] else []  # (score below zero, tag)
    known = {folded(tag) for tag in own}
    return Photo(
        id=row["id"],
        path=os.fsdecode(row["path"]),
        width=row["width"],
        height=row["height"],
        format=row["format"],
        size=row["size"],
        mtime_ns=row["mtime_ns"],
        exif=Exif(
            taken_at=datetime.fromisoformat(taken_at) if taken_at else None,
            camera=row["camera"],
            lens=row["lens"],
            latitude=row["latitude"],
            longitude=row["longitude"],
            **{name: row[name] for name in noted.SHOT},
            content_identifier=row["content_identifier"],
        ),
        caption=row["caption"],
        description="\n".join(part for part in (row["description"], row["sidecar"]) if part) or None,
        text=row["ocr"] or None,
        tags=(*own, *(tag for tag in said if not known or folded(tag) not in known)),
        annotations=noted.annotations_of(row["city"], row["people"], row["rating"], row["label"]),
        film=noted.film_of(row),
        own_tags=own,
    )


def of_shot(path: str, files: Mapping[str, Photo]) -> list[Photo]:
    """Those of the files, by path, that are beside ``path`` and may be of its shot; those called like it first.

    Each is in its folder, and is called like it but for the suffix or has a content identifier of the camera.
    """
    folder, stem = os.path.dirname(path), os.path.splitext(path)[0]
    there = [one for one in files.values() if one.path != path and os.path.dirname(one.path) == folder]
    named = [one for one in there if os.path.splitext(one.path)[0] == stem]
    identified = [one for one in there if one.exif.content_identifier is not None]
    return named + [one for one in identified if os.path.splitext(one.path)[0] != stem]
