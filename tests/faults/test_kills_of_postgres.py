"""A server that is killed in the middle of index runs: what was stored stays, and is not encoded again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import Server

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryError
from mmsearch.library.opening import open_library
from mmsearch.types import Progress

pytestmark = pytest.mark.slow

FILES = 30
KILLED_AT = (3, 9, 2, 7)  # pictures into each run


@pytest.fixture
def server() -> Iterator[Server]:
    """One that hands to the system what it says it has stored; it is not the machine that fails here."""
    made = Server()
    with made.connect() as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("CREATE DATABASE photos")
    yield made
    made.end()


def stored(server: Server) -> int:
    with server.connect("photos") as connection:
        row = connection.execute("SELECT count(*) FROM embeddings").fetchone()
    assert row is not None
    return int(str(row[0]))


def test_index_runs_go_on_after_kills_of_the_server(
    server: Server, mapped_photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    url = server.url("photos")
    with open_library(url, settings=settings, encoder=encoder):
        pass  # makes the tables
    before = 0
    for count in KILLED_AT:
        with open_library(url, settings=settings, encoder=encoder) as library:

            def kill(progress: Progress, at: int = count) -> None:
                if progress.done == at:
                    server.kill()

            with pytest.raises(LibraryError) as error:
                library.index(mapped_photos, progress=kill)
            assert error.value.code == "server-away"
        server.restart()
        now = stored(server)
        assert before <= now < FILES
        before = now
    with open_library(url, settings=settings, encoder=encoder) as library:
        report = library.index(mapped_photos)
        assert (report.encoded, report.added + report.unchanged) == (FILES - before, FILES)
        assert (library.verify(deep=True), library.status().photos, stored(server)) == ([], FILES, FILES)
        again = library.index()
        assert (again.encoded, again.unchanged) == (0, FILES)
        with open_library(settings.library, settings=settings, encoder=encoder) as folder:
            folder.index(mapped_photos)
            assert library.store.hashed() == folder.store.hashed()
            for query in ("sort:name", "red", "told"):
                hits = [[hit.photo.path for hit in one.search(query).hits] for one in (library, folder)]
                assert sorted(hits[0]) == sorted(hits[1])
