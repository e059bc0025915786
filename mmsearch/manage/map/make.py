"""A library's map: laid out, clustered and named, or the last one with what came since."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import MapError
from mmsearch.manage.map import clusters, names
from mmsearch.manage.map.clusters import Members, Method
from mmsearch.manage.map.layout import BLOCK, LEAST, MANY, SAMPLE, Placer, Plane, Space, lay_out, nearest, spread
from mmsearch.store import kept_map
from mmsearch.store.kept_map import Cluster, KeptMap
from mmsearch.store.open import MAPS
from mmsearch.store.part_rows import with_vectors
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel
from mmsearch.types import Ids, Photo, Progress, Vectors

if TYPE_CHECKING:
    from mmsearch.ingest.enrich.tags import Tagger

SEED = 0
Told = Callable[[Progress], None]


@dataclass(frozen=True)
class MapReport:
    """What a ``map`` run did."""

    photos: int  # pictures on the map; copies lie on one point
    clusters: tuple[Cluster, ...]
    laid_out: int  # pictures that were laid out now
    placed: int  # that were placed now by the nearest of those laid out
    kept: int  # that stay where they were
    gone: int  # that were on the last map and can be found no more
    method: str  # of the clusters: "kmeans" or "hdbscan"
    named_by: str  # "words" of the photos, or "vocabulary"
    generation: int
    seconds: float


class Maker:
    """Makes maps of the vectors of one model.  ``tagger`` gives what names clusters of photos without words."""

    def __init__(self, store: Store, model: StoredModel, tagger: Callable[[], Tagger], told: Told | None) -> None:
        self.store, self.model, self._tagger = store, model, tagger
        self._told = told or (lambda step: None)

    def make(self, fresh: bool = False, method: Method | None = None) -> tuple[KeptMap, MapReport]:
        """The map of the library as it is now; it is kept in the library's folder when it is complete.

        The last one is carried on: photos stay where they are, and new ones are placed by the nearest.  It is made anew
        with ``fresh``, with another ``method``, and where most photos are new.  Raises MapError for too few photos.
        """
        begun = time.perf_counter()
        generation = self.store.generation()
        ids = with_vectors(self.store, self.model)
        if len(ids) < LEAST:
            raise MapError(
                f"a map needs at least {LEAST} different pictures, the library has {len(ids)}; index more of them",
                code="too-few-photos",
                got=len(ids),
                wanted=LEAST,
            )
        last = None if fresh else last_map(self.store, self.model)
        if last is not None and (method or last.method) == last.method:
            kept = np.isin(last.ids, ids, assume_unique=True)
            if 2 * np.count_nonzero(kept) >= len(ids) and np.count_nonzero(kept & last.laid_out) >= LEAST:
                return self._carried_on(last, kept, ids, generation, begun)
        made = self._laid_out(ids, generation, method or "kmeans")
        laid_out = int(made.laid_out.sum())
        gone = 0 if last is None else len(last.ids) - int(np.isin(last.ids, ids).sum())
        return self._keep(made, (laid_out, len(ids) - laid_out, 0, gone), begun)

    def _laid_out(self, ids: Ids, generation: int, method: Method) -> KeptMap:
        rng = np.random.default_rng(SEED)
        some = np.arange(len(ids))
        if len(ids) > SAMPLE:
            some = np.sort(rng.choice(len(ids), SAMPLE, replace=False))
        vectors = np.concatenate(list(self._vectors(ids[some])))
        space = Space.fitted(vectors)
        points = space.of(vectors)
        del vectors
        places = spread(lay_out(points, told=partial(self._tell, "layout")))
        count = clusters.wanted(len(ids))
        members = clusters.found(points, places, count, method)
        laid_out = np.zeros(len(ids), np.bool_)
        laid_out[some] = True
        every, of = np.zeros((len(ids), 2), np.float32), np.zeros(len(ids), np.int32)
        every[some], of[some] = places, members
        rest = np.flatnonzero(~laid_out)
        if len(rest):
            among = _Among(points, places, members, space, many=len(rest) > MANY)
            every[rest], of[rest] = self._placed(among, ids[rest])
            of = clusters.numbered(np.where(of == 0, -1, of).astype(np.int32))
        made = KeptMap(ids, every, of, laid_out, (), generation, "words", method)
        return self._named(made, None)

    def _carried_on(
        self, last: KeptMap, kept: NDArray[np.bool_], ids: Ids, generation: int, begun: float
    ) -> tuple[KeptMap, MapReport]:
        """The last map without what is gone and with what is new; clusters keep their numbers, and their names."""
        new = ids[~np.isin(ids, last.ids, assume_unique=True)]
        every, of, laid_out = last.places[kept], last.of[kept], last.laid_out[kept]
        if len(new):
            known = np.flatnonzero(laid_out)
            vectors = np.concatenate(list(self._vectors(last.ids[kept][known])))
            space = Space.fitted(vectors)
            among = _Among(space.of(vectors), every[known], of[known], space, many=len(new) > MANY)
            places, members = self._placed(among, new)
            order = np.argsort(np.concatenate([last.ids[kept], new]), kind="stable")
            every = np.concatenate([every, places])[order]
            of = np.concatenate([of, members])[order]
            laid_out = np.concatenate([laid_out, np.zeros(len(new), np.bool_)])[order]
        counts = np.bincount(of, minlength=len(last.clusters) + 1)
        sized = tuple(replace(one, size=int(counts[one.number])) for one in last.clusters)
        made = KeptMap(ids, every, of, laid_out, sized, generation, last.named_by, last.method)
        if last.named_by == "vocabulary":  # it may have words by now
            made = self._named(made, last.clusters)
        done = (0, len(new), int(kept.sum()), int((~kept).sum()))
        return self._keep(made, done, begun)

    def _keep(self, made: KeptMap, done: tuple[int, int, int, int], begun: float) -> tuple[KeptMap, MapReport]:
        kept_map.write(made, self.store.folder / MAPS, self.store.identity(), self.model.fingerprint)
        seconds = round(time.perf_counter() - begun, 3)
        return made, MapReport(
            len(made.ids), made.clusters, *done, made.method, made.named_by, made.generation, seconds
        )

    def _vectors(self, ids: Ids) -> Iterator[Vectors]:
        for start in range(0, len(ids), BLOCK):
            yield self.store.vectors(ids[start : start + BLOCK], self.model.dim)

    def _placed(self, among: _Among, ids: Ids) -> tuple[Plane, Members]:
        places, of = np.empty((len(ids), 2), np.float32), np.empty(len(ids), np.int32)
        done = 0
        for vectors in self._vectors(ids):
            rows = slice(done, done + len(vectors))
            places[rows], of[rows] = among.place(vectors)
            done += len(vectors)
            self._tell("placing", done, len(ids))
        return places, of

    def _tell(self, step: str, done: int, total: int) -> None:
        self._told(Progress(done, total, "", step))

    def _named(self, made: KeptMap, before: Sequence[Cluster] | None) -> KeptMap:
        """With clusters that have names; those from ``before``, where photos have no words still."""
        count = int(made.of.max(initial=0)) if before is None else len(before)
        rows = [looked_at(np.flatnonzero(made.of == number)) for number in range(1, count + 1)]
        said = names.counted([self._photos(made.ids[some]) for some in rows])
        worded = said.worded >= names.SAID * max(1, int(said.photos.sum()))
        if not worded and before is not None:
            return made
        if not worded:
            said = self._by_vocabulary([made.ids[some] for some in rows])
        sizes = np.bincount(made.of, minlength=count + 1)[1:].tolist()
        given = zip(names.named(said), sizes, strict=True)
        found = tuple(Cluster(number, name, size) for number, (name, size) in enumerate(given, 1))
        return replace(made, clusters=found, named_by="words" if worded else "vocabulary")

    def _photos(self, ids: Ids) -> Iterator[Photo]:
        """A file of each of these; copies say the same."""
        for files in self.store.photos(ids.tolist()).values():
            yield from files[:1]

    def _by_vocabulary(self, clusters: Sequence[Ids]) -> names.Said:
        """Tags that fit the photos of each cluster, each photo with its probability."""
        tagger = self._tagger()
        counts = np.zeros((len(clusters), len(tagger.vocabulary.names)))
        for number, (row, ids) in enumerate(zip(counts, clusters, strict=True), 1):
            if len(ids):
                found = tagger.probabilities(self.store.vectors(ids, self.model.dim))
                row += np.where(found >= names.SURE, found, 0).sum(axis=0)
            self._tell("naming", number, len(clusters))
        photos = np.array([len(ids) for ids in clusters], np.int64)
        return names.Said(tagger.vocabulary.names, counts, photos, 0, names.SUPPORT_BY_VOCABULARY)


def looked_at(rows: Ids) -> Ids:
    """At most ``names.LOOKED_AT`` of these rows, evenly chosen."""
    if len(rows) <= names.LOOKED_AT:
        return rows
    chosen: Ids = rows[np.linspace(0, len(rows) - 1, names.LOOKED_AT).astype(np.int64)]
    return chosen


class _Among:
    """Photos that lie on the map, among which others are placed."""

    def __init__(self, points: Vectors, places: Plane, members: Members, space: Space, many: bool) -> None:
        self._placer, self._space = Placer(points, places, many), space
        numbers = np.unique(members[members > 0])
        self._numbers = numbers
        self._centres = (
            np.stack([points[members == number].mean(axis=0) for number in numbers]) if len(numbers) else None
        )

    def place(self, vectors: Vectors) -> tuple[Plane, Members]:
        """Where vectors (n, dim) lie, and the cluster whose centre is nearest to each; 0 where there are none."""
        points = self._space.of(vectors)
        if self._centres is None:
            return self._placer.place(points), np.zeros(len(points), np.int32)
        closest = nearest(self._centres, points, 1)[1][:, 0]
        return self._placer.place(points), self._numbers[closest].astype(np.int32)


def last_map(store: Store, model: StoredModel) -> KeptMap | None:
    """The last map of this model; None where there is none, or none that can be read."""
    file = last_file(store, model)
    return None if file is None else kept_map.read(file)


def last_file(store: Store, model: StoredModel) -> Path | None:
    return kept_map.newest(store.folder / MAPS, store.identity(), model.fingerprint, store.generation())
