"""Whether a copy of a library answers as the library does."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import ModelError
from mmsearch.indexes.index import StoredIndex
from mmsearch.language.prompts import scenes
from mmsearch.library.library import Library
from mmsearch.library.live_index import LiveIndex
from mmsearch.library.models import Models
from mmsearch.library.published_index import Snapshot
from mmsearch.store.moving import TABLES, Key, Row, RowSource
from mmsearch.store.open import INDEX
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel
from mmsearch.types import Hit, Note, Progress

K = 20  # hits of a query that are compared
TOLERANCE = 1e-3  # that scores may differ: of float32, and of how common a word is, which is estimated from 10,000 on
WORDS = 12  # of a text that are asked for
AT_ONCE = 500  # rows that are compared together

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Difference:
    """What the copy has or answers otherwise."""

    what: str  # in words
    query: str | None = None  # None where it is about a table


@dataclass(frozen=True)
class Verified:
    """What a comparison gave."""

    way: str  # "queries", "rows", or "counts" where neither was asked for
    compared: int  # queries, or rows
    differences: tuple[Difference, ...] = ()
    notes: tuple[Note, ...] = ()


def verify(source: Library, copy: Library, rows: RowSource, queries: int, progress: Report | None = None) -> Verified:
    """Compare a copy with what it was made of.

    The number of rows of each table is compared, then the hits of ``queries`` queries: words of captions, tags and file
    names of the library, and typical texts, the same ones each time.  Both compare all vectors with a query, whatever
    index they have.  Paths and scores are to be the same; of equally good hits another one may be the last.

    Where no encoder of the model is at hand, or the library was written to since ``rows`` were as they are, all rows of
    all tables are compared in place of the queries, and a note says so.
    """
    with copy.store.copied_from() as copied:
        differences = list(_counts(rows, copied))
        if not queries:
            return Verified("counts", 0, tuple(differences))
        encoder, why = _encoder(source)
        unlike, asked = ([], 0) if encoder is None else _queries(source, copy, encoder, queries, progress)
        # What was written meanwhile is not in the copy, and may be in hits.
        if encoder is not None and (not unlike or not _changed(source, rows)):
            return Verified("queries", asked, (*differences, *unlike))
        compared, unlike = _rows(rows, copied, source.store.place, progress)
    why = why or "the library was written to meanwhile"
    note = Note(f"all rows were compared, and no queries: {why}", "rows-compared")
    return Verified("rows", compared, (*differences, *unlike), (note,))


def _encoder(source: Library) -> tuple[Encoder | None, str]:
    """The encoder of the library's model, or why there is none."""
    if source.store.model() is None:
        return None, "no model is there yet"
    try:
        return source.models.encoder(), ""
    except ModelError as error:
        return None, str(error)


def _changed(source: Library, rows: RowSource) -> bool:
    """Whether the library was written to since ``rows`` were as they are."""
    with source.store.copied_from() as now:
        return now.stamp() != rows.stamp()


def _queries(
    source: Library, copy: Library, encoder: Encoder, count: int, progress: Report | None
) -> tuple[list[Difference], int]:
    """What differs between the hits of both, and how many queries were asked."""
    asked = drawn(source.store, source.models.active(), count)
    unlike: list[Difference] = []
    with exact(source, encoder) as one, exact(copy, encoder) as other:
        for number, query in enumerate(asked, 1):
            wanted, there = (library.search(query, K, rerank=False).hits for library in (one, other))
            unlike += [Difference(what, query) for what in unlike_hits(wanted, there)]
            if progress is not None:
                progress(Progress(number, len(asked), source.store.place, "comparing"))
    return unlike, len(asked)


def _counts(rows: RowSource, copied: RowSource) -> Iterator[Difference]:
    for table in TABLES:
        wanted, there = rows.count(table), copied.count(table)
        if wanted != there:
            yield Difference(f"the table {table!r} has {wanted} rows, and {there} in the copy")


