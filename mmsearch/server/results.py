"""Lists of hits that are read page by page, and the cursors that name a place in them."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.library.library import Library
from mmsearch.query.model import Query, Vector
from mmsearch.search.scored import Scored
from mmsearch.search.shots import Row, Shots, is_second
from mmsearch.server.errors import Refused
from mmsearch.types import Hit, Note, SearchResult

LISTS = 32  # that are kept, those that were read last
AHEAD = 400  # hits that are searched at once from the second page on: a search anew takes longer than its hits
SORTED = 1000  # of the best hits, where they are sorted by date


@dataclass(frozen=True)
class Asked:
    """A search as the library takes it, without a page."""

    query: Query
    like: tuple[Vector, ...] = ()
    unlike: tuple[Vector, ...] = ()
    shown: frozenset[int] = frozenset()  # ids of the photos among these: they are no hits
    min_relevance: float | None = None
    rerank: bool | None = None
    diverse: bool = False

    @property
    def by_score(self) -> bool:
        """Whether there is anything that hits are nearer to or farther from."""
        exact = [getattr(term, "exact", False) for term in self.query.terms]
        wanted = [not term.exclude and not is_exact for term, is_exact in zip(self.query.terms, exact, strict=True)]
        return bool(self.like) or any(wanted)

    @property
    def is_listing(self) -> bool:
        """Whether it is for all photos that meet conditions, by date."""
        nothing = self.query.terms or self.like or self.unlike
        return not nothing and self.query.order in ("score", "date")

    def search(self, library: Library, k: int, offset: int) -> SearchResult:
        """Hits of this search; the least relevance is one of what has a relevance."""
        least = self.min_relevance if self.by_score else None
        return library.search(
            self.query, k, offset=offset, rerank=self.rerank, min_relevance=least, diverse=self.diverse,
            like=self.like, unlike=self.unlike,
        )  # fmt: skip


@dataclass
class ResultList:
    """A search whose pages are read; ``lock`` is held by whoever reads."""

    asked: Asked
    key: object  # what was asked, to be compared
    generation: int | None = None
    hits: tuple[Hit, ...] = ()  # those that were found last …
    start: int = 0  # … which begin here
    notes: tuple[Note, ...] = ()
    unreachable: frozenset[str] = frozenset()  # parts of the library without which they were found
    ids: NDArray[Any] | None = None  # of all photos in their order, where nothing ranks them
    hidden: set[int] = field(default_factory=set)  # ids of raw files whose picture is a hit
    more: bool = True  # whether others may follow ``hits``
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Page:
    """Some hits of a list."""

    query: Query
    hits: Sequence[Hit]
    notes: Sequence[Note]
    generation: int | None
    next_cursor: str | None = None
    found: int | None = None  # photos of the whole list, where nothing ranks them
    unreachable: frozenset[str] = frozenset()  # parts of the library that did not answer


class ResultLists:
    """The lists of all clients.  Safe from several threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lists: OrderedDict[str, ResultList] = OrderedDict()
        self._lock = threading.Lock()

    def first(self, asked: Asked, key: object, k: int) -> Page:
        """The first page of a search; of a library in which nothing is, an empty one.  Raises as ``Library.search``."""
        if self._library.store.model() is None:
            note = Note("nothing was indexed yet", "library-empty")
            return Page(asked.query, (), (note,), self._library.store.generation(), found=0)
        return self._page(secrets.token_urlsafe(12), ResultList(asked, key), 0, 0, k)

    def next(self, cursor: str, key: object, k: int) -> Page:
        """The page at a cursor; ``key`` is None or what was asked.  Raises Refused for one that does not serve."""
        name, *places = cursor.split(".")
        numbers = [int(place) for place in places if place.isascii() and place.isdecimal() and len(place) < 10]
        if len(numbers) != 2 or len(places) != 2:
            raise Refused(400, "bad-cursor", "the cursor is none that this server gave")
        with self._lock:
            found = self._lists.get(name)
        if found is None or found.generation is None or found.generation != self._library.store.generation():
            raise _stale()
        if key is not None and key != found.key:
            raise Refused(400, "cursor-mismatch", "the cursor belongs to another search")
        offset, rank = numbers
        return self._page(name, found, offset, rank, k)

    def _page(self, name: str, found: ResultList, offset: int, rank: int, k: int) -> Page:
        """``k`` hits from the one at ``offset``, ranked from ``rank`` + 1: photos that were shown are not counted."""
        hits: list[Hit] = []
        with found.lock:
            while len(hits) < k:
                end = found.start + len(found.hits)
                if not found.start <= offset < end:
                    if found.hits and not found.more and offset >= end:
                        break
                    self._search(found, offset, k)
                    if not found.hits:
                        break
                hit = found.hits[offset - found.start]
                offset += 1
                if hit.photo.id not in found.asked.shown and hit.photo.id not in found.hidden:
                    hits.append(replace(hit, rank=rank + len(hits) + 1))
            more = offset < found.start + len(found.hits) or found.more
            total = None if found.ids is None else len(found.ids)
            page = Page(found.asked.query, hits, found.notes, found.generation, None, total, found.unreachable)
        if not more:
            return page
        with self._lock:
            self._lists[name] = found
            self._lists.move_to_end(name)
            while len(self._lists) > LISTS:
                self._lists.popitem(last=False)
        return replace(page, next_cursor=f"{name}.{offset}.{rank + len(hits)}")

    def _search(self, found: ResultList, offset: int, k: int) -> None:
        """Find the hits from ``offset``.  Raises Refused where they would not go on from those before."""
        asked, library = found.asked, self._library
        if asked.is_listing:
            return self._list(found, offset, k)
        if asked.by_score and asked.query.order != "score":
            result = asked.search(library, SORTED, 0)
            found.start, found.more = 0, False
            if result.next_offset is not None:
                text = f"the {SORTED:,} best pictures are sorted; there are others that fit less"
                result = replace(result, notes=(*result.notes, Note(text, "best-sorted", count=SORTED)))
        else:
            result = asked.search(library, max(AHEAD, k) if offset else k + len(asked.shown), offset)
            if offset and result.generation != found.generation:
                raise _stale()
            if offset and result.unreachable != found.unreachable:
                raise _other_order()
            found.start, found.more = offset, result.next_offset is not None
        found.hits, found.notes, found.generation = result.hits, result.notes, result.generation
        found.unreachable = result.unreachable
        return None

    def _list(self, found: ResultList, offset: int, k: int) -> None:
        """The same where nothing ranks the photos: all ids are put in order once, and pages are cut from them."""
        library, query = self._library, found.asked.query
        if found.ids is None:
            found.generation = library.store.generation()
            overview = library.overview(query)
            order = np.lexsort((overview.ids, overview.moments))
            narrow = np.min_scalar_type(int(overview.ids.max(initial=0)))  # half the memory, or less
            found.ids = overview.ids[order[::-1] if query.descending else order].astype(narrow)
            if library.store.generation() != found.generation:
                found.generation = None  # the next page is asked for anew
        chosen = found.ids[offset : offset + (max(AHEAD, k) if offset else k)].tolist()
        model = library.store.model()
        photos = {} if model is None else library.store.photos_by_id(chosen, model)
        if len(photos) < len(chosen):
            raise _stale()
        rows: list[Row] = [(Scored(number, 0.0), photos[number], ()) for number in chosen]
        seconds = [row for row in rows if is_second(row[1])]
        shots = Shots(library.store, query, ())
        found.hidden |= {row[1].id for row in seconds} - {photo.id for _, photo, _ in shots.once(seconds)}
        found.hits = tuple(Hit(0, None, photo, similar=others) for _, photo, others in shots.with_others(rows))
        found.start, found.more = offset, offset + len(chosen) < len(found.ids)
        return


def _stale() -> Refused:
    return Refused(410, "stale_cursor", "the library has changed since this search; search again")


def _other_order() -> Refused:
    text = "parts of the library that answered before do not, or answer again: the order is another one; search again"
    return Refused(410, "stale_cursor", text)
