"""Bytes that a photo takes in a library in PostgreSQL, and as a thumbnail.

    python -m benchmarks.bytes_an_item [--photos 3000] [--images DIR]

Drawn photos of 640 x 480 are indexed into a PostgreSQL of its own, an eighth of them first: what the others add, by
number, is the figure, so that what an empty library takes does not count.  Counted are tables with their indexes and
what is stored out of line, after a ``VACUUM FULL``: ``metadata`` is everything but the rest, ``vectors`` and ``tokens``
(region tokens) are those of the library, ``searched`` what pgvector searches (with a graph where there are more than
20,000).  These photos have no EXIF, captions or text; a camera's have some hundred bytes more.
``stored_per_second`` is how many the one process that stores could store if it had nothing to wait for.

``thumbnail`` is the mean of WebP files of 320 pixels of the photos in ``--images``; without it, of the 18 sample photos
(``mmsearch.cli.samples``).  One JSON line.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks import servers
from benchmarks.common import report
from benchmarks.million import draw
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.thumbnail_cache import encoded
from mmsearch.media.thumbnails import thumbnail

SIDE = 320  # pixels of the thumbnails that the page shows
_SIZES = """
    SELECT CASE WHEN relname LIKE 'vectors\\_%' OR relname = 'vector_collections' THEN 'searched'
        WHEN relname = 'embeddings' THEN 'vectors' WHEN relname = 'regions' THEN 'tokens' ELSE 'metadata' END AS part,
        sum(pg_total_relation_size(oid))::bigint
    FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace GROUP BY part
"""


def sizes(url: str) -> dict[str, int]:
    """Bytes of each part of the library at this address."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text("VACUUM FULL"))
            return {part: int(size) for part, size in connection.execute(text(_SIZES))}
    finally:
        engine.dispose()


def in_postgres(photos: Path, count: int) -> dict[str, float]:
    """Bytes of a photo in each part."""
    draw(photos, count)
    first = photos.parent / "first"
    first.mkdir()
    for file in sorted(photos.iterdir())[: count // 8]:
        file.rename(first / file.name)
    with servers.postgres() as (url, _), open_library(url) as library:
        library.index(first)
        before = sizes(url)
        run = library.index(photos)
        after = sizes(url)
        pace = {"stored_per_second": round(run.encoded / run.shares["store"], 1)}
        return {part: round((after[part] - before[part]) / run.encoded, 1) for part in after} | pace


def thumbnails(library: Library) -> dict[str, Any]:
    """Bytes of a thumbnail of each photo of a library."""
    pictures = [thumbnail(photo, SIDE, 200.0) for photo in library]
    taken = [len(encoded(picture).content) for picture in pictures if not isinstance(picture, str)]
    return {"photos": len(taken), "mean": round(statistics.mean(taken)), "median": round(statistics.median(taken))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=3_000)
    parser.add_argument("--images", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        images = given.images
        if images is None:
            images = Path(scratch) / "samples"
            subprocess.run([sys.executable, "-m", "mmsearch.cli.samples", images], check=True, capture_output=True)
        with open_library(Path(scratch) / "library") as library:
            library.index(images)
            small = thumbnails(library)
        found = in_postgres(Path(scratch) / "photos", given.photos)
    report("bytes_an_item", {"photos": given.photos, "postgres": found, f"thumbnail_{SIDE}": small})


if __name__ == "__main__":
    main()
