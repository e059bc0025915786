"""Two servers in one address, the second one a copy that follows the first: reads go on when that is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from postgres_server import Server

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryError
from mmsearch.library.opening import open_library

pytestmark = pytest.mark.slow


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """One that is written, and one that follows it."""
    first = Server()
    with first.connect() as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("CREATE DATABASE photos")
    second = Server(standby_of=first)
    yield first, second
    second.end()
    first.end()


def followed(first: Server, second: Server) -> None:
    """Wait until the second one has all that the first one has."""
    with first.connect() as leader, second.connect() as follower:
        row = leader.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None
        until = time.monotonic() + 60
        while follower.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", row).fetchone() != (True,):
            assert time.monotonic() < until
            time.sleep(0.02)


def address(*servers: Server) -> str:
    hosts = ",".join(server.address["host"] for server in servers)
    return f"postgresql://postgres:secret@/photos?host={quote(hosts, safe='')}"


def test_reads_go_on_at_the_second_server_when_the_first_is_killed(
    servers: tuple[Server, Server], photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    first, second = servers
    both = address(first, second)
    with open_library(both, settings=settings, encoder=encoder) as library:
        assert library.index(photos).added == 5
        whole = library.search("a cat")
        followed(first, second)
        first.kill()
        assert library.search("a cat") == whole  # with connections that broke: to the next server
        status = library.status()
        assert (status.photos, [one.error for one in status.engines]) == (5, [None] * 4)
        assert "secret" not in status.library
        with pytest.raises(LibraryError) as error:
            library.index(photos)
        assert (error.value.code, "secret" in str(error.value)) == ("server-read-only", False)
    with open_library(both, settings=settings, encoder=encoder) as opened:  # anew, from the second one
        assert opened.search("a cat") == whole
    with pytest.raises(LibraryError) as error:  # whoever must write asks for a server that is written
        open_library(f"{both}&target_session_attrs=read-write", settings=settings, encoder=encoder)
    assert (error.value.code, "secret" in str(error.value)) == ("server-away", False)
    with second.connect() as connection:
        connection.execute("SELECT pg_promote()")
    with open_library(f"{both}&target_session_attrs=read-write", settings=settings, encoder=encoder) as written:
        (photos / "cat.png").rename(photos / "moved.png")
        assert written.index(photos).moved == 1
    second.kill()
    with pytest.raises(LibraryError) as error:
        open_library(both, settings=settings, encoder=encoder)
    assert (error.value.code, "secret" in str(error.value)) == ("server-away", False)
