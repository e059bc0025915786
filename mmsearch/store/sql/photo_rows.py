"""Files as a search shows them: what is read of each, and what is made of it."""

from __future__ import annotations

import json
import os
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
    {", ".join(noted.SHOT)}, {", ".join(noted.FILM)}, description, captions.text AS caption,
    sidecars.text AS sidecar, ocr.text AS ocr
""".strip()


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
        ),
        caption=row["caption"],
        description="\n".join(part for part in (row["description"], row["sidecar"]) if part) or None,
        text=row["ocr"] or None,
        tags=(*own, *(tag for tag in said if not known or folded(tag) not in known)),
        annotations=noted.annotations_of(row["city"], row["people"], row["rating"], row["label"]),
        film=noted.film_of(row),
        own_tags=own,
    )
