"""Conditions of a query in the SQL of PostgreSQL: an expression each, over a photo, its content and what lies beside.

What SQL compares in another way than the embedded library, such as names without accents, is compared here: with the
different values that there are, which are few; the database is asked for those that fit.  What is not known of a photo
is NULL there, and fits nothing, whether it is asked for or excluded.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    FromClause,
    LargeBinary,
    String,
    and_,
    any_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

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
from mmsearch.store.kept_map import KeptMap, LastMap, vectors_in
from mmsearch.store.local_clock import local_clock, nanoseconds
from mmsearch.store.moment_conditions import is_of_moments, span
from mmsearch.store.paths import at_or_below, by_links, spellings
from mmsearch.store.snapshot import Snapshot
from mmsearch.store.sql import noted
from mmsearch.store.sql.tables import contents, embeddings, items, ocr, own_tags, photos, sidecars, tags
from mmsearch.types import Ids

EARTH = 6371.0  # km, the radius of the sphere that distances are measured on
SQUARE = 1.05  # longer side by shorter side up to which a picture counts as a square
Truth = ColumnElement[bool]

_OPERATORS: dict[str, Callable[[Any, Any], Truth]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}

# What a photo is looked at with: all columns of conditions are among these.
KNOWN: FromClause = photos.join(contents, contents.c.id == photos.c.content_id).outerjoin(
    sidecars, sidecars.c.photo_id == photos.c.id
)
FOLDER: ColumnElement[bytes] = literal_column("photos.folder", LargeBinary)
latitude, longitude = (
    noted.latitude,
    func.coalesce(sidecars.c.longitude, contents.c.longitude, sidecars.c.later_longitude),
)
_CITY = func.coalesce(sidecars.c.city, contents.c.city)
_LABEL = func.coalesce(sidecars.c.label, contents.c.label)
_RATING = func.coalesce(sidecars.c.rating, contents.c.rating)


def camera_clock() -> ColumnElement[str]:
    """When a picture was taken as its camera showed it, "2024-05-31T23:30:00" with or without ".250000"; or NULL.

    Such texts have the order of the times.
    """
    taken = noted.taken_at
    fraction = case((func.substr(taken, 20, 1) == ".", func.substr(taken, 20, 7)), else_="")
    return func.substr(taken, 1, 19).op("||")(fraction)


def file_clock() -> ColumnElement[str]:
    """When a file was last written as this machine's clock showed it, "2024-05-31T23:30:00"."""
    clock = local_clock()
    offset = str(clock.offsets[0])
    if clock.bounds:
        bounds = ", ".join(str(bound * 10**9) for bound in clock.bounds)
        offsets = ", ".join(map(str, clock.offsets))
        place = f"width_bucket(photos.mtime_ns, ARRAY[{bounds}]::bigint[]) + 1"
        offset = f"(ARRAY[{offsets}]::bigint[])[{place}]"
    return literal_column(
        "to_char(timestamp '1970-01-01' + (photos.mtime_ns / 1000000000 + "
        f"{offset}) * interval '1 second', 'YYYY-MM-DD\"T\"HH24:MI:SS')",
        String,
    )


def among(column: ColumnElement[Any], values: Iterable[Any], kind: Any = String) -> Truth:
    """Whether a column has one of these values."""
    given = list(values)
    return column == any_(literal(given, ARRAY(kind))) if given else false()