def _rows(rows: RowSource, copied: RowSource, place: str, progress: Report | None) -> tuple[int, list[Difference]]:
    """How many rows were compared, and what differs, the first of each table."""
    total, done, found = sum(map(rows.count, TABLES)), 0, []
    for table in TABLES:
        after: Key | None = None
        while True:
            (wanted, last), (there, its) = (side.page(table, after, AT_ONCE) for side in (rows, copied))
            done += len(wanted)
            if last != its or list(map(_plain, wanted)) != list(map(_plain, there)):
                found.append(Difference(f"rows of the table {table!r} behind {after} are not the same in the copy"))
                break
            if last is None:
                break
            after = last
            if progress is not None:
                progress(Progress(done, max(done, total), place, "comparing"))
    return done, found


def _plain(row: Row) -> Row:
    """Without the character 0 in texts, which PostgreSQL does not store."""
    return tuple(value.replace("\0", "") if isinstance(value, str) else value for value in row)


def drawn(store: Store, model: StoredModel, count: int) -> list[str]:
    """Texts to ask a library for, ``count`` where it has so many: always the same ones for the same library."""
    rng = np.random.default_rng(0)
    ids = store.searchable(model)
    some = ids[np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(np.int64)]
    photos = [photo for own in store.photos(some.tolist()).values() for photo in own]
    kinds = [
        [text or "" for photo in photos for text in (photo.caption, photo.description, photo.text)],
        list(store.tag_counts()),
        [PurePath(photo.path).stem for photo in photos],
    ]
    found: dict[str, None] = {}
    for texts in kinds:
        plain = sorted({text for one in texts if (text := _words(one))})
        for place in rng.permutation(len(plain))[: count // 4]:
            found.setdefault(plain[place])
    typical = scenes()
    for place in rng.permutation(len(typical)):
        if len(found) >= count:
            break
        found.setdefault(typical[place])
    return list(found)[:count]


def _words(text: str) -> str:
    """The words of a text, without what the query language would take for more."""
    return " ".join(re.findall(r"\w+", text.encode("utf-8", "ignore").decode())[:WORDS])


class _Exact(LiveIndex):
    """An index that compares all rows with a query."""

    def searched(self, snapshot: Snapshot[StoredIndex]) -> StoredIndex:
        return StoredIndex(snapshot.index.rows, snapshot.index.deleted)


@contextmanager
def exact(library: Library, encoder: Encoder) -> Iterator[Library]:
    """The same library, of which a search compares all vectors.

    The index of one on a server is made in a folder of its own, for the time being.
    """
    with ExitStack() as stack:
        folder = library.folder / INDEX
        if library.store.capabilities.vector_search:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmsearch-"))) / INDEX
        models = Models(library.store, library.folder, library.settings, encoder)
        vectors = _Exact(library.store, folder, models)
        yield Library(library.store, vectors, models, library.lock, library.settings)


def unlike_hits(wanted: tuple[Hit, ...], there: tuple[Hit, ...], tolerance: float = TOLERANCE) -> Iterator[str]:
    """What differs between the first ``K`` hits of a library and those of its copy, in words."""
    sides = [{hit.path: hit.score or 0.0 for hit in hits} for hits in (wanted, there)]
    if len(wanted) != len(there):
        yield f"{len(wanted)} hits, and {len(there)} of the copy"
        return
    for (own, other), where in zip((sides, sides[::-1]), ("of the library alone", "of the copy alone"), strict=True):
        # Of hits that are as good as the last one, the next one may stand in its place.
        last = min(own.values(), default=0.0) + tolerance if len(own) == K else -np.inf
        for path, score in own.items():
            if path not in other and score > last:
                yield f"{path} is a hit {where}"
    for path, score in sides[0].items():
        if abs(sides[1].get(path, score) - score) > tolerance:
            yield f"{path} has a score of {score:.4f}, and of {sides[1][path]:.4f} in the copy"
