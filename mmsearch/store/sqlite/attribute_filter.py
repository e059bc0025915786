"""Which files meet the conditions of a query.

Each attribute is read from SQLite as a column and kept while the database stays as it is; conditions are compared in
NumPy.  For a million files a column takes a tenth of a second to read and some thousandths to compare, where SQL that
joins the tables takes half a second and more each time (``python -m benchmarks.filtering``).
"""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from mmsearch.language.letters import plain
from mmsearch.language.tag_names import folded
from mmsearch.media.remote_path import real
from mmsearch.query.model import (
    Album,
    AnyOf,
    Between,
    Camera,
    City,
    Clustered,
    Codec,
    Compare,
    Condition,
    Date,
    EveryYear,
    Fits,
    Format,
    HasPlace,
    HasText,
    Label,
    Lens,
    Near,
    OfKind,
    OneFits,
    Person,
    Shaped,
    Tagged,
    Within,
)
from mmsearch.store.local_clock import nanoseconds
from mmsearch.store.moment_conditions import is_of_moments
from mmsearch.store.paths import by_links, inside, spellings
from mmsearch.store.sql.noted import SHOT
from mmsearch.store.sqlite.attribute_columns import UNKNOWN, Kept, Mask, positions_of
from mmsearch.store.sqlite.facet_columns import FacetColumns
from mmsearch.store.sqlite.film_columns import FilmColumns, overlapping
from mmsearch.store.sqlite.map_column import MapColumn
from mmsearch.store.sqlite.overview_columns import OverviewColumns
from mmsearch.store.types import FacetCounts, Overview
from mmsearch.types import Ids

EARTH = 6371.0  # km, the radius of the sphere that distances are measured on
SQUARE = 1.05  # longer side by shorter side up to which a picture counts as a square
KEPT = 8  # masks of the last filters: a search asks for the same one twice, and people change the words, not the filter

