"""A library in figures: what kinds of pictures, from when, how large, by which cameras, with which words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Join, Select, false, func, not_, or_, select

from mmsearch.store.paths import at_or_below
from mmsearch.store.sql import noted
from mmsearch.store.sql.sounds import IS_SOUND
from mmsearch.store.sql.tables import captions, contents, contents_with, items, ocr, own_tags, photos, sidecars, tags
from mmsearch.store.types import Losses, Summary

_FOUND = photos.c.state == "ok"
_FILES = photos.join(contents, contents.c.id == photos.c.content_id)
_NOTED = _FILES.outerjoin(sidecars, sidecars.c.photo_id == photos.c.id)


def summary(connection: Connection, written: ColumnElement[str]) -> Summary:
    """Counted by the database; what is read is a row per kind, not per photo.

    A million photos take SQLite 4.5 s of CPU.

    ``written`` is the year in which a file was last written, in local time, as ``Photo.date`` has it.
    """

    def each(kind: ColumnElement[Any], *conditions: ColumnElement[bool], files: Join = _FILES) -> Counter[Any]:
        """What kinds there are, and how many files of each."""
        counted = select(kind, func.count()).select_from(files).where(_FOUND, *conditions).group_by(kind)
        return Counter(dict(tuple(row) for row in connection.execute(counted)))

    def having(condition: ColumnElement[bool]) -> int:
        counted = select(func.count()).select_from(photos).where(_FOUND, condition)
        return int(connection.execute(counted).scalar_one())

    totals = select(func.count(), func.count(photos.c.content_id.distinct()), func.coalesce(func.sum(photos.c.size), 0))
    files, distinct, size = connection.execute(totals.where(_FOUND)).one()
    formats, cameras = each(contents.c.format), each(contents.c.camera)
    taken = each(func.substr(noted.taken_at, 1, 4), files=_NOTED)  # ISO 8601 begins with the year
    undated = taken.pop(None, 0)
    years = taken + (each(written, noted.taken_at.is_(None), files=_NOTED) if undated else Counter())
    failed = select(photos.c.reason, func.count()).where(photos.c.state == "failed").group_by(photos.c.reason)
    reasons = Counter(dict(tuple(row) for row in connection.execute(failed)))
    described = select(contents.c.id).where(contents.c.description != "")
    beside = select(sidecars.c.photo_id).where(sidecars.c.text != "")
    return Summary(
        formats=dict(_most(formats)),
        years={int(year): number for year, number in sorted(years.items()) if year is not None},
        dated=files - undated,
        cameras=dict(_most(Counter({name: number for name, number in cameras.items() if name}))[:5]),
        bytes=int(size),  # PostgreSQL adds up to a Decimal
        megapixels=_median(each(contents.c.width * contents.c.height, contents.c.width > 0)),
        located=each(noted.latitude.is_not(None), files=_NOTED)[1],
        described=having(or_(photos.c.content_id.in_(described), photos.c.id.in_(beside))),
        captions=having(photos.c.content_id.in_(contents_with(captions))),
        texts=having(photos.c.content_id.in_(contents_with(ocr).where(ocr.c.text != ""))),
        tagged=having(or_(photos.c.content_id.in_(contents_with(tags)), photos.c.id.in_(select(own_tags.c.photo_id)))),
        copies=files - distinct,
        reasons=dict(_most(reasons)),
        **_of_several(connection),
    )


def _of_several(connection: Connection) -> dict[str, Any]:
    """Films and documents, and what they consist of; copies count one by one, as files do."""
    timed = contents.c.duration_ms.is_not(None)
    is_film = timed & (contents.c.width > 0)
    films = select(func.count(), func.coalesce(func.sum(contents.c.duration_ms), 0)).select_from(_FILES)
    number, milliseconds = connection.execute(films.where(_FOUND, is_film)).one()
    parts = select(func.count()).select_from(_FILES.join(items, items.c.content_id == contents.c.id)).where(_FOUND)
    several = contents.c.id.in_(select(items.c.content_id).where(items.c.part > 0))
    documents = select(func.count()).select_from(_FILES).where(_FOUND, several, not_(timed))
    sounds = select(func.count(), func.coalesce(func.sum(contents.c.duration_ms), 0)).select_from(_FILES)
    heard, sound_ms = connection.execute(sounds.where(_FOUND, IS_SOUND)).one()
    return {
        "films": number,
        "hours": int(milliseconds) / 3_600_000,  # as above
        "moments": connection.execute(parts.where(is_film)).scalar_one(),
        "documents": connection.execute(documents).scalar_one(),
        "pages": connection.execute(parts.where(several, not_(timed))).scalar_one(),
        "sounds": heard,
        "sound_hours": int(sound_ms) / 3_600_000,
    }


def losses(connection: Connection, paths: Sequence[str]) -> Losses:
    """What would be lost with the files at or below these paths."""
    inside = or_(false(), *(at_or_below(photos.c.path, path) for path in paths))
    held = select(photos.c.content_id).where(photos.c.content_id.is_not(None))
    gone = held.where(inside).except_(held.where(not_(inside)))

    def lost(having: Select[tuple[int]]) -> int:
        both = having.where(items.c.content_id.in_(gone)).distinct().subquery()
        return int(connection.execute(select(func.count()).select_from(both)).scalar_one())

    files = select(func.count()).select_from(photos).where(inside)
    return Losses(
        photos=int(connection.execute(files).scalar_one()),
        texts=lost(contents_with(ocr).where(ocr.c.text != "")),
        captions=lost(contents_with(captions)),
        tagged=int(connection.execute(files.where(photos.c.id.in_(select(own_tags.c.photo_id)))).scalar_one()),
    )


def _most(counted: Counter[str]) -> list[tuple[str, int]]:
    """The most first; what there is as much of, by name."""
    return sorted(counted.items(), key=lambda one: (-one[1], one[0]))


def _median(pixels: Counter[int]) -> float | None:
    """Megapixels in the middle of all files, the lower one of two."""
    middle = (pixels.total() + 1) // 2
    for number in sorted(pixels):
        middle -= pixels[number]
        if middle <= 0:
            return round(number / 1e6, 2)
    return None