class Conditions:
    """As one transaction sees the database; what is kept of it is used again."""

    def __init__(self, connection: Connection, cached: Snapshot, last_map: LastMap) -> None:
        self._connection, self._cached, self._last_map = connection, cached, last_map

    def of_files(self, within: Sequence[str], conditions: Sequence[Condition]) -> list[Truth]:
        """What photos in or below one of these paths meet that meet all conditions; of ``KNOWN``."""
        found = [photos.c.state == "ok"]
        if within:
            found.append(self._at_any(within))
        for condition in conditions:
            if condition.exclude and is_of_moments(condition):
                continue  # a film has other moments
            fitting = func.coalesce(self._fitting(condition.fits), false())
            found.append(not_(fitting) if condition.exclude else fitting)
        return found

    @staticmethod
    def of_moments(conditions: Sequence[Condition]) -> list[Truth]:
        """What items meet that are moments at a time in a film that is asked for, or no moments at all."""
        found = []
        for condition in conditions:
            if is_of_moments(condition):
                fitting = _overlapping(condition.fits)
                fitting = not_(fitting) if condition.exclude else fitting
                found.append(or_(items.c.start_ms.is_(None), fitting))
        return found

    def _fitting(self, fits: Fits) -> Truth:
        if isinstance(fits, AnyOf):
            return or_(false(), *(func.coalesce(self._one_fits(one), false()) for one in fits.fits))
        return self._one_fits(fits)

    def _one_fits(self, fits: OneFits) -> Truth:
        named = self._named(fits)
        if named is not None:
            return named
        if isinstance(fits, (Compare, Between)):
            return self._measured(fits)
        if isinstance(fits, Date):
            return _in_time(fits)
        if isinstance(fits, EveryYear):
            return _every_year(fits)
        if isinstance(fits, Within):
            return self._at_any(spellings(fits.path))
        if isinstance(fits, Near):
            return _near(fits)
        if isinstance(fits, OfKind):
            return _of_kind(fits)
        if isinstance(fits, Shaped):
            return _shaped(fits)
        if isinstance(fits, HasText):
            return _of_items(ocr, ocr.c.text != "")
        assert isinstance(fits, HasPlace)
        return latitude.is_not(None) & longitude.is_not(None)

    def _named(self, fits: OneFits) -> Truth | None:
        """Of conditions on names; None for others."""
        if isinstance(fits, (Camera, Lens, Codec)):
            column = {Camera: contents.c.camera, Lens: contents.c.lens, Codec: contents.c.codec}[type(fits)]
            return among(column, self._values(column, lambda name: fits.text.casefold() in name.casefold()))
        if isinstance(fits, Format):
            return among(contents.c.format, {fits.name, "mpo"} if fits.name == "jpeg" else {fits.name})
        if isinstance(fits, (City, Label)):
            name = "city" if isinstance(fits, City) else "label"
            both = {*self._plainly(contents.c[name], fits.text), *self._plainly(sidecars.c[name], fits.text)}
            return among(_CITY if name == "city" else _LABEL, sorted(both))
        if isinstance(fits, Person):
            own, beside = (among(t.c.people, self._plainly(t.c.people, fits.text)) for t in (contents, sidecars))
            return func.coalesce(own, false()) | func.coalesce(beside, false())
        if isinstance(fits, Tagged):
            wanted = folded(fits.name)
            values = self._values(tags.c.tag, lambda name: folded(name) == wanted)
            by_people = select(own_tags.c.tag).where(own_tags.c.photo_id == photos.c.id, own_tags.c.folded == wanted)
            return or_(_of_items(tags, among(tags.c.tag, values)), by_people.correlate(photos).exists())
        if isinstance(fits, Clustered):
            return _has_vector(vectors_in(self._map(), fits.text))
        return self._in_album(fits) if isinstance(fits, Album) else None

    def _plainly(self, column: ColumnElement[str], text: str) -> list[str]:
        return self._values(column, lambda name: plain(text) in plain(name))

    def _values(self, column: ColumnElement[Any], fits: Callable[[str], bool]) -> list[str]:
        """The different texts of a column that fit; an empty one, for unknown, is not asked."""
        return [name for name in self.distinct(column) if name and fits(name)]

    def distinct(self, column: ColumnElement[Any]) -> list[Any]:
        """The different values of a column, ascending."""

        def read() -> list[Any]:
            query = select(column).distinct().where(column.is_not(None)).order_by(column)
            return list(self._connection.execute(query).scalars())

        return self._cached.of(("values", str(column)), read, lambda values: 80 * len(values))

    def roots(self) -> list[str]:
        rows = self._connection.exec_driver_sql("SELECT path FROM roots").scalars()
        return [os.fsdecode(path) for path in rows]

    def folders(self) -> dict[bytes, str]:
        """Those in which photos are listed that can be found; as they are stored, and by their names."""

        def read() -> dict[bytes, str]:
            query = select(FOLDER).select_from(photos).distinct().where(photos.c.state == "ok")
            return {one: folder_name(one) for one in self._connection.execute(query).scalars()}

        return self._cached.of("folders", read, lambda found: 200 * len(found))

    def _map(self) -> KeptMap | None:
        """The last one that was made here, with the model that is searched with."""
        query = "SELECT fingerprint, (SELECT value FROM properties WHERE name = 'generation'), "
        query += "(SELECT value FROM properties WHERE name = 'identity') FROM models WHERE active"
        row = self._connection.exec_driver_sql(query).first()
        return None if row is None else self._last_map.of(str(row[2]), str(row[0]), int(row[1]))

    def map_state(self, conditions: Sequence[Condition]) -> object:
        """What tells one map from another, where a condition asks for clusters; None where none does."""
        fits = [condition.fits for condition in conditions]
        each = [one for fit in fits for one in (fit.fits if isinstance(fit, AnyOf) else (fit,))]
        if not any(isinstance(one, Clustered) for one in each):
            return None
        self._map()
        return self._last_map.state

    def _in_album(self, album: Album) -> Truth:
        """By the names of a folder and of those around it, up to the outermost that was indexed."""
        wanted, roots = plain(album.text), self.roots()

        def fits(folder: str) -> bool:
            around = [root for root in roots if folder == root or folder.startswith(root.rstrip(os.sep) + os.sep)]
            above = os.path.dirname(min(around, key=len)) if around else os.path.dirname(folder)
            return any(wanted in plain(name) for name in folder[len(above) :].split(os.sep))

        return among(FOLDER, [stored for stored, name in self.folders().items() if fits(name)], LargeBinary)

    def _at_any(self, paths: Sequence[str]) -> Truth:
        """At or below one of these paths; where none is listed there, at what leads to the same by links."""
        by_real: dict[str, list[str]] = {}
        for path in paths:
            by_real.setdefault(real(path), []).append(path)
        missed = [one for one, own in by_real.items() if not self._lists_any(own)]
        folders = sorted(set(self.folders().values())) if missed else []
        linked = [path for one in missed for path in by_links(one, folders)]
        return or_(false(), *(at_or_below(photos.c.path, path) for path in dict.fromkeys([*paths, *linked])))

    def _lists_any(self, paths: Sequence[str]) -> bool:
        def read() -> bool:
            there = or_(*(at_or_below(photos.c.path, path) for path in paths))
            found = photos.c.content_id.is_not(None) & (photos.c.state == "ok") & there
            return bool(self._connection.execute(select(exists().where(found))).scalar())

        return self._cached.of(("listed", *paths), read)

    def _measured(self, fits: Compare | Between) -> Truth:
        if fits.fact == "at":
            return _has_item(_overlapping(fits))
        number = _number(fits.fact)
        if isinstance(fits, Compare):
            return _OPERATORS[fits.operator](number, _float(fits.value))
        return and_(number >= _float(fits.least), number <= _float(fits.most))


