"""A raw file and the picture that the camera made of the same shot are one hit, and so are both files of a live photo.

A raw file and a picture are of one shot where folder, name without suffix, camera and time are the same; never by the
name alone, which cameras give again and again.  A live photo is a picture and a clip of some seconds, of the same name
and made within seconds: the picture is the hit, and the clip belongs to it.  Where both hold the camera's content
identifier, that decides, whatever they are called: the same one in one folder is one shot, different ones are two.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mmsearch.query.model import Query, Words
from mmsearch.search.scored import Scored
from mmsearch.types import Photo

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

Row = tuple[Scored, Photo, tuple[str, ...]]  # a picture, a file of it, and files that it stands for

RAW = "raw"  # ``Photo.format`` of all raw files
CLIP_MS = 10_000  # a longer film is no clip of a live photo: Apple's last 3 s, those of others up to 5
APART = 5.0  # seconds between the times of a picture and its clip: one says when it began, or when it was written
QUARTER = 900.0  # seconds: clocks of time zones differ by these, and some clips know the time in UTC only


class Shots:
    """Leaves one row of each shot, in the order in which the rows come."""

    def __init__(self, store: Store, query: Query, within: Sequence[str]) -> None:
        self._store, self._within, self._conditions = store, within, query.conditions
        # Where a name was asked for exactly, the file that has it is shown.
        self._as_asked = any(isinstance(term, Words) and term.exact for term in query.terms)
        self._shown: set[str] = set()

    def once(self, rows: Sequence[Row]) -> Iterator[Row]:
        """The rows, without those of shots that were there before.

        Of a raw file and of the clip of a live photo its picture is shown, if that meets the conditions.
        """
        seconds = [photo.path for _, photo, _ in rows if is_second(photo)]
        beside = self._store.beside(seconds, self._within, self._conditions) if seconds else {}
        for scored, photo, others in rows:
            picture = _of_shot(photo, beside.get(photo.path, ())) if is_second(photo) else None
            if photo.path in self._shown or (picture is not None and picture.path in self._shown):
                continue
            self._shown.add(photo.path)
            if picture is not None:
                self._shown.add(picture.path)
            yield scored, photo if picture is None or self._as_asked else picture, others

    def with_others(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of a page, each with the other file of its shot."""
        beside = self._store.beside([photo.path for _, photo, _ in rows])
        found = []
        for scored, photo, others in rows:
            files = [one.path for one in _of_same(photo, beside.get(photo.path, ()))]
            found.append((scored, photo, tuple(dict.fromkeys([*others, *files]))))
        return found


def is_second(photo: Photo) -> bool:
    """Whether a file may belong to a picture that is shown in its place: a raw file, a short film."""
    return photo.format == RAW or _is_clip(photo)


def _is_clip(photo: Photo) -> bool:
    return photo.film is not None and not photo.is_sound and photo.film.duration_ms <= CLIP_MS


def _of_shot(second: Photo, beside: Iterable[Photo]) -> Photo | None:
    """The picture of a raw file's shot, or of a clip."""
    return next((one for one in beside if not is_second(one) and _same(second, one)), None)


def _of_same(photo: Photo, beside: Iterable[Photo]) -> list[Photo]:
    """The other files of its shot; where a picture and its clip are called alike, not those of copies of both."""
    same = [one for one in beside if _same(photo, one)]
    named = [one for one in same if _stem(one) == _stem(photo)]
    paired = any(one.film is not None or photo.film is not None for one in named)
    return named if paired else same


def _stem(photo: Photo) -> str:
    return os.path.splitext(photo.path)[0]


def _same(one: Photo, other: Photo) -> bool:
    """Whether of two photos one is the raw file of the other, or its clip."""
    identified = same_identifier(one.exif.content_identifier, other.exif.content_identifier)
    if identified is False:
        return False
    if one.film is not None or other.film is not None:
        clip, picture = (one, other) if one.film is not None else (other, one)
        if not _is_clip(clip) or picture.film is not None or picture.format == RAW:
            return False
        if identified:
            return os.path.dirname(one.path) == os.path.dirname(other.path)
        return _stem(one) == _stem(other) and within_seconds(
            clip.exif.taken_at, picture.exif.taken_at, clip.mtime_ns, picture.mtime_ns
        )
    if _stem(one) != _stem(other):
        return False
    if (one.format == RAW) == (other.format == RAW) or one.exif.taken_at is None or one.exif.camera is None:
        return False
    times = [photo.exif.taken_at and photo.exif.taken_at.replace(microsecond=0, tzinfo=None) for photo in (one, other)]
    return times[0] == times[1] and one.exif.camera == other.exif.camera


def same_identifier(one: str | None, other: str | None) -> bool | None:
    """Whether two files have the same content identifier; None where one of them has none."""
    return None if one is None or other is None else one == other


def within_seconds(clip: datetime | None, picture: datetime | None, clip_ns: int, picture_ns: int) -> bool:
    """Whether a clip and a picture were made within seconds, by their clocks; where one has none, by their files.

    The files' times are in nanoseconds.
    """
    if clip is None or picture is None:
        return abs(clip_ns - picture_ns) <= APART * 1e9
    if clip.tzinfo is not None and picture.tzinfo is not None:
        return abs((clip - picture).total_seconds()) <= APART
    apart = abs((clip.replace(tzinfo=None) - picture.replace(tzinfo=None)).total_seconds())
    in_utc = clip.tzinfo is not None and not clip.utcoffset() and apart <= 14 * 3600 + APART
    return min(apart % QUARTER, -apart % QUARTER) <= APART if in_utc else apart <= APART
