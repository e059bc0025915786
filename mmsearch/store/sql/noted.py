"""What is noted of a photo in fields of their own: how it is stored, and what counts of what several tables say.

What files beside a photo say is of that photo alone, what its own file says is of the content, which copies share.  XMP
beside it goes before the file, and that before Google Takeout's JSON.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func

from mmsearch.media.said import different
from mmsearch.store.sql.tables import contents, sidecars
from mmsearch.types import Annotations, Exif, Film, Sidecar

TAKEN_AT = "coalesce(sidecars.taken_at, contents.taken_at, sidecars.later_taken_at)"
LATITUDE = "coalesce(sidecars.latitude, contents.latitude, sidecars.later_latitude)"
LONGITUDE = "coalesce(sidecars.longitude, contents.longitude, sidecars.later_longitude)"
CITY = "coalesce(sidecars.city, contents.city)"
PEOPLE = "coalesce(sidecars.people, '') || '\n' || coalesce(contents.people, '')"
RATING = "coalesce(sidecars.rating, contents.rating)"
LABEL = "coalesce(sidecars.label, contents.label)"
SHOT = ("iso", "aperture", "exposure", "focal")  # columns of contents alone
FILM = ("duration_ms", "fps", "codec", "audio")  # too
# The same for queries that are made of SQLAlchemy's parts; they join ``sidecars``, where there may be no row.
taken_at = func.coalesce(sidecars.c.taken_at, contents.c.taken_at, sidecars.c.later_taken_at)
latitude = func.coalesce(sidecars.c.latitude, contents.c.latitude, sidecars.c.later_latitude)


def exif_columns(exif: Exif, before: str = "") -> dict[str, Any]:
    """Date and place as they are stored, in columns whose names begin with ``before``."""
    return {
        f"{before}taken_at": exif.taken_at.isoformat() if exif.taken_at else None,
        f"{before}latitude": exif.latitude,
        f"{before}longitude": exif.longitude,
    }


def shot_columns(exif: Exif) -> dict[str, Any]:
    """With what a picture was taken, how it was exposed and which shot it is of, as it is stored."""
    return {name: getattr(exif, name) for name in ("camera", "lens", *SHOT, "content_identifier")}


def annotation_columns(annotations: Annotations) -> dict[str, Any]:
    """Town, people, stars and label as they are stored."""
    people = "\n".join(annotations.people) or None
    return {"city": annotations.city, "people": people, "rating": annotations.rating, "label": annotations.label}


def film_columns(film: Film | None) -> dict[str, Any]:
    """What is known of a film as it is stored; NULL for all else."""
    return {name: getattr(film, name) if film else None for name in FILM}


def film_of(row: Any) -> Film | None:
    """Of the stored columns, by their names; None where the content is no film."""
    if row["duration_ms"] is None:
        return None
    return Film(row["duration_ms"], row["fps"], row["codec"], bool(row["audio"]))


def sidecar_columns(sidecar: Sidecar) -> dict[str, Any]:
    """What the table of sidecars says of files beside a photo."""
    return {
        "text": sidecar.text,
        **exif_columns(sidecar.exif),
        **annotation_columns(sidecar.annotations),
        **exif_columns(sidecar.fallback, "later_"),
    }


def annotations_of(city: str | None, people: str | None, rating: int | None, label: str | None = None) -> Annotations:
    """Of stored values."""
    return Annotations(city, different(name for name in (people or "").split("\n") if name), rating, label)


def sidecar_of(row: Any) -> Sidecar:
    """The row of ``sidecars`` that ``sidecar_columns`` made, in columns whose names begin with "sidecar_"."""

    def exif(before: str) -> Exif:
        taken_at, *place = (getattr(row, f"sidecar_{before}{name}") for name in ("taken_at", "latitude", "longitude"))
        return Exif(datetime.fromisoformat(taken_at) if taken_at else None, None, None, *place)

    annotations = annotations_of(row.sidecar_city, row.sidecar_people, row.sidecar_rating, row.sidecar_label)
    return Sidecar(row.sidecar_text, exif(""), annotations, exif("later_"))