def folder_name(stored: bytes) -> str:
    """The name of a folder as ``photos.folder`` has it: that of the root is empty there."""
    return os.path.dirname(os.fsdecode(stored + b"/"))


def _float(value: float) -> ColumnElement[float]:
    return literal(value, Float)  # else it would be sent as a whole number, as the column is


def _number(fact: str) -> ColumnElement[Any]:
    if fact == "rating":
        return _RATING
    if fact == "length":
        return contents.c.duration_ms / _float(1000.0)
    if fact == "bytes":
        return photos.c.size
    if fact == "megapixels":
        return cast(contents.c.width * contents.c.height, Float) / _float(1e6)
    return contents.c[fact]


def _has_item(condition: Truth) -> Truth:
    """Whether the content of the photo has an item like this."""
    own = select(items.c.id).where(items.c.content_id == photos.c.content_id, condition)
    return own.correlate(photos).exists()  # a query may have items of its own


def _has_vector(numbers: Ids) -> Truth:
    """Whether one of these vectors is of the content of the photo."""
    own = select(items.c.id).join(embeddings, embeddings.c.item_id == items.c.id)
    own = own.where(items.c.content_id == photos.c.content_id, among(embeddings.c.id, numbers.tolist(), BigInteger))
    return own.correlate(photos).exists()


