"""Photos encoded by ``mmsearch cluster index`` on two nodes of Ray, one of which is killed, against ``mmsearch index``.

    python -m benchmarks.cluster_run --photos FOLDER [FOLDER ...] [--count 20000] [--work FOLDER]

Both nodes are on this machine, with one core each.  Where the folders hold fewer photos than are wanted, more are made
of them, mirrored.  A node is killed by SIGKILL when a third is stored.  Printed, as one JSON line: ``encoded`` against
``contents`` (different photos: each is to be encoded once), ``lost`` (photos without a vector), ``vectors_off`` (the
largest difference between a vector of the two libraries), ``answers`` (of so many texts the first ten hits) and how
many are ``equal`` (the same files in the same order, but for ties), and how long both took.  Other work on the machine
does no harm to any of it but the times.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks import ray_cluster
from benchmarks.common import report
from mmsearch import config
from mmsearch.cluster.handing_out import Workers
from mmsearch.cluster.indexing import index
from mmsearch.language.prompts import scenes
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.store.types import StoredModel
from mmsearch.types import Progress, Vectors

ASKED = 200
TIES = 1e-3  # scores as near as that may change places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", nargs="+", required=True, type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(given.photos, given.count, given.work or Path(folder))


def run(folders: Sequence[Path], count: int, work: Path) -> None:
    photos = work / "photos"
    if not photos.exists():
        take(folders, count, photos)
    with opened(work / "alone") as alone, opened(work / "cluster") as own:
        begun = time.perf_counter()
        alone.index(photos)
        seconds_alone = time.perf_counter() - begun
        killed: list[int] = []
        with ray_cluster.cluster() as nodes:
            victim = next(node for node in nodes.worker_nodes)

            def kill(done: Progress) -> None:
                if done.step == "pictures" and done.done >= count // 3 and not killed:
                    killed.append(done.done)
                    ray_cluster.kill(nodes, victim)

            begun = time.perf_counter()
            found = index(own, photos, workers=Workers(), progress=kill)
            seconds = time.perf_counter() - begun
        ours, theirs = vectors(own), vectors(alone)
        off = max(float(np.abs(ours[path] - row).max()) for path, row in theirs.items() if path in ours)
        texts = scenes()[:: len(scenes()) // ASKED][:ASKED]
        equal = sum(same(alone, own, text) for text in texts)
        figures = {
            "photos": count,
            "contents": len({row.vector for row in alone.store.duplicate_candidates(model_of(alone))}),
            "encoded": found.encoded,
            "lost": len(theirs.keys() - ours.keys()),
            "killed_at": killed,
            "skipped": len(found.skipped),
            "vectors_off": round(off, 5),
            "answers": len(texts),
            "equal": equal,
            "seconds": round(seconds, 1),
            "seconds_alone": round(seconds_alone, 1),
            "verify": len(own.verify(deep=True)),
        }
        report("cluster_run", figures)


def take(folders: Sequence[Path], count: int, out: Path) -> None:
    """So many photos: those of the folders, then the same mirrored."""
    draft = out.with_name("draft")
    draft.mkdir(parents=True)
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".png"))
    for number, file in enumerate(itertools.islice(itertools.cycle(files), count)):
        target = draft / f"{number // 1000:03}" / f"{number:06}{file.suffix.lower()}"
        target.parent.mkdir(exist_ok=True)
        if number < len(files):
            target.write_bytes(file.read_bytes())
        else:
            with Image.open(file) as picture:
                ImageOps.mirror(picture.convert("RGB")).save(target.with_suffix(".jpg"), quality=90)
    draft.rename(out)


def opened(folder: Path) -> Library:
    return open_library(folder, settings=replace(config.Settings(), model="embedded", device="cpu", recall=1.0))


def model_of(library: Library) -> StoredModel:
    model = library.store.model()
    assert model is not None
    return model


def vectors(library: Library) -> dict[str, Vectors]:
    """Path -> vector."""
    return dict(_vectors(library))


def _vectors(library: Library) -> Iterator[tuple[str, Vectors]]:
    model = model_of(library)
    ids = library.store.searchable(model)
    for start in range(0, len(ids), 1000):
        some = ids[start : start + 1000]
        rows = dict(zip(some.tolist(), library.store.vectors(some, model.dim), strict=True))
        for number, files in library.store.photos(some.tolist()).items():
            yield from ((file.path, rows[number]) for file in files)


def same(one: Library, other: Library, text: str) -> bool:
    """Whether both find the same, but for the order of what scores the same."""
    first, second = ([(hit.path, hit.score or 0.0) for hit in library.search(text)] for library in (one, other))
    pairs = zip(first, second, strict=True)
    return len(first) == len(second) and all(a == b or abs(x - y) < TIES for (a, x), (b, y) in pairs)


if __name__ == "__main__":
    main()
