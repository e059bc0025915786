"""The map: what it costs, how well it keeps neighbours, and whether the names of its clusters are right.

    python -m benchmarks.map [--library DIR [--captions FILE]] [--photos 20000] [--seed 0]

Without ``--library`` that many vectors are drawn as ``vectors.py`` has them without a library, 512 dimensions wide and
rounded to float16, and go straight through the layout.  With it the library's own map is made anew (``Library.map``;
the map that it has is replaced), so that reading and naming count too; no file is written.

``cpu_s`` and ``wall_s`` are of the whole, and of each part of the layout where vectors were drawn.  Of at most 5,000
points evenly chosen, ``kept_10`` is the share of the 10 nearest by cosine that are among the 10 nearest on the plane,
and ``trustworthiness`` that of Venna and Kaski (2001) at 10: 1 where no point is near on the plane that is far by its
vector, 0.5 by chance.  ``pca_*`` are the same of the first two principal components.  The neighbours are counted among
these points alone.

With ``--captions`` (lines of file name, tab, caption, several a photo), which the library was not told, the names of
clusters by k-means and by HDBSCAN are judged: ``gain`` is, over all photos, the mean difference between the share of
the photos of a cluster of which some caption says some term of its name, and the share of all photos of which one does.
One JSON line.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import report
from benchmarks.vectors import AT_ONCE, CENTRES, drawn, unit
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.manage.map import clusters
from mmsearch.manage.map.layout import BLOCK, MANY, SAMPLE, Placer, Plane, Space, lay_out, spread
from mmsearch.manage.map.names import caption_words
from mmsearch.store.kept_map import KeptMap
from mmsearch.types import Ids, Vectors

JUDGED = 5000  # points whose neighbours are counted
NEAREST = 10


class Clock:
    """CPU and wall seconds of parts, and of the whole."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, float]] = {}

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.taken[part] = {
            "cpu_s": round(time.process_time() - cpu, 1),
            "wall_s": round(time.perf_counter() - wall, 1),
        }


def synthetic(count: int, seed: int) -> Vectors:
    """Rows (n, dim) float16: around centres, as pictures of the same kinds of things are."""
    rng = np.random.default_rng(seed)
    base = drawn(rng, CENTRES, aside=0)
    rows = []
    for start in range(0, count, AT_ONCE):
        size = min(AT_ONCE, count - start)
        noise = rng.standard_normal((size, base.shape[1]), np.float32) / np.sqrt(base.shape[1])
        rows.append(unit(base[rng.integers(len(base), size=size)] + noise).astype(np.float16))
    return np.concatenate(rows)


def laid_out(halves: Vectors, seed: int, clock: Clock) -> Plane:
    """Places of vectors (n, dim) float16, by the parts of ``manage/map``."""
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(len(halves), min(SAMPLE, len(halves)), replace=False))
    with clock.of("project"):
        space = Space.fitted(halves[some].astype(np.float32))
        points = space.of(halves[some].astype(np.float32))
    with clock.of("layout"):
        places = spread(lay_out(points))
    with clock.of("clusters"):
        clusters.found(points, places, clusters.wanted(len(halves)), "kmeans")
    every = np.empty((len(halves), 2), np.float32)
    every[some] = places
    rest = np.setdiff1d(np.arange(len(halves)), some, assume_unique=True)
    with clock.of("placing"):
        placer = Placer(points, places, many=len(rest) > MANY)
        for start in range(0, len(rest), BLOCK):
            rows = rest[start : start + BLOCK]
            every[rows] = placer.place(space.of(halves[rows].astype(np.float32)))
    return every


def neighbours(vectors: Vectors, places: Plane) -> dict[str, float]:
    """How well places (n, 2), and those by two principal components, keep the neighbours of vectors (n, dim)."""
    some = np.linspace(0, len(vectors) - 1, min(JUDGED, len(vectors))).astype(np.int64)
    rows = unit(vectors[some].astype(np.float32))
    near = ranked(2 - 2 * rows @ rows.T)
    flat = Space.fitted(rows, 2).of(rows)
    figures: dict[str, float] = {}
    for name, plane in (("", places[some]), ("pca_", flat)):
        there = ranked(np.square(plane[:, None] - plane[None]).sum(axis=2))
        kept, trust = compared(near, there)
        figures |= {f"{name}kept_{NEAREST}": kept, f"{name}trustworthiness": trust}
    return figures


def ranked(squared: Vectors) -> Ids:
    """The rank of each point (column) by its distance to each other one (row), 0 for the nearest; (n, n)."""
    np.fill_diagonal(squared, np.inf)
    ranks = np.empty(squared.shape, np.int32)
    np.put_along_axis(ranks, np.argsort(squared, axis=1), np.arange(len(squared), dtype=np.int32)[None], axis=1)
    return ranks.astype(np.int64)


def compared(near: Ids, there: Ids) -> tuple[float, float]:
    """The share of neighbours that are kept, and the trustworthiness."""
    count, close = len(near), there < NEAREST
    kept = float((close & (near < NEAREST)).sum() / close.sum())
    beyond = float((near + 1 - NEAREST)[close & (near >= NEAREST)].sum())
    return round(kept, 4), round(1 - 2 * beyond / (count * NEAREST * (2 * count - 3 * NEAREST - 1)), 4)


def judged(library: Library, kept: KeptMap, captions: Path) -> dict[str, Any]:
    """How right the names of a map are by captions of its photos."""
    said: dict[str, set[str]] = {}
    for line in captions.read_text("utf-8").splitlines():
        name, _, text = line.partition("\t")
        said.setdefault(name, set()).update(caption_words(text))
    files = library.store.photos(kept.ids.tolist())
    words = [said.get(os.path.basename(files[number][0].path), set()) for number in kept.ids.tolist()]
    gains = 0.0
    for cluster in kept.clusters:
        terms = {word for term in cluster.name.split(", ") for word in term.split()}
        fits = np.array([bool(terms & own) for own in words])
        own = kept.of == cluster.number
        if own.any():
            gains += own.sum() * (fits[own].mean() - fits.mean())
    return {
        "clusters": len(kept.clusters),
        "without": round(float((kept.of == 0).mean()), 3),
        "largest": max(one.size for one in kept.clusters),
        "gain": round(gains / len(kept.ids), 3),
        "named_by": kept.named_by,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    clock = Clock()
    figures: dict[str, Any] = {}
    if given.library is None:
        halves = synthetic(given.photos, given.seed)
        with clock.of("all"):
            places = laid_out(halves, given.seed, clock)
        figures = {"photos": len(halves), **neighbours(halves, places)}
    else:
        with open_library(given.library, create=False) as library:
            names: dict[str, Any] = {}
            kept: KeptMap | None = None
            methods: tuple[clusters.Method, ...] = ("hdbscan", "kmeans") if given.captions else ("kmeans",)
            for method in methods:
                with clock.of("all" if method == "kmeans" else method):
                    library.map(fresh=True, clusters=method)
                kept = library.last_map()
                assert kept is not None
                if given.captions:
                    names[method] = judged(library, kept, given.captions)
            assert kept is not None
            some = np.linspace(0, len(kept.ids) - 1, min(JUDGED, len(kept.ids))).astype(np.int64)
            model = library.store.model()
            assert model is not None
            vectors = library.store.vectors(kept.ids[some], model.dim)
            figures = {"photos": len(kept.ids), **neighbours(vectors, kept.places[some]), "names": names}
    report("map", {**figures, "parts": clock.taken})


if __name__ == "__main__":
    main()
