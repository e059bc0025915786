"""A raw file and the picture that the camera made of the same shot are one hit.

They are of one shot where folder, name without suffix, camera and time are the same; never by the name alone, which
cameras give again and again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mmsearch.query.model import Query, Words
from mmsearch.search.scored import Scored
from mmsearch.types import Photo

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

Row = tuple[Scored, Photo, tuple[str, ...]]  # a picture, a file of it, and files that it stands for

RAW = "raw"  # ``Photo.format`` of all raw files


class Shots:
    """Leaves one row of each shot, in the order in which the rows come."""

    def __init__(self, store: Store, query: Query, within: Sequence[str]) -> None:
        self._store, self._within, self._conditions = store, within, query.conditions
        # Where a name was asked for exactly, the file that has it is shown.
        self._as_asked = any(isinstance(term, Words) and term.exact for term in query.terms)
        self._shown: set[str] = set()

    def once(self, rows: Sequence[Row]) -> Iterator[Row]:
        """The rows, without those of shots that were there before; of a raw file its picture is shown, if it fits."""
        raws = [photo.path for _, photo, _ in rows if photo.format == RAW]
        beside = self._store.beside(raws, self._within, self._conditions) if raws else {}
        for scored, photo, others in rows:
            picture = _of_shot(photo, beside.get(photo.path, ())) if photo.format == RAW else None
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
            files = [one.path for one in beside.get(photo.path, ()) if _same(photo, one)]
            found.append((scored, photo, tuple(dict.fromkeys([*others, *files]))))
        return found


def _of_shot(raw: Photo, beside: Iterable[Photo]) -> Photo | None:
    """The picture of a raw file's shot."""
    return next((one for one in beside if _same(raw, one)), None)


def _same(one: Photo, other: Photo) -> bool:
    """Whether of two photos one is the raw file of the other."""
    if (one.format == RAW) == (other.format == RAW) or one.exif.taken_at is None or one.exif.camera is None:
        return False
    times = [photo.exif.taken_at and photo.exif.taken_at.replace(microsecond=0, tzinfo=None) for photo in (one, other)]
    same_name = os.path.splitext(one.path)[0] == os.path.splitext(other.path)[0]
    return same_name and times[0] == times[1] and one.exif.camera == other.exif.camera