def _of_items(table: Any, condition: Truth) -> Truth:
    """Whether an item of the photo has a row like this."""
    own = select(table.c.item_id).join(items, items.c.id == table.c.item_id)
    return own.where(items.c.content_id == photos.c.content_id, condition).correlate(photos).exists()


def _overlapping(fits: Fits) -> Truth:
    """Whether an item is a moment that has to do with the time that is asked for."""
    end = func.greatest(items.c.end_ms, items.c.start_ms + 1)
    found = []
    for one in fits.fits if isinstance(fits, AnyOf) else (fits,):
        least, most = span(one)
        found.append((items.c.start_ms <= _float(1000 * most)) & (end > _float(1000 * least)))
    return items.c.start_ms.is_not(None) & or_(false(), *found)


def _in_time(date: Date) -> Truth:
    clock = camera_clock()
    by_camera: list[Truth] = [clock.is_not(None)]
    by_file: list[Truth] = [clock.is_(None)]
    if date.start is not None:
        by_camera.append(clock >= date.start.isoformat())
        by_file.append(photos.c.mtime_ns >= nanoseconds(date.start))
    if date.end is not None:
        by_camera.append(clock < date.end.isoformat())
        by_file.append(photos.c.mtime_ns < nanoseconds(date.end))
    return and_(*by_camera) if date.camera_only else or_(and_(*by_camera), and_(*by_file))


def _every_year(every: EveryYear) -> Truth:
    """By month and day as "02-29", a day that compares as it should in years that have none."""
    first, last = ("{:02}-{:02}".format(*day) for day in (every.first, every.last))

    def inside(day: ColumnElement[str]) -> Truth:
        return and_(day >= first, day <= last) if first <= last else or_(day >= first, day <= last)

    clock = camera_clock()
    by_camera = and_(clock.is_not(None), inside(func.substr(clock, 6, 5)))
    if every.camera_only:
        return by_camera
    return or_(by_camera, and_(clock.is_(None), inside(func.substr(file_clock(), 6, 5))))


def _near(place: Near) -> Truth:
    """By the haversine formula (Sinnott 1984), for those at about the right latitude."""
    degrees = math.degrees(place.kilometres / EARTH) + 1e-6
    half = func.power(func.sin((func.radians(latitude) - math.radians(place.latitude)) / 2), 2) + math.cos(
        math.radians(place.latitude)
    ) * func.cos(func.radians(latitude)) * func.power(func.sin(func.radians(longitude - place.longitude) / 2), 2)
    distance = 2 * EARTH * func.asin(func.sqrt(func.least(half, _float(1.0))))  # least() passes over NULL
    near = func.abs(latitude - place.latitude) <= degrees
    return and_(longitude.is_not(None), near, distance <= place.kilometres)


def _of_kind(kind: OfKind) -> Truth:
    timed, sound = contents.c.duration_ms.is_not(None), contents.c.width == 0
    several = _has_item(items.c.part > 0)
    return {
        "video": timed & ~sound,
        "audio": timed & sound,
        "document": several & ~timed,
        "photo": ~(timed | several),
    }[kind.kind]


def _shaped(shaped: Shaped) -> Truth:
    higher = contents.c.height > _float(SQUARE) * contents.c.width
    broader = contents.c.width > _float(SQUARE) * contents.c.height
    return {"portrait": higher, "landscape": broader, "square": ~(higher | broader) & (contents.c.width > 0)}[
        shaped.shape
    ]
