"""What photos are counted by, with the piece of the query language that leaves those of a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.errors import NoModelError
from mmsearch.library.arguments import Asked, parsed
from mmsearch.query.model import Camera, City, Condition, Date, Format, OneFits, Person, Query, Tagged, Within
from mmsearch.query.writer import written
from mmsearch.store.paths import spellings
from mmsearch.store.types import FACETS, StoredModel
from mmsearch.types import Ids, Note, Paths, SearchResult, path_list

if TYPE_CHECKING:
    from mmsearch.store.protocol import Store

BEST = 2000  # hits of a query that are counted: enough for a page of values, and few enough to be found at once


@dataclass(frozen=True)
class FacetValue:
    """A value of a facet."""

    value: str  # to be shown
    count: int  # of the counted photos, how many the condition leaves
    query: str  # that condition, such as ``date:2024``; to be added to a query


@dataclass(frozen=True)
class Facet:
    """What photos differ by, such as the year."""

    field: str  # one of ``store.types.FACETS``
    values: tuple[FacetValue, ...]  # those of the most photos first
    more: bool  # there are more values


@dataclass(frozen=True)
class Facets:
    """Facets of some photos, each with at least one value; by name as in a dictionary."""

    facets: tuple[Facet, ...]
    photos: int  # that were counted; copies count one by one
    complete: bool  # these are all that the query finds, and not its best ones only
    notes: tuple[Note, ...] = ()  # of the search

    def __getitem__(self, field: str) -> Facet:
        """A facet by name, without values where there are none.  Raises KeyError for a name that is none."""
        if field not in FACETS:
            raise KeyError(field)
        return next((facet for facet in self.facets if facet.field == field), Facet(field, (), False))

    def to_dict(self) -> dict[str, Any]:
        """The facets as ``json.dumps`` takes them.  Keys are a promise: none is renamed or taken away."""
        shown = [
            {"field": one.field, "values": [asdict(value) for value in one.values], "more": one.more}
            for one in self.facets
        ]
        notes = [note.to_dict() for note in self.notes]
        return {"facets": shown, "counted": self.photos, "complete": self.complete, "notes": notes}


Search = Callable[..., SearchResult]


@dataclass(frozen=True)
class Chosen:
    """The photos that a query finds, as a store is asked for them."""

    model: StoredModel
    within: tuple[str, ...]
    conditions: tuple[Condition, ...]
    photos: Ids | None  # ids of the best ones, of a query that ranks; None for all that meet the conditions
    notes: tuple[Note, ...]
    complete: bool  # these are all that the query finds

    @classmethod
    def by(
        cls,
        store: Store,
        search: Search,
        query: Asked | Sequence[Asked] | Query,
        where: str | Sequence[Condition] = (),
        within: Paths = (),
        min_relevance: float | None = None,
    ) -> Chosen:
        """Those of a query; of one with words the ``BEST`` by its first stage.  Raises as ``Library.search``."""
        model = store.model()
        if model is None:
            raise NoModelError(f"the library {store.place} is empty")
        nothing = isinstance(query, str) and not query.strip()
        wanted = parsed(Query(order="date") if nothing else query, where)
        photos: Ids | None = None
        notes: tuple[Note, ...] = ()
        complete = True
        if wanted.terms:
            found = search(
                replace(wanted, order="score"), BEST, rerank=False, within=within, min_relevance=min_relevance
            )
            photos = np.array([hit.photo.id for hit in found], np.int64)
            notes, complete = found.notes, found.next_offset is None
        else:
            store.capabilities.check(wanted)
        ways = tuple(way for folder in path_list(within) for way in spellings(folder))
        return cls(model, ways, tuple(wanted.conditions), photos, notes, complete)


def facets(store: Store, chosen: Chosen, most: int) -> Facets:
    """See ``Library.facets``."""
    counted = store.facets(chosen.model, chosen.within, chosen.conditions, chosen.photos, most)
    shown = []
    for field in FACETS:
        values = counted.values.get(field, [])
        pieces = [FacetValue(value, count, _condition(field, value)) for value, count in values[:most]]
        if pieces:
            shown.append(Facet(field, tuple(pieces), len(values) > most))
    return Facets(tuple(shown), counted.files, chosen.complete, chosen.notes)


def _condition(field: str, value: str) -> str:
    """The condition that leaves the photos with this value."""
    return written(Query(conditions=(Condition(_FITS[field](value)),), order="date"))


def _year(text: str) -> Date:
    year = int(text)
    return Date(datetime(year, 1, 1), datetime(year + 1, 1, 1) if year < 9999 else None)


_FITS: dict[str, Callable[[str], OneFits]] = {
    "year": _year,
    "camera": Camera,
    "folder": Within,
    "tag": Tagged,
    "type": Format,
    "person": Person,
    "city": City,
}
