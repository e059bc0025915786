"""Which vectors and files meet conditions, and what these files are: counted by the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import (
    CTE,
    BigInteger,
    CompoundSelect,
    Select,
    String,
    case,
    cast,
    column,
    func,
    literal,
    null,
    select,
    union,
    union_all,
    values,
)
from sqlalchemy.dialects.postgresql import ARRAY

from mmsearch.language.letters import plain
from mmsearch.language.tag_names import folded
from mmsearch.query.model import Condition
from mmsearch.store.facet_values import YEARS, containing, types, up_to
from mmsearch.store.local_clock import on_this_clock
from mmsearch.store.postgres.conditions import (
    FOLDER,
    KNOWN,
    Conditions,
    Truth,
    camera_clock,
    file_clock,
    folder_name,
    latitude,
    longitude,
)
from mmsearch.store.sql.tables import contents, embeddings, items, own_tags, photos, sidecars, tags
from mmsearch.store.types import FacetCounts, Overview
from mmsearch.types import Ids

_ARRAY = ARRAY(BigInteger)
_people = func.concat_ws("\n", func.nullif(contents.c.people, ""), func.nullif(sidecars.c.people, ""))
_clock = camera_clock()


def _looked_at() -> Select[Any]:
    """What is counted of each file; ``file_clock`` is that of the moment."""
    return select(
        photos.c.id,
        photos.c.content_id.label("content"),
        func.substr(_clock, 1, 4).label("year"),
        case((_clock.is_(None), func.substr(file_clock(), 1, 4))).label("written"),
        contents.c.camera.label("camera"),
        contents.c.format.label("type"),
        func.encode(FOLDER, "hex").label("folder"),
        _people.label("person"),
        func.coalesce(sidecars.c.city, contents.c.city).label("city"),
    ).select_from(KNOWN)


class Filtering(Conditions):
    """As one transaction sees the database."""

    def vectors(self, model: int, within: Sequence[str], conditions: Sequence[Condition]) -> Ids:
        """Ids of the vectors of this model that have a file in or below one of these paths that meets all conditions.

        Ascending.  Without paths it may be anywhere.
        """

        def read() -> Ids:
            found = self.of_files(within, conditions) + self.of_moments(conditions)
            having = KNOWN.join(items, items.c.content_id == photos.c.content_id)
            having = having.join(embeddings, embeddings.c.item_id == items.c.id)
            query = select(embeddings.c.id).select_from(having).where(embeddings.c.model_id == model, *found)
            numbers = query.distinct().subquery()
            joined = self._connection.execute(
                select(func.string_agg(cast(numbers.c.id, String), ","))  # one string: several times faster than rows
            ).scalar()
            return np.sort(np.fromstring(joined or "", np.int64, sep=","))

        key = ("vectors", model, tuple(within), tuple(conditions), self.map_state(conditions))
        return self._cached.of(key, read, lambda ids: ids.nbytes).copy()

    def meeting(self, numbers: Ids, within: Sequence[str], conditions: Sequence[Condition]) -> set[int]:
        """Which of these photos, by their ids, lie there and meet all conditions."""
        chosen = self._these(numbers)
        query = select(photos.c.id).select_from(KNOWN).where(chosen, *self.of_files(within, conditions))
        return set(self._connection.execute(query).scalars())

    @staticmethod
    def _these(numbers: Ids) -> Truth:
        return photos.c.id.in_(select(func.unnest(cast(literal(_joined(numbers)), _ARRAY))))

    def _chosen(
        self, model: int, numbers: Ids | None, within: Sequence[str], conditions: Sequence[Condition]
    ) -> list[Truth]:
        of_model = select(embeddings.c.id).join(items, items.c.id == embeddings.c.item_id)
        of_model = of_model.where(items.c.content_id == photos.c.content_id, embeddings.c.model_id == model)
        found = [*self.of_files(within, conditions), of_model.correlate(photos).exists()]
        return found if numbers is None else [*found, self._these(numbers)]

    def facets(
        self, model: int, numbers: Ids | None, within: Sequence[str], conditions: Sequence[Condition], most: int
    ) -> FacetCounts:
        """What the files are that have a vector of this model and meet all conditions, all of them or these photos."""
        where = self._chosen(model, numbers, within, conditions)
        chosen = _looked_at().where(*where).cte("chosen").prefix_with("MATERIALIZED", dialect="postgresql")
        found: dict[str, Counter[str]] = {}
        files = 0
        for kind, value, count in self._connection.execute(self._counts(chosen)):
            if kind == "files":
                files = int(count)
            elif value:
                found.setdefault(kind, Counter())[value] += int(count)
        found = {kind: Counter(dict(sorted(values.items()))) for kind, values in found.items()}
        count = most + 1
        folders = Counter({bytes.fromhex(one): number for one, number in found.get("folder", {}).items()})
        by_facet = {
            "year": _years(found).most_common(count),
            "camera": containing(found.get("camera", {}), str.casefold, count),
            "folder": self._above(folders, count),
            "tag": self._tags(found.get("tag", Counter()), count),
            "type": types(found.get("type", {})).most_common(count),
            "person": containing(found.get("person", {}), plain, count),
            "city": containing(found.get("city", {}), plain, count),
        }
        return FacetCounts(files, by_facet)

    def _counts(self, chosen: CTE) -> CompoundSelect[Any]:
        """Kinds, values and how many files have each."""
        number = func.count()
        each = [select(literal("files"), cast(null(), String), number).select_from(chosen)]
        for kind in ("year", "written", "camera", "folder", "type", "person", "city"):
            value = chosen.c[kind]
            each.append(select(literal(kind), value, number).group_by(value))
        having = [select(own_tags.c.folded.label("key"), chosen.c.id).join(chosen, chosen.c.id == own_tags.c.photo_id)]
        if names := [(tag, folded(tag)) for tag in self.distinct(tags.c.tag)]:
            alike = values(column("tag", String), column("key", String), name="alike").data(names)
            tagged = alike.join(tags, tags.c.tag == alike.c.tag).join(items, items.c.id == tags.c.item_id)
            tagged = tagged.join(chosen, chosen.c.content == items.c.content_id)
            having.append(select(alike.c.key, chosen.c.id).select_from(tagged))
        both = union(*having).subquery()  # a file that has one by a model and by a person counts once
        each.append(select(literal("tag"), both.c.key, func.count()).group_by(both.c.key))
        return union_all(*each)

    def _tags(self, found: Counter[str], count: int) -> list[tuple[str, int]]:
        """Each tag once, whatever its capitals, as ``Tagged`` takes it; spelled as people do, if any gave it."""
        shown: dict[str, str] = {}
        for tag in self.distinct(tags.c.tag):
            shown.setdefault(folded(tag), tag)
        rows = self._connection.execute(
            select(own_tags.c.folded, own_tags.c.tag).distinct().order_by(own_tags.c.folded)
        )
        shown.update({str(key): str(tag) for key, tag in rows})
        return Counter({tag: found[key] for key, tag in shown.items() if key in found}).most_common(count)

    def _above(self, found: Counter[bytes], count: int) -> list[tuple[str, int]]:
        """Each folder with photos in it, and those around it up to the one that was indexed; all that lies below."""
        roots = set(self.roots())
        above: Counter[str] = Counter()
        for stored, files in found.items():
            folder = folder_name(stored)
            for one in (folder, *up_to(folder, roots)):
                above[one] += files
        return sorted(above.items(), key=lambda one: (-one[1], one[0]))[:count]

    def overview(
        self, model: int, numbers: Ids | None, within: Sequence[str], conditions: Sequence[Condition]
    ) -> Overview:
        """When and where the files were taken that ``facets`` counts."""
        where = self._chosen(model, numbers, within, conditions)
        query = select(photos.c.id, camera_clock(), photos.c.mtime_ns, latitude, longitude).select_from(KNOWN)
        rows = self._connection.execute(query.where(*where).order_by(photos.c.id)).all()
        ids = np.array([row[0] for row in rows], np.int64)
        moments = on_this_clock(np.array([row[2] for row in rows], np.int64))
        dated = np.array([row[1] is not None for row in rows], np.bool_)
        taken = np.array([row[1] for row in rows if row[1] is not None], "datetime64[us]")
        moments[dated] = taken.astype(np.int64)
        nowhere = (np.nan, np.nan)
        places = [nowhere if row[3] is None or row[4] is None else (row[3], row[4]) for row in rows]
        return Overview(ids, moments, np.array(places, np.float64).reshape(-1, 2))


def _joined(numbers: Ids) -> str:
    """An array as PostgreSQL reads it."""
    return "{" + ",".join(map(str, numbers.tolist())) + "}"


def _years(found: dict[str, Counter[str]]) -> Counter[str]:
    """By the clock of the camera, where it says nothing by when the file was written, as ``Date`` has it."""
    together: Counter[str] = Counter()
    for kind in ("year", "written"):
        for year, files in found.get(kind, {}).items():
            if year.isdigit() and YEARS[0] <= int(year) <= YEARS[1]:
                together[str(int(year))] += files
    return together