_OPERATORS: dict[str, Callable[[Any, float], Mask]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_EPOCH = datetime(1970, 1, 1)
_YEARS = range(1799, 2200)  # of photos: the reading of files takes no others (``media/dates.py``)
_MICROSECOND = datetime.resolution


class AttributeFilter:
    """What is known of the files that can be found.  Safe from several threads, which wait for each other.

    It has a connection of its own, on which nothing is written: so SQLite tells it when anything else has changed the
    file (``PRAGMA data_version``), and all columns are of one state of the database.  Of those most stay as they are
    when only tags, captions or the like were written: as long as the generation is the same.
    """

    def __init__(self, engine: Engine, maps: Path | None = None) -> None:
        """``maps`` is the folder of the last map, which tells clusters."""
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._kept = Kept(maps)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def vectors(self, model: int, within: Sequence[str], conditions: Sequence[Condition]) -> Ids:
        """Ids of the vectors of this model that have a file in or below one of these paths that meets all conditions.

        Ascending.  Without paths it may be anywhere.
        """
        with self._lock, self._reading() as read:
            contents, numbers = read.all_vectors(model)
            allowed = read.contents_of_files()[read.meeting(within, conditions)]
            moments = [condition for condition in conditions if is_of_moments(condition)]
            elsewhere = read.elsewhere(model, moments) if moments else None
        chosen = np.zeros(max(int(contents.max(initial=-1)), int(allowed.max(initial=-1))) + 1, np.bool_)
        chosen[allowed] = True
        meeting = numbers[chosen[contents]]
        found = np.zeros(int(meeting.max(initial=-1)) + 1, np.bool_)  # quicker than sorting
        found[meeting] = True
        if elsewhere is not None:
            found[elsewhere[elsewhere < len(found)]] = False
        return np.flatnonzero(found).astype(np.int64, copy=False)

    def meeting(self, photos: Ids, within: Sequence[str], conditions: Sequence[Condition]) -> Mask:
        """Which of these photos, by their ids, lie there and meet all conditions; unknown ones do not."""
        with self._lock, self._reading() as read:
            known, mask = read.photos, read.meeting(within, conditions)
        positions, existing = positions_of(photos, known)
        existing[existing] = mask[positions[existing]]
        return existing

    def numbers(self, model: int, photos: Ids) -> Ids | None:
        """Ids of the vectors of these photos, -1 where there is none; None where that would have to be read first."""
        with self._lock, self._reading() as read:
            if not read.keeps_vectors(model):
                return None
            known, numbers = read.photos, read.vectors(model)
        positions, existing = positions_of(photos, known)
        found = np.full(len(photos), -1, np.int64)
        found[existing] = numbers[positions[existing]]
        return found

    def facets(
        self, model: int, photos: Ids | None, within: Sequence[str], conditions: Sequence[Condition], most: int
    ) -> FacetCounts:
        """What the files are that have a vector of this model and meet all conditions, all of them or these photos."""
        with self._lock, self._reading() as read:
            mask = self._chosen(read, model, photos, within, conditions)
            return FacetCounts(int(mask.sum()), read.facets(mask, most))

    def overview(
        self, model: int, photos: Ids | None, within: Sequence[str], conditions: Sequence[Condition]
    ) -> Overview:
        """When and where the files were taken that ``facets`` counts."""
        with self._lock, self._reading() as read:
            return read.overview(self._chosen(read, model, photos, within, conditions))

    @staticmethod
    def _chosen(
        read: _Reading, model: int, photos: Ids | None, within: Sequence[str], conditions: Sequence[Condition]
    ) -> Mask:
        mask: Mask = read.meeting(within, conditions) & (read.vectors(model) >= 0)
        return mask if photos is None else mask & np.isin(read.photos, photos)

    def _reading(self) -> _Reading:
        if self._connection is None:
            self._connection = self._engine.connect()
        return _Reading(self._kept, self._connection)


class _Reading(FacetColumns, OverviewColumns, FilmColumns, MapColumn):
    """Which files meet conditions, in one state of the database."""

    def meeting(self, within: Sequence[str], conditions: Sequence[Condition]) -> Mask:
        key, masks = (tuple(within), tuple(conditions), self.map_state(conditions)), self._kept.masks
        mask = masks.pop(key, None)
        if mask is None:
            mask = np.ones(len(self.photos), np.bool_)
            if within:
                mask &= self._at_any(within)
            for condition in conditions:
                if condition.exclude and is_of_moments(condition):
                    continue  # a film has other moments
                fitting = self._fitting(condition.fits)
                mask &= ~fitting if condition.exclude else fitting
        masks[key] = mask
        while len(masks) > KEPT:
            masks.pop(next(iter(masks)))
        return mask

    def _fitting(self, fits: Fits) -> Mask:
        if isinstance(fits, AnyOf):
            nothing = np.zeros(len(self.photos), np.bool_)
            any_fits: Mask = np.logical_or.reduce([nothing, *(self._one_fits(one) for one in fits.fits)])
            return any_fits
        return self._one_fits(fits)

    def _one_fits(self, fits: OneFits) -> Mask:
        if isinstance(fits, Date):
            return self._in_time(fits)
        if isinstance(fits, EveryYear):
            return self._every_year(fits)
        if isinstance(fits, Camera):
            return self._named("camera", lambda name: fits.text.casefold() in name.casefold())
        if isinstance(fits, Lens):
            return self._named("lens", lambda name: fits.text.casefold() in name.casefold())
        if isinstance(fits, City):
            return self._noted("city", lambda name: plain(fits.text) in plain(name), replaces=True)
        if isinstance(fits, Person):
            wanted_name = plain(fits.text)
            return self._noted("people", lambda names: wanted_name in plain(names), replaces=False)
        if isinstance(fits, Label):
            return self._noted("label", lambda name: plain(fits.text) in plain(name), replaces=True)
        if isinstance(fits, Album):
            return self._in_album(fits)
        if isinstance(fits, Clustered):
            return self.clustered(fits)
        if isinstance(fits, Within):
            return self._at_any(spellings(fits.path))
        if isinstance(fits, Near):
            return self._near(fits)
        if isinstance(fits, Format):
            wanted = {fits.name, "mpo"} if fits.name == "jpeg" else {fits.name}
            return self._named("format", wanted.__contains__)
        if isinstance(fits, OfKind):
            return self._of_kind(fits)
        if isinstance(fits, Codec):
            return self._named("codec", lambda name: fits.text.casefold() in name.casefold())
        if isinstance(fits, (Compare, Between)) and fits.fact == "at":
            items, starts, ends = self.moments()
            return self._having(items[overlapping(fits, starts, ends)])
        if isinstance(fits, Compare):
            return _OPERATORS[fits.operator](self._number(fits.fact), fits.value)
        if isinstance(fits, Between):
            number = self._number(fits.fact)
            between: Mask = (number >= fits.least) & (number <= fits.most)
            return between
        if isinstance(fits, Shaped):
            return self._shaped(fits)
        if isinstance(fits, HasText):
            return self._cached("text", lambda: self._having(self._read("item_id", "ocr WHERE text != ''", np.int64)))
        if isinstance(fits, HasPlace):
            there: Mask = ~(np.isnan(self.degrees("latitude")) | np.isnan(self.degrees("longitude")))
            return there
        return self._tagged(fits)

    def _in_time(self, date: Date) -> Mask:
        taken = self.taken()
        by_camera: Mask = taken != UNKNOWN
        by_file = ~by_camera
        if date.start is not None:
            by_camera &= taken >= (date.start - _EPOCH) // _MICROSECOND
        if date.end is not None:
            by_camera &= taken < (date.end - _EPOCH) // _MICROSECOND
        if date.camera_only or not by_file.any():
            return by_camera
        written = self._of_file("mtime_ns", np.int64)
        if date.start is not None:
            by_file &= written >= nanoseconds(date.start)
        if date.end is not None:
            by_file &= written < nanoseconds(date.end)
        return by_camera | by_file

    def _every_year(self, every: EveryYear) -> Mask:
        """In one of the spans, whose ends ascend: after an odd number of them."""
        ends = [moment for year in _YEARS if (span := every.span(year)) for moment in span]

        def inside(values: Ids, bounds: list[int]) -> Mask:
            found: Mask = np.searchsorted(np.array(bounds, np.int64), values, side="right") % 2 == 1
            return found

        taken = self.taken()
        by_camera: Mask = taken != UNKNOWN
        mask = by_camera & inside(taken, [(moment - _EPOCH) // _MICROSECOND for moment in ends])
        if every.camera_only or by_camera.all():
            return mask
        written = self._of_file("mtime_ns", np.int64)
        return mask | (~by_camera & inside(written, [nanoseconds(moment) for moment in ends]))

    def _in_album(self, album: Album) -> Mask:
        """By the names of a folder and of those around it, up to the outermost that was indexed."""
        wanted = plain(album.text)
        roots = [os.fsdecode(path) for path in self._connection.exec_driver_sql("SELECT path FROM roots").scalars()]

        def fits(folder: str) -> bool:
            around = [root for root in roots if folder == root or folder.startswith(root.rstrip(os.sep) + os.sep)]
            above = os.path.dirname(min(around, key=len)) if around else os.path.dirname(folder)
            return any(wanted in plain(name) for name in folder[len(above) :].split(os.sep))

        return self._in_folders(fits)

    def _near(self, place: Near) -> Mask:
        """By the haversine formula (Sinnott 1984), for those at about the right latitude."""
        latitude, longitude = self.degrees("latitude"), self.degrees("longitude")
        degrees = math.degrees(place.kilometres / EARTH) + 1e-6
        mask: Mask = np.abs(latitude - place.latitude) <= degrees  # False for NaN
        rows = np.flatnonzero(mask)
        north = np.radians(latitude[rows])
        half = (
            np.sin((north - math.radians(place.latitude)) / 2) ** 2
            + math.cos(math.radians(place.latitude))
            * np.cos(north)
            * np.sin(np.radians(longitude[rows] - place.longitude) / 2) ** 2
        )
        distance = 2 * EARTH * np.arcsin(np.sqrt(np.minimum(half, 1.0)))
        mask[rows] = distance <= place.kilometres
        return mask

    def _number(self, attribute: str) -> NDArray[Any]:
        if attribute == "rating":
            return self.stars()
        if attribute in SHOT:
            return self.shot(attribute)
        if attribute in ("length", "fps"):
            return self.of_film(attribute)
        if attribute == "bytes":
            return self._of_file("size", np.int64)
        if attribute == "megapixels":
            pixels: NDArray[np.float64] = self._number("width") * self._number("height") / 1e6
            return pixels
        return self._of_content(attribute, np.int64)

    def _of_kind(self, kind: OfKind) -> Mask:
        timed = self._of_content("duration_ms IS NOT NULL", np.int64) > 0
        sound: Mask = timed & (self._number("width") == 0)
        film: Mask = timed & ~sound
        if kind.kind in ("video", "audio"):
            return film if kind.kind == "video" else sound
        several = "EXISTS (SELECT 1 FROM items WHERE items.content_id = contents.id AND part > 0)"
        document = (self._of_content(several, np.int64) > 0) & ~timed
        return document if kind.kind == "document" else ~(timed | document)

    def _shaped(self, shaped: Shaped) -> Mask:
        width, height = self._number("width"), self._number("height")
        higher, broader = height > SQUARE * width, width > SQUARE * height
        shapes: dict[str, Mask] = {
            "portrait": higher,
            "landscape": broader,
            "square": ~(higher | broader) & (width > 0),
        }
        return shapes[shaped.shape]

    def _tagged(self, tagged: Tagged) -> Mask:
        # All tags, each found through the index: DISTINCT would read a row for each tag of each picture.
        rows = self._connection.exec_driver_sql(
            "WITH RECURSIVE names(tag) AS (SELECT min(tag) FROM tags UNION ALL "
            "SELECT (SELECT min(tag) FROM tags WHERE tags.tag > names.tag) FROM names WHERE names.tag IS NOT NULL) "
            "SELECT tag FROM names WHERE tag IS NOT NULL"
        ).scalars()
        wanted = folded(tagged.name)
        mask = np.zeros(len(self.photos), np.bool_)
        for name in [name for name in rows if folded(name) == wanted]:
            mask |= self._having(self._read("item_id", f"tags WHERE tag = {_literal(name)}", np.int64))
        own = self._read("photo_id", f"own_tags WHERE folded = {_literal(wanted)} ORDER BY photo_id", np.int64)
        positions, existing = positions_of(own, self.photos)
        mask[positions[existing]] = True
        return mask

    def _at_any(self, paths: Sequence[str]) -> Mask:
        """At or below one of these paths; where none is listed there, at what leads to the same by links."""
        below = {path: self._below(path) for path in paths}
        by_real: dict[str, list[Mask]] = {}
        for path, mask in below.items():
            by_real.setdefault(real(path), []).append(mask)
        found = list(below.values())
        missed = [one for one, masks in by_real.items() if not any(mask.any() for mask in masks)]
        folders = self._folders() if missed else []
        found += [self._below(path) for one in missed for path in by_links(one, folders)]
        together: Mask = np.logical_or.reduce(found)
        return together

    def _folders(self) -> list[str]:
        """Those in which photos are listed."""
        paths = self._connection.exec_driver_sql("SELECT path FROM photos WHERE state = 'ok'").scalars()
        return sorted({os.path.dirname(os.fsdecode(path)) for path in paths})

    def _below(self, path: str) -> Mask:
        """At this path or below it: files are in the order of their paths there, so two positions bound a folder."""

        def load() -> Ids:
            order = self._read("id", "photos ORDER BY path", np.int64)
            positions = np.zeros(int(order.max(initial=0)) + 1, np.int64)
            positions[order] = np.arange(len(order))
            return positions

        positions = self._cached("path order", load)
        own = self._cached("positions of files", lambda: positions[self.photos])
        first, after = (self._first_path(bound, positions) for bound in inside(path))
        mask: Mask = (own >= first) & (own < after)
        exact = self._connection.exec_driver_sql("SELECT id FROM photos WHERE path = ?", (os.fsencode(path),)).scalar()
        if exact is not None:
            mask |= self.photos == exact
        return mask

    def _first_path(self, bound: bytes, positions: Ids) -> int:
        """The position of the first path that is not before this one."""
        found = self._connection.exec_driver_sql(
            "SELECT id FROM photos WHERE path >= ? ORDER BY path LIMIT 1", (bound,)
        ).scalar()
        return len(positions) if found is None else int(positions[found])


def _literal(text: str) -> str:
    """A text in SQL; NUL, which ends a statement, is in no tag."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"
