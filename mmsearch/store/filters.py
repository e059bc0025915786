"""Conditions of a query as SQL over ``photos`` joined with ``contents``.

What nobody knows of a picture is NULL here: it meets no condition, and the opposite of every condition.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, select, true

from mmsearch.query import (
    AnyOf,
    Camera,
    Compare,
    Condition,
    Date,
    Fits,
    Format,
    HasPlace,
    HasText,
    Lens,
    Near,
    Shaped,
    Tagged,
    Within,
)
from mmsearch.store.tables import contents, ocr, photos, tags

EARTH = 6371.0  # km, the radius of the sphere that distances are measured on
SQUARE = 1.05  # longer side by shorter side up to which a picture counts as square

_OPERATORS = {"<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt}


def all_met(conditions: Sequence[Condition]) -> ColumnElement[bool]:
    """Whether a file (``photos`` joined with ``contents``) meets every condition."""
    return and_(true(), *(_met(condition) for condition in conditions))


def _met(condition: Condition) -> ColumnElement[bool]:
    fits = _fits(condition.fits)
    return not_(func.coalesce(fits, false())) if condition.exclude else fits


def _fits(fits: Fits) -> ColumnElement[bool]:
    if isinstance(fits, AnyOf):
        return or_(false(), *(_fits(one) for one in fits.fits))
    if isinstance(fits, Date):
        return _in_time(fits)
    if isinstance(fits, Within):
        return or_(*(at_or_below(photos.c.path, path) for path in spellings(fits.path)))
    if isinstance(fits, Camera):
        return contents.c.camera.icontains(fits.text, autoescape=True)
    if isinstance(fits, Lens):
        return contents.c.lens.icontains(fits.text, autoescape=True)
    if isinstance(fits, Near):
        return _near(fits)
    if isinstance(fits, Format):
        return contents.c.format == fits.name
    if isinstance(fits, Compare):
        return _compare(fits)
    if isinstance(fits, Shaped):
        return _shaped(fits)
    if isinstance(fits, HasText):
        return contents.c.id.in_(select(ocr.c.content_id).where(ocr.c.text != ""))
    if isinstance(fits, HasPlace):
        return contents.c.latitude.is_not(None) & contents.c.longitude.is_not(None)
    if isinstance(fits, Tagged):
        return contents.c.id.in_(select(tags.c.content_id).where(func.lower(tags.c.tag) == fits.name.lower()))
    raise TypeError(f"{fits!r} is no condition")


def _in_time(date: Date) -> ColumnElement[bool]:
    taken, written = contents.c.taken_at, photos.c.mtime_ns
    # ISO 8601 strings sort by the clock as it is written: a fraction or a time zone only follows the seconds.
    by_camera = [taken.is_not(None)]
    by_file = [taken.is_(None)]
    if date.start is not None:
        by_camera.append(taken >= date.start.isoformat())
        by_file.append(written >= _nanoseconds(date.start))
    if date.end is not None:
        by_camera.append(taken < date.end.isoformat())
        by_file.append(written < _nanoseconds(date.end))
    return and_(*by_camera) if date.camera_only else or_(and_(*by_camera), and_(*by_file))


def _nanoseconds(local: datetime) -> int:
    return round(local.timestamp() * 1_000_000) * 1000


def _near(place: Near) -> ColumnElement[bool]:
    latitude, longitude = contents.c.latitude, contents.c.longitude
    north, east = func.radians(latitude - place.latitude), func.radians(longitude - place.longitude)
    half = func.pow(func.sin(north / 2), 2) + math.cos(math.radians(place.latitude)) * func.cos(
        func.radians(latitude)
    ) * func.pow(func.sin(east / 2), 2)
    return half <= math.sin(min(place.kilometres / EARTH / 2, math.pi / 2)) ** 2


def _compare(compare: Compare) -> ColumnElement[bool]:
    numbers: dict[str, ColumnElement[float]] = {
        "width": contents.c.width,
        "height": contents.c.height,
        "megapixels": contents.c.width * contents.c.height / 1e6,
        "bytes": photos.c.size,
    }
    met: ColumnElement[bool] = _OPERATORS[compare.operator](numbers[compare.fact], compare.value)
    return met


def _shaped(shaped: Shaped) -> ColumnElement[bool]:
    width, height = contents.c.width, contents.c.height
    if shaped.shape == "portrait":
        return height > SQUARE * width
    if shaped.shape == "landscape":
        return width > SQUARE * height
    return and_(height <= SQUARE * width, width <= SQUARE * height)


def at_or_below(column: ColumnElement[bytes], path: str) -> ColumnElement[bool]:
    """Whether a stored path is ``path`` or inside it; a range, so that the index on paths serves it."""
    inside = os.fsencode(path.rstrip(os.sep) + os.sep)
    after = inside[:-1] + bytes([inside[-1] + 1])
    return or_(column == os.fsencode(path), and_(column >= inside, column < after))


def spellings(path: str) -> list[str]:
    """How the store may write a path: its root has links followed, what the walk found below is as it found it.

    The fewer links are followed, the earlier.
    """
    written = Path(os.path.abspath(os.path.expanduser(path)))
    ways = [os.path.join(os.path.realpath(parent), written.relative_to(parent)) for parent in reversed(written.parents)]
    return list(dict.fromkeys([*ways, os.path.realpath(written)]))
