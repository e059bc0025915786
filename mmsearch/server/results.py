"""Lists of hits that are read page by page, and the cursors that name a place in them."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mmsearch.library.library import Library
from mmsearch.query.model import Query, Vector
from mmsearch.server.errors import Refused
from mmsearch.types import Hit, Note, SearchResult

LISTS = 64  # that are kept, those that were read last
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
        return bool(self.like) or any(
            not term.exclude and not getattr(term, "exact", False) for term in self.query.terms
        )

    @property
    def sorts_the_best(self) -> bool:
        """Whether the best hits are wanted in another order than from the best down."""
        return self.by_score and self.query.order != "score"

    def search(self, library: Library, k: int, offset: int) -> SearchResult:
        """Hits of this search."""
        return library.search(
            self.query, k, offset=offset, rerank=self.rerank, min_relevance=self.min_relevance, diverse=self.diverse,
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
    found: int | None = None  # how many there are in all, where that is known exactly
    more: bool = True  # whether others may follow ``hits``
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Page:
    """Some hits of a list."""

    hits: Sequence[Hit]
    notes: Sequence[Note]
    next_cursor: str | None
    generation: int | None
    found: int | None  # hits of the whole list, where nothing ranks them
    query: Query


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
            return Page((), (note,), None, self._library.store.generation(), 0, asked.query)
        return self._page(secrets.token_urlsafe(12), ResultList(asked, key), 0, 0, k)

    def next(self, cursor: str, key: object, k: int) -> Page:
        """The page at a cursor; ``key`` is None or what was asked.  Raises Refused for one that does not serve."""
        name, *places = cursor.split(".")
        with self._lock:
            found = self._lists.get(name)
        numbers = [int(place) for place in places if place.isdecimal() and len(place) < 10]
        if len(numbers) != 2 or len(places) != 2:
            raise Refused(400, "bad-cursor", "the cursor is none that this server gave")
        if found is None or found.generation is None or found.generation != self._library.store.generation():
            raise Refused(410, "stale_cursor", "the library has changed since this search; search again")
        if key is not None and key != found.key:
            raise Refused(400, "cursor-mismatch", "the cursor belongs to another search")
        return self._page(name, found, *numbers, k)

    def _page(self, name: str, found: ResultList, offset: int, rank: int, k: int) -> Page:
        """``k`` hits from the one at ``offset``, ranked from ``rank`` + 1: photos that were shown are not counted."""
        hits: list[Hit] = []
        with found.lock:
            while len(hits) < k:
                if not found.start <= offset < found.start + len(found.hits):
                    if offset and not found.more and offset >= found.start + len(found.hits):
                        break
                    self._search(found, offset, k)
                    if not found.hits:
                        break
                hit = found.hits[offset - found.start]
                offset += 1
                if hit.photo.id not in found.asked.shown:
                    hits.append(replace(hit, rank=rank + len(hits) + 1))
            more = offset < found.start + len(found.hits) or found.more
            notes, generation = found.notes, found.generation
        cursor = None
        if more:
            cursor = f"{name}.{offset}.{rank + len(hits)}"
            with self._lock:
                self._lists[name] = found
                self._lists.move_to_end(name)
                while len(self._lists) > LISTS:
                    self._lists.popitem(last=False)
        return Page(hits, notes, cursor, generation, found.found, found.asked.query)

    def _search(self, found: ResultList, offset: int, k: int) -> None:
        """Search for the hits from ``offset``."""
        asked = found.asked
        if asked.sorts_the_best:
            result, more = asked.search(self._library, SORTED, 0), False
            if result.next_offset is not None:
                text = f"the {SORTED:,} best pictures are sorted; there are others that fit less"
                result = replace(result, notes=(*result.notes, Note(text, "best-sorted", count=SORTED)))
            found.start = 0
        else:
            wanted = max(AHEAD, k) if offset else k + len(asked.shown)
            result = asked.search(self._library, wanted, offset)
            more, found.start = result.next_offset is not None, offset
        if found.start and result.generation != found.generation:
            raise Refused(410, "stale_cursor", "the library has changed since this search; search again")
        found.hits, found.more, found.generation = result.hits, more, result.generation
        found.notes = result.notes
        if not asked.by_score and all(isinstance(term, Vector) for term in asked.query.terms):
            model = self._library.store.model()
            found.found = 0 if model is None else len(self._library.store.searchable(model, (), asked.query.conditions))
