"""Whether imagined pictures of a query make hits that should differ (``--diverse``) differ more, and what they cost.

    python -m benchmarks.imagined_diversity --data MIXTURE --work DIR [--queries 200]

``MIXTURE`` and ``DIR`` as for ``benchmarks.imagined_queries``; of ``DIR`` only the photos' vectors of dev are taken.
A library of the 1,000 photos of Flickr8k dev is asked for captions of photos with an odd number, one a photo, without
reranking, each with and without ``imagine``.  Looked at are the first ten hits: how many of 100 groups of like photos
(k-means of all vectors) they come from, how far two of them lie apart (one minus cosine), and whether the photo of the
caption is among them.  Differences are paired, with 95 % intervals by bootstrap.  Beside them the processor time of a
warm query, in milliseconds, of all threads together: the median.  One JSON line.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from mmsearch.evaluation import metrics
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.query.model import Query, Words
from mmsearch.training.generation import features
from mmsearch.training.shipped.embedded import read_split
from mmsearch.types import Vectors

FIRST, GROUPS = 10, 100


def library_of(data: Path, work: Path, folder: Path) -> tuple[Library, list[str], list[str], Vectors]:
    """A library of dev made of its stored vectors; paths, first captions and vectors (p, dim) of its photos."""
    pairs = features.unique_texts(read_split(data, "dev"))
    vectors = np.load(work / "features" / "dev" / "vectors.npy").astype(np.float32)
    paths = [str((pairs.folder / name).resolve()) for name in pairs.names]
    given = folder / "given"
    given.mkdir()
    np.save(given / "vectors.npy", vectors)
    with (given / "photos.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path"], *([path] for path in paths)])
    library = open_library(folder / "library")
    library.import_from(given, model="embedded")
    return library, paths, [own[0] for own in pairs.texts], vectors


def groups(vectors: Vectors) -> NDArray[np.int64]:
    """Which of ``GROUPS`` groups of like photos each belongs to."""
    import faiss

    found = faiss.Kmeans(vectors.shape[1], GROUPS, niter=25, seed=0, spherical=True)
    found.train(vectors)
    nearest: NDArray[np.int64] = found.index.search(vectors, 1)[1][:, 0]
    return nearest


def judged(library: Library, paths: list[str], texts: list[str], vectors: Vectors, queries: int) -> dict[str, Any]:
    """Figures of each way, and of their differences to the same way without imagined pictures."""
    row_of, group = {path: row for row, path in enumerate(paths)}, groups(vectors)
    asked = list(range(1, len(texts), 2))[:queries]
    figures: dict[tuple[bool, bool], NDArray[np.float64]] = {}
    cost: dict[tuple[bool, bool], list[float]] = {}
    for diverse in (False, True):
        for imagine in (False, True):
            rows_of_figures: list[tuple[int, float, float]] = []
            for row in [asked[0], *asked]:  # the first one warms up
                query, began = Query(terms=(Words(texts[row]),)), time.process_time()
                hits = library.search(query, FIRST, rerank=False, diverse=diverse, imagine=imagine)
                cost.setdefault((diverse, imagine), []).append(1000 * (time.process_time() - began))
                rows = [row_of[hit.path] for hit in hits]
                cosines = vectors[rows] @ vectors[rows].T
                apart = 1 - (cosines.sum() - np.trace(cosines)) / (len(rows) * (len(rows) - 1))
                rows_of_figures.append((len(set(group[rows].tolist())), float(apart), 100.0 * (row in rows)))
            figures[diverse, imagine] = np.array(rows_of_figures[1:], np.float64)
    found: dict[str, Any] = {"queries": len(asked)}
    for (diverse, imagine), values in figures.items():
        way = ("diverse" if diverse else "plain") + (", imagined" if imagine else "")
        found[way] = {"ms": round(float(np.median(cost[diverse, imagine][1:])), 1)}
        for column, name in enumerate(("groups", "apart", "own photo")):
            mean, before = values[:, column], figures[diverse, False][:, column]
            found[way][name] = round(float(mean.mean()), 3)
            if imagine:
                low, high = metrics.bootstrap((mean - before)[:, None], np.arange(len(asked)))
                gain = float((mean - before).mean())
                found[way][f"{name}, gain"] = [round(float(np.ravel(value)[0]), 3) for value in (gain, low, high)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library, paths, texts, vectors = library_of(given.data, given.work, Path(folder))
        with library:
            report("imagined_diversity", judged(library, paths, texts, vectors, given.queries))


if __name__ == "__main__":
    main()
